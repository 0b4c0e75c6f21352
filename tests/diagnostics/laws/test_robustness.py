"""Tests of pabench.diagnostics.laws.robustness."""

from __future__ import annotations

import pytest

from pabench.diagnostics.laws.robustness import LAWS, network, not_a_number, single_class
from pabench.diagnostics.specimens import LINEAR, TRANSFORMER

from ...broken_criteria import HidesWhatIsNoNumber, NothingButConvolutions, Sound, Standardised


def test_five_kinds_of_networks_are_asked_for_by_name():
    kinds = ["without BatchNorm", "with BatchNorm", "residual and grouped", "vision transformer", "linear layer"]

    assert [law.name for law in LAWS] == [*kinds, "single class", "not a number"]


def test_a_criterion_of_gradients_scores_attention_and_a_single_layer(subject):
    assert network(TRANSFORMER, subject(Sound())).figure == "0% of the scores are 0"
    assert network(LINEAR, subject(Sound())).figure == "0% of the scores are 0"


def test_an_error_of_the_criterion_is_left_to_the_examination(subject):
    with pytest.raises(IndexError, match="Dimension out of range"):
        network(LINEAR, subject(NothingButConvolutions()))


def test_images_of_one_class_give_scores_or_one_line(subject):
    """Labels without a spread standardise to 0 / 0, in all of the 1,128 scores."""
    assert single_class(subject(Sound())).verdict == "pass"
    assert single_class(subject("magnitude")).reason == "data-free"
    assert single_class(subject(Standardised())).figure == "1128 scores not finite"


def test_a_weight_that_is_no_number_gives_one_line_and_no_mask(subject):
    assert not_a_number(subject(Sound())).figure == "refused"
    assert not_a_number(subject(HidesWhatIsNoNumber())).reason == "a mask came of them; expected a PluginError"
