"""Tests of pabench.diagnostics.laws.agreement."""

from __future__ import annotations

from dataclasses import replace

from pabench.diagnostics.laws.agreement import precision, reference

from ...broken_criteria import Sound
from ...conftest import REFERENCE


def test_float32_moves_scores_by_its_rounding_and_no_weight_of_the_mask(subject):
    """A float32 has 7 digits; the sums of this network lose one of them."""
    found = precision(subject(Sound()))

    error, overlap = found.figure.removeprefix("float32: error ").split(", masks overlap ")
    assert found.verdict == "for information"
    assert 1e-8 < float(error) < 1e-5
    assert overlap == "1.000"


def test_official_results_are_met_where_there_are_any(subject):
    assert reference(replace(subject("magnitude"), reference=REFERENCE)).verdict == "pass"
    assert reference(replace(subject(Sound()), reference=REFERENCE)).reason == "no official result of this name"
    assert reference(subject("magnitude")).reason == "no folder of reference results given"
