"""Verdicts on scores, the words for them, and the flags that a receipt's numbers earn."""

from __future__ import annotations

import doctest

import pytest

from pabench.store import verdict as module
from pabench.store.verdict import Finding, dead, flags


def test_the_examples_hold():
    assert doctest.testmod(module) == (0, 4)


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


DETAIL = "every test image gets the same logits, and one class: "


@pytest.mark.parametrize(
    ("logits", "precision", "why"),
    [
        (None, "float32", ""),  # an older record
        ({"classes": 2, "spread": 0.0}, "float32", ""),
        ({"classes": 1, "spread": 0.2}, "float32", ""),  # sure of one class, and more or less so
        ({"classes": 1, "spread": 0.01}, "float32", ""),
        ({"classes": 1, "spread": None}, "float32", ""),  # of one image nothing can be said
        ({"classes": 1, "spread": 1e-6}, "float32", "training left no unit that an image moves"),
        ({"classes": 1, "spread": 0.01}, "bfloat16", "training left no unit that an image moves"),
        (
            {"classes": 1, "spread": 0.0, "effective_weights": 7},
            "float32",
            "training left no unit that an image moves (7 kept weights on paths)",
        ),
        ({"classes": 1, "spread": 0.0, "effective_weights": None}, "float32", "training left no unit that an image"),
        (
            {"classes": 1, "spread": 0.5, "effective_weights": 0},
            "float32",
            "no kept weight lies on a path from the input to a logit",
        ),
    ],
)
def test_a_network_is_dead_if_its_logits_are_the_same_whatever_the_image(logits, precision, why):
    found = dead(logits, precision)

    assert [flag["flag"] for flag in found] == (["dead"] if why else [])
    assert all(flag["detail"].startswith(DETAIL + why) for flag in found)
