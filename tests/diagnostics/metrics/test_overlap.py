"""Mask overlap against chance."""

from __future__ import annotations

import pytest
import torch

from pabench.diagnostics.metrics.overlap import Overlap


def test_jaccard_and_both_chances_by_hand():
    """Layers of 4 and 6 weights. Kept 2 + 2 and 3 + 1, in common 2 + 0: 2 of the 4 + 4 - 2 in either.

    By chance 4 * 4 / 10 = 1.6 in common; with the layers' counts 2 * 3 / 4 + 2 * 1 / 6 = 1.8333.
    """
    first = {"a": torch.tensor([1, 1, 0, 0]).bool(), "b": torch.tensor([1, 1, 0, 0, 0, 0]).bool()}
    second = {"a": torch.tensor([1, 1, 1, 0]).bool(), "b": torch.tensor([0, 0, 1, 0, 0, 0]).bool()}

    found = Overlap().measure(first, second)

    assert found["jaccard"] == pytest.approx(2 / 6)
    assert found["chance"] == pytest.approx(1.6 / 6.4)
    assert found["chance_in_layers"] == pytest.approx((11 / 6) / (8 - 11 / 6))
    assert Overlap().measure(second, first) == found


def test_at_equal_density_chance_is_d_over_2_minus_d():
    """At 90 % sparsity 0.1 / 1.9 = 0.0526; random masks come close to it."""
    torch.manual_seed(0)
    masks = []
    for _ in range(2):
        keep = torch.zeros(100_000, dtype=torch.bool)
        keep[torch.randperm(100_000)[:10_000]] = True
        masks.append({"w": keep.view(100, 1000)})

    found = Overlap().measure(*masks)

    assert found["chance"] == pytest.approx(0.1 / 1.9)
    assert found["jaccard"] == pytest.approx(0.1 / 1.9, abs=0.004)


def test_two_empty_masks_have_no_overlap_to_speak_of():
    empty = {"w": torch.zeros(3, dtype=torch.bool)}

    assert set(Overlap().measure(empty, empty).values()) == {None}
