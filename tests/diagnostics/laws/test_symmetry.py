"""Tests of pabench.diagnostics.laws.symmetry."""

from __future__ import annotations

import pytest

from pabench.diagnostics.laws.symmetry import batch_order, batch_splitting, channels, loss_scale

from ...broken_criteria import FirstBatchOnly, FirstImagesOnly, NotHomogeneous, PositionMatters, Sound


def factor(outcome) -> str:
    return outcome.figure.split(",")[0]


def test_a_score_that_is_linear_in_the_loss_grows_with_it(subject):
    """Three times the loss is three times the score; two halves sum two means where the whole batch has one."""
    assert factor(loss_scale(subject(Sound()))) == "factor 3"
    assert factor(batch_splitting(subject(Sound()))) == "factor 2"


def test_grasp_is_quadratic_in_the_loss(subject):
    """w H g: both H and g are the sums over two halves."""
    assert factor(batch_splitting(subject("grasp"))) == "factor 4"


@pytest.mark.parametrize(
    ("law", "broken", "reason"),
    [
        (batch_order, FirstImagesOnly, "scores depend on the order of the images"),
        (batch_splitting, FirstBatchOnly, "halves of a batch rank otherwise"),
        (loss_scale, NotHomogeneous, "the scale of the loss changes the ranking"),
        (channels, PositionMatters, "scores depend on where in its layer a unit stands"),
    ],
)
def test_what_must_not_matter_and_does_is_named(subject, law, broken, reason):
    found = law(subject(broken()))

    assert (found.verdict, found.reason) == ("FAIL", reason)


def test_what_does_not_apply_is_said_with_its_reason(subject):
    assert batch_order(subject("magnitude")).reason == "data-free"
    assert channels(subject("random")).reason == "draws on the seed, weight by weight"
    assert loss_scale(subject("fisher")).reason == "does not ask for ctx.loss"
    assert batch_splitting(subject("fisher")).reason == "not declared"
