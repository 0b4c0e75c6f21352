"""The section on what a difference is a claim about: seeds, images, the task."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pabench_reports.images import Images, shown

from pabench.report import frame
from pabench.report.frame import strata
from pabench.report.study import Study
from pabench.statistics.images import Table, sign_test
from pabench.store.imagebits import packed

from ..synthetic import CRITERIA, cells, failed, manifest, record

COUNT = 1000
TWO = [CRITERIA["snip"], CRITERIA["random"]]


def with_bits(cell, right: np.ndarray, sha: str = "a" * 64):
    """The record of a cell that was right on these images."""
    good = record(cell)
    of = {"images": len(right), "classes": 10, "sha256": sha}
    named = {"compared_by": {"name": "top1", "chance": 10.0}, "test": of, "right": packed(right)}
    return {**good, "result": {**good["result"], **named, "top1": 100 * int(right.sum()) / len(right)}}


def drawn(cell, gain: float, shared: float = 1.0) -> np.ndarray:
    """About 80 % of the images, and `gain` more for snip; `shared` of what decides is the image's alone."""
    name = cell.criterion.name if cell.criterion else "dense"
    own = np.random.default_rng([cell.seed, len(name), round(100 * cell.sparsity)])
    ease = shared**0.5 * np.random.default_rng(0).normal(size=COUNT) + (1 - shared) ** 0.5 * own.normal(size=COUNT)
    return ease < np.quantile(ease, 0.8 + (gain if name == "snip" else 0.0))


def study(gain=0.05, shared=0.8, seeds=4, sparsities=(0.9, 0.95), criteria=TWO, make=with_bits) -> Study:
    expected = cells(criteria, models=["resnet20"], sparsities=sparsities, seeds=seeds)
    made = {cell.key: make(cell, drawn(cell, gain, shared)) for cell in expected}
    return frame.study(manifest(expected), {key: one for key, one in made.items() if one})


def said(made: Study) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", Images().render(made) or "").split())


def of(made: Study):
    return shown(made, *next(strata(made.plain)))


def test_older_records_make_a_page_without_the_section():
    expected = cells(TWO, models=["resnet20"])

    assert Images().render(frame.study(manifest(expected), {cell.key: record(cell) for cell in expected})) is None


def test_each_criterion_stands_against_random_at_each_sparsity_and_over_all():
    made = study(criteria=list(CRITERIA.values()))

    rows = of(made).rows

    assert {row.b for row in rows} == {"random"}
    assert [row.scope for row in rows] == ["mean of all"] * 4 + ["90 %"] * 4 + ["95 %"] * 4
    assert of(made).images == COUNT


def test_a_study_without_random_compares_every_pair():
    assert len(of(study(criteria=[CRITERIA[n] for n in ("snip", "grasp", "synflow")], sparsities=[0.9])).rows) == 3


def test_the_difference_and_its_tests_are_those_of_the_bits_in_the_records():
    """One sparsity, one pair: nothing to correct for. Exactly 5 points, all from the bits."""
    made = study(sparsities=[0.9])
    (row,) = of(made).rows
    bits = {(c.criterion.name, c.seed): drawn(c, 0.05, 0.8) for c in made.cells.values() if c.criterion}
    table = Table.of(*(np.array([[bits[name, seed]] for seed in range(4)]) for name in ("snip", "random")))

    assert row.pair.mean == pytest.approx(table.points.mean()) == pytest.approx(5.0)
    assert row.claims.images.p == sign_test(table.values)
    assert row.claims.seeds.interval == row.pair.interval


def test_a_clear_difference_is_better_on_this_task_and_counted_so():
    """Four seeds that differ by 4 to 6 points, as of 1,000 images each with its own noise."""

    def spread(cell, right):
        more = [0.0, 0.01, -0.01, 0.005][cell.seed] if cell.criterion and cell.criterion.name == "snip" else 0.0
        return with_bits(cell, drawn(cell, 0.05 + more, 0.9))

    made = study(sparsities=[0.9], make=spread)
    text = said(made)

    assert [row.holds for row in of(made).rows] == ["better on this task"]
    assert "Of 1 difference, 1 hold for new seeds on these test images, 1 for these networks on new images" in text
    assert "1 for both new: on this task." in text
    assert "1,000 test images" in text


def test_seeds_that_agree_on_few_images_say_nothing_of_new_ones():
    """snip gets 3 images more in every seed, and one more or less by seed: of 1,000 that are as few as five coins."""

    def few(cell, _):
        right = np.arange(COUNT) < 800
        if cell.criterion and cell.criterion.name == "snip":
            right[800 : 803 + cell.seed % 2] = True
        return with_bits(cell, right)

    (row,) = of(study(sparsities=[0.9], seeds=5, make=few)).rows

    assert row.holds == "better on these test images with new seeds; not shown on new images"
    assert row.claims.images.p == pytest.approx(2 / 2**4)  # the fourth image counts in two seeds of five
    assert row.claims.task.p >= row.claims.images.p


def test_networks_that_differ_on_many_images_say_nothing_of_new_seeds():
    """+8, -6 and +7 points: the images tell these networks apart, three seeds do not."""

    def unsteady(cell, _):
        gain = [80, -60, 70][cell.seed] if cell.criterion and cell.criterion.name == "snip" else 0
        return with_bits(cell, np.arange(COUNT) < 800 + gain)

    (row,) = of(study(sparsities=[0.9], seeds=3, make=unsteady)).rows

    assert row.holds == "these networks are better, on new images too; not shown with new seeds"
    assert not row.claims.task.holds


def test_what_the_data_do_not_separate_is_said_to_be_that():
    text = said(study(gain=0.0, sparsities=[0.9]))

    assert "0 for both new: on this task." in text
    assert text.count("cannot be told apart") == 1


def test_cells_that_were_tested_on_other_images_are_not_compared():
    def other(cell, right):
        return with_bits(cell, right, sha="ab"[cell.seed == 0] * 64)

    assert of(study(make=other)).rows == ()


def test_differences_without_bits_are_counted_and_not_shown():
    def older(cell, right):
        good = with_bits(cell, right)
        if cell.criterion and cell.criterion.name == "snip" and cell.seed == 0 and cell.sparsity == 0.9:
            del good["result"]["right"]
        return good

    made = study(make=older)

    assert [row.scope for row in of(made).rows] == ["95 %"]
    assert "Of 2 differences nothing can be said" in said(made)


def test_survivors_have_no_verdict_and_collapsed_cells_no_claim_about_the_task():
    def lost(cell, right):
        return (
            failed(cell)
            if cell.criterion and cell.criterion.name == "snip" and cell.seed == 3
            else with_bits(cell, right)
        )

    def fell(cell, right):
        if cell.criterion and cell.criterion.name == "snip" and cell.seed == 3:
            return with_bits(cell, np.arange(COUNT) < 100)
        return with_bits(cell, right)

    (row,) = of(study(sparsities=[0.9], make=lost)).rows
    assert (row.holds, row.pair.n, row.pair.unfinished) == ("", 3, 1)
    assert "no verdict: failed or missing cells in 1 of 4 blocks" in said(study(sparsities=[0.9], make=lost))
    (row,) = of(study(sparsities=[0.9], make=fell)).rows
    assert row.claims.task.interval.low is row.claims.seeds.interval.low is None
    assert row.claims.images.interval.low is not None
