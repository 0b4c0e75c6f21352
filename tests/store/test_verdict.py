"""Flags of a record: which network is dead, by its logits."""

from __future__ import annotations

import pytest

from pabench.store.verdict import dead

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
