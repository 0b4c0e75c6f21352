"""Tests of pabench.diagnostics.laws.counts."""

from __future__ import annotations

import pytest

from pabench.diagnostics.laws.counts import exact_count, infinities, nesting, rounds, ties, zeros

from ...broken_criteria import FiniteOnly, OneTooMany, OtherRankingByDensity, Revives, Sound, Threshold


@pytest.mark.parametrize(
    ("law", "figure"),
    [
        (exact_count, "16 of 16 exact"),  # two networks at eight densities
        (ties, "3 of 3 exact"),
        (zeros, "3 of 3 exact"),
        (infinities, "8 of 8 exact"),
        (rounds, "0 returned, 0 too many or too few"),
        (nesting, "0 of 113 not nested"),  # 1,128 weights at a density of 0.1
    ],
)
def test_the_engine_keeps_exactly_as_many_as_asked(subject, law, figure):
    found = law(subject(Sound()))

    assert (found.verdict, found.figure) == ("pass", figure)


@pytest.mark.parametrize(
    ("law", "broken", "reason"),
    [
        (exact_count, OneTooMany, "density 0.9: 1441 kept, 1440 asked for"),  # of 1,600: all that there are at 1
        (infinities, FiniteOnly, "density 1: 800 kept, 1600 asked for"),  # half of the scores are infinite
        (rounds, Revives, "a pruned weight must stay pruned, and each round keep its count"),
        (nesting, OtherRankingByDensity, "one ranking gives nested masks"),
    ],
)
def test_a_wrong_count_is_told_with_the_density_and_both_numbers(subject, law, broken, reason):
    found = law(subject(broken()))

    assert (found.verdict, found.reason) == ("FAIL", reason)


def test_a_threshold_keeps_all_that_are_tied(subject):
    """160 of 1,600 equal weights are asked for."""
    found = ties(subject(Threshold()))

    assert found.verdict == "FAIL"
    assert found.reason.endswith("160 asked for")
