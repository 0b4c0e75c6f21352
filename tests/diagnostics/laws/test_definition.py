"""Tests of pabench.diagnostics.laws.definition."""

from __future__ import annotations

import pytest

from pabench.diagnostics.laws.definition import conservation, finite_differences, removal, signs
from pabench.scoring.pruning import SkippedError

from ...broken_criteria import ClaimsConservation, SignReversed, Sound, Undeclared


def test_a_score_of_the_wrong_sign_is_off_by_twice_itself(subject):
    right, wrong = (finite_differences(subject(rule)) for rule in (Sound(), SignReversed()))

    assert right.verdict == "pass"
    assert (wrong.verdict, wrong.figure) == ("FAIL", "error 2e+00 at 24 weights")  # four in each of 3 layers, twice


def test_removing_weights_ranks_them_as_the_score_does_and_against_its_negative(subject):
    right, wrong = (removal(subject(rule)) for rule in (Sound(), SignReversed()))

    assert (right.verdict, right.figure) == ("pass", "rank correlation 1.00 over 48 weights")
    assert (wrong.verdict, wrong.figure) == ("FAIL", "rank correlation -1.00 over 48 weights")


def test_a_score_without_a_declared_quantity_cannot_be_compared(subject):
    with pytest.raises(SkippedError, match="declares no quantity"):
        finite_differences(subject(Undeclared()))


def test_synflow_conserves_what_flows_through_every_layer_and_unit(subject):
    assert conservation(subject("synflow")).verdict == "pass"
    assert conservation(subject(ClaimsConservation())).verdict == "FAIL"
    assert conservation(subject(Sound())).reason == "not declared"


def test_signs_are_told_and_judge_nobody(subject):
    found = signs(subject("magnitude"))

    assert (found.verdict, found.figure) == ("for information", "0% negative, 0% zero")
