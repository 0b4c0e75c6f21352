"""Each kind of statement by values of which a human can work out the interval."""

from __future__ import annotations

import pandas as pd
import pytest

from pabench.leaderboard.statements import Bound, Finding, Near, Order, finding


def rows(outcome: str = "trained", **values: list[float]) -> pd.DataFrame:
    """Values by block of one model at one sparsity."""
    found = [
        {"dataset": "d", "model": "m", "block": f"b{i}", "seed": i, "sparsity": 0.9, "of": of, "value": value}
        for of, each in values.items()
        for i, value in enumerate(each)
    ]
    return pd.DataFrame(found).assign(outcome=outcome)


# The mean of 10, 11 and 12 is 11, its 95 % interval 11 ± 4.303 / sqrt(3) = [8.516, 13.484].
APART = rows(a=[20.0, 21.0, 22.0], b=[10.0, 10.0, 10.0])


@pytest.mark.parametrize(
    ("margin", "verdict"),
    [(8.5, "confirmed"), (8.6, "not separable"), (13.4, "not separable"), (13.5, "contradicted"), (-1, "confirmed")],
)
def test_an_order_is_confirmed_or_contradicted_where_the_interval_of_the_difference_is_beyond_the_margin(
    margin, verdict
):
    found = finding(Order(of="q", higher="a", lower="b", margin=margin), APART)

    assert found.verdict == verdict
    assert "a − b = 11 [8.516, 13.48] in 3 blocks" in found.said


def test_what_is_not_separable_says_what_could_have_been_seen():
    """Of differences with a standard deviation of 1 in 3 blocks: 5.65 standard errors."""
    said = finding(Order(of="q", higher="a", lower="b", margin=10), APART).said

    assert said == (
        "q at all sparsities: a − b = 11 [8.516, 13.48] in 3 blocks; 13.26 or more could have been seen; "
        "asked: more than 10"
    )


@pytest.mark.parametrize(
    ("margin", "verdict"), [(13.5, "confirmed"), (13.4, "not separable"), (8.6, "not separable"), (8.5, "contradicted")]
)
def test_two_are_near_where_the_whole_interval_is_within_the_margin_and_not_where_it_is_wholly_outside(margin, verdict):
    assert finding(Near(of="q", a="a", b="b", margin=margin), APART).verdict == verdict
    assert finding(Near(of="q", a="b", b="a", margin=margin), APART).verdict == verdict


@pytest.mark.parametrize(
    ("limits", "verdict"),
    [
        ({"at_least": 20}, "confirmed"),
        ({"at_least": 20.5}, "contradicted"),
        ({"at_least": 20, "at_most": 22}, "confirmed"),
        ({"at_most": 21.9}, "contradicted"),
    ],
)
def test_a_bound_holds_in_every_block_or_is_contradicted(limits, verdict):
    found = finding(Bound(of="q", who="a", **limits), APART[APART["of"] == "a"])

    assert found.verdict == verdict
    assert "a 20 to 22 in 3 values" in found.said


def test_differences_without_spread_tell_nothing():
    """A standard error of 0 from a handful of values is no evidence."""
    found = finding(Order(of="q", higher="a", lower="b"), rows(a=[2.0, 2.0], b=[1.0, 1.0]))

    assert found.verdict == "not separable"
    assert "a − b = 1 (no spread, no interval) in 2 blocks" in found.said


def test_the_sign_alone_is_tested_where_cells_collapsed():
    """Of 8 blocks in which a beats b, all signs alike have p = 2 / 2 ** 8; no interval covers there."""
    values = rows(a=[90.0] * 8, b=[10.0] * 7 + [80.0])
    values.loc[values["value"] == 10, "outcome"] = "collapsed"

    found = finding(Order(of="accuracy", higher="a", lower="b"), values)
    asked = finding(Order(of="accuracy", higher="a", lower="b", margin=5), values)

    assert found.verdict == "confirmed"
    assert "(cells collapsed: no interval, p = 0.007812)" in found.said
    assert asked.verdict == "not separable"


def test_missing_values_are_not_run_and_failed_ones_do_not_tell():
    order = Order(of="q", higher="a", lower="b")
    lacking = APART.copy()
    lacking.loc[0, ["value", "outcome"]] = [float("nan"), "missing"]
    failed = APART.copy()
    failed.loc[0, ["value", "outcome"]] = [float("nan"), "failed"]

    assert finding(order, lacking).verdict == "not run"
    assert finding(order, APART[APART["of"] == "a"]).verdict == "not run"
    assert finding(order, failed) == Finding("not separable", "q at all sparsities: of 6 values 1 failed")
