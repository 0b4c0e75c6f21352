"""Verdicts on scores, the words for them, and the flags that a receipt's numbers earn."""

from __future__ import annotations

import doctest

import pytest

from pabench.store import verdict as module
from pabench.store.verdict import Finding, flags


def test_the_examples_hold():
    assert doctest.testmod(module) == (0, 2)


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (Finding(total=10, zeros=4), "healthy"),
        (Finding(total=10, zeros=5), "degenerate"),  # half of them
        (Finding(total=10, non_finite=1), "degenerate"),
        (Finding(total=10, dead=("fc.weight",)), "doubtful"),
        (Finding(total=10, doubts="it says so"), "doubtful"),
        (Finding(total=10, reason="declines: no"), "unsupported"),
    ],
)
def test_the_figures_decide_the_verdict(finding, verdict):
    assert finding.verdict == verdict
    assert Finding.from_json(finding.to_json()) == finding


def test_of_two_degenerate_rankings_the_one_with_more_zeros_is_worse_but_not_for_a_rounding_error():
    many, fewer, one_less = (Finding(total=1000, zeros=n) for n in (900, 600, 899))

    assert many.worse_than(fewer)
    assert not fewer.worse_than(many)
    assert not many.worse_than(one_less)


def test_a_mask_is_tied_where_the_order_of_parameters_chose_more_than_a_hundredth_of_it():
    """Of 1,000 kept weights 10 may owe their place to the order: 10 of 500 tied ones, or all but 10."""
    plain = {"total": 5000, "kept": 1000, "zero_scores": 0, "non_finite_scores": 0, "dead_layers": [], "layers": []}

    def told(tied: int, kept: int) -> list[str]:
        return [flag["flag"] for flag in flags({**plain, "tied_at_threshold": tied, "kept_of_tied": kept})]

    assert told(500, 10) == told(500, 490) == []
    assert told(500, 11) == told(500, 489) == ["tied"]
