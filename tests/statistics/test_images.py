"""Claims about new seeds, new test images and both: exact tests, variances by hand, and how often intervals cover."""

from __future__ import annotations

import doctest
from itertools import product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from pabench.statistics import images
from pabench.statistics.images import Claim, Claims, Table, adjusted, claims, sign_test
from pabench.statistics.intervals import Interval
from pabench.statistics.paired import Pair


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(images).failed == 0


def alone(first: int, second: int, images: int) -> np.ndarray:
    """One network each: so many images that the first alone is right on, and that the second alone is."""
    return np.array([[1] * first + [-1] * second + [0] * (images - first - second)])


@pytest.mark.parametrize(("first", "second"), [(5, 1), (12, 3), (4, 4), (0, 6), (190, 240), (0, 0)])
def test_of_one_network_each_the_test_of_signs_is_the_exact_test_of_mcnemar(first, second):
    """5 of 6: 2 * (1 + 6) / 64 = 0.21875. Both oracles count the binomial tail."""
    found = sign_test(alone(first, second, 600))

    assert found == pytest.approx(mcnemar([[50, first], [second, 50]], exact=True).pvalue, abs=1e-12)
    if first + second:
        assert found == pytest.approx(stats.binomtest(first, first + second).pvalue, abs=1e-12)


def test_of_several_networks_it_counts_all_signs_of_the_images():
    """Sums 3, -1, 2, 1, 1: all 2^5 signs are gone through here, one after the other."""
    values = np.array([[1, -1, 1, 0, 0, 0], [1, 0, 1, 1, 0, 0], [1, 0, 0, 0, 1, 0]])
    sizes, found = [3, 1, 2, 1, 1], 6
    sums = [abs(sum(s * size for s, size in zip(signs, sizes, strict=True))) for signs in product((-1, 1), repeat=5)]

    assert sign_test(values) == pytest.approx(sum(x >= found for x in sums) / 32)


def test_a_table_is_right_minus_right_over_sparsities_in_points():
    """Image 0: right by the first at both sparsities, never by the second: 2 of 2, 100 points."""
    first = np.array([[[True, True, False], [True, False, False]]])
    second = np.array([[[False, True, False], [False, True, False]]])

    table = Table.of(first, second)

    assert table.values.tolist() == [[2, -1, 0]]
    assert table.points.tolist() == [[100.0, -50.0, 0.0]]


def test_the_variance_of_the_mean_has_a_part_of_seeds_one_of_images_and_what_both_count():
    """Two seeds, two images, differences 3 1 / 1 -1 and 0 0 / 0 4, by hand.

    Rows 2 and 0, columns 2 and 0 without a residual: 2 / 2 = 1 each, nothing counted twice. With 0 0 / 0 4: rows 0, 2
    and columns 0, 2 as before, residuals 1, -1, -1, 1, which is 4 / 1 / 4 = 1.
    """
    assert Table(np.array([[3, 1], [1, -1]]), 100).variances == pytest.approx((1.0, 1.0, 0.0))
    assert Table(np.array([[0, 0], [0, 4]]), 100).variances == pytest.approx((1.0, 1.0, 1.0))


def test_a_variance_over_images_is_known_as_well_as_images_differ():
    """d of n images differ by one: 2 d degrees of freedom, for n large; never more than n - 1."""
    assert Table(alone(6, 6, 100_000)).freedom == pytest.approx(24, rel=1e-3)
    assert Table(alone(5, 5, 10)).freedom == 9


def test_the_interval_over_images_of_one_network_is_that_of_paired_proportions():
    """10 and 4 of 1,000 differ: 0.6 points, error 100 sqrt((14 - 36 / 1000) / 1000 / 999), t with 28.5 degrees."""
    table = Table(alone(10, 4, 1000))
    error = 100 * ((14 - 0.036) / 1000 / 999) ** 0.5

    interval = table.images.interval

    assert interval.mean == pytest.approx(0.6)
    assert (interval.n, interval.method) == (1000, "t over images")
    assert interval.half == pytest.approx(stats.t.ppf(0.975, table.freedom) * error)
    assert table.freedom == pytest.approx(28.5, abs=0.5)


def test_images_that_no_network_tells_apart_give_no_interval_and_no_p():
    assert Table(np.zeros((3, 50), dtype=int)).images == Claim(Interval(0.0, n=50))


def found(
    rng: np.random.Generator, seeds: int, count: int, **world: float
) -> tuple[Claims, tuple[float, float, float]]:
    """The claims of two criteria of a world, and the true difference that each is about.

    A network is right on an image where the sum of normal parts is above 0: how easy the image is (`easy`), by the
    criterion too (`image`), how good the seed is and by the criterion (`seed`), and noise of network and image.
    """
    easy, image, seed, noise = 1.5, world.get("image", 0.4), world.get("seed", 0.04), world.get("noise", 0.6)
    total = (easy**2 + image**2 + 0.05**2 + seed**2 + noise**2) ** 0.5
    of_images, of_seeds = easy * rng.normal(size=count), 0.05 * rng.normal(size=seeds)
    bits, truths = [], []
    for accuracy in (world.get("accuracy", 0.9) + 0.005, world.get("accuracy", 0.9)):
        middle = stats.norm.ppf(accuracy) * total
        columns = of_images + image * rng.normal(size=count)
        rows = of_seeds + seed * rng.normal(size=seeds)
        bits.append(middle + columns + rows[:, None] + noise * rng.normal(size=(seeds, count)) > 0)
        on_these = stats.norm.cdf((middle + columns) / (0.05**2 + seed**2 + noise**2) ** 0.5).mean()
        by_these = stats.norm.cdf((middle + rows) / (easy**2 + image**2 + noise**2) ** 0.5).mean()
        truths.append((on_these, by_these, accuracy))
    table = Table.of(bits[0][:, None], bits[1][:, None])
    pair = Pair([table.points.mean(axis=1).tolist()], seeds)
    return claims(pair, table), tuple(100 * (one - other) for one, other in zip(*truths, strict=True))


def covered(count: int, seeds: int, images: int, **world: float) -> np.ndarray:
    """How often each of the three claims covers its truth, in percent."""
    rng, hits, made = np.random.default_rng(5), np.zeros(3), 0
    for _ in range(count):
        told, truths = found(rng, seeds, images, **world)
        intervals = [claim.interval for claim in told]
        if any(one.low is None for one in intervals):
            continue  # three seeds with one and the same count of images
        made += 1
        hits += [one.low <= truth <= one.high for one, truth in zip(intervals, truths, strict=True)]
    assert made > 0.95 * count
    return 100 * hits / made


@pytest.mark.parametrize(("seeds", "count"), [(3, 360), (5, 360), (10, 360)])
def test_each_interval_covers_what_it_is_about(seeds, count):
    """250 studies: 95 % has a standard error of 1.4 points. The tables of docs/statistics.md are of 1,000."""
    of_seeds, of_images, of_task = covered(250, seeds, count)

    assert 91 <= of_seeds <= 99
    assert 91 <= of_images <= 99
    assert of_task >= 92


def test_an_interval_over_seeds_alone_does_not_cover_the_task_where_images_differ():
    """Where the criteria are right on other images, five seeds agree on what these images say."""
    rng, seeds, task = np.random.default_rng(6), 0, 0
    for _ in range(200):
        told, (_, _, truth) = found(rng, 5, 360, image=1.0, noise=0.3)
        seeds += told.seeds.interval.low <= truth <= told.seeds.interval.high
        task += told.task.interval.low <= truth <= told.task.interval.high

    assert seeds < 0.7 * 200
    assert task > 0.91 * 200


def test_a_claim_about_the_task_is_never_bolder_than_one_about_seeds_or_images():
    rng = np.random.default_rng(3)
    for k in range(60):
        told, _ = found(rng, 3 + k % 3, 300, seed=(0.0, 0.04, 0.3)[k % 3])
        if told.task.p is not None:
            assert told.task.p >= max(told.seeds.p, told.images.p)
            assert told.task.interval.half >= told.seeds.interval.half - 1e-9


def test_one_seed_says_nothing_of_new_seeds_and_collapse_nothing_of_the_task():
    rng = np.random.default_rng(1)
    table = Table.of(rng.random((3, 1, 400)) < 0.9, rng.random((3, 1, 400)) < 0.8)
    rows = table.points.mean(axis=1).tolist()

    one = claims(Pair([rows[:1]], 1), Table(table.values[:1]))
    fell = claims(Pair([rows], 3, collapsed=True, mixed=True), table)
    lost = claims(Pair([rows], 4, unfinished=1), table)

    assert (one.seeds.p, one.task) == (None, Claim(Interval(one.images.interval.mean, n=1)))
    assert one.images.p == pytest.approx(sign_test(table.values[:1]))
    assert fell.images.p < 0.05
    assert (fell.seeds.interval.low, fell.task.interval.low, fell.task.p) == (None, None, None)
    assert [claim.p for claim in lost] == [None, None, None]
    assert lost.images.interval.low is not None


def test_holm_corrects_each_kind_of_claim_by_itself():
    """Two differences: the smaller p of each kind counts twice, the larger stays."""
    made = [Claims(*(Claim(Interval(1.0), p) for p in three)) for three in ((0.01, 0.2, None), (0.04, 0.001, 0.03))]

    assert [[claim.p for claim in one] for one in adjusted(made)] == [[0.02, 0.2, None], [0.04, 0.002, 0.06]]
    assert adjusted([]) == []
