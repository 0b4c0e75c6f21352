"""Gradient norm: |dL/dw|."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pabench


def test_scores_the_size_of_the_gradient_whatever_the_weight(softmax):
    """p0 = 0.2689: row 0 has (p0 - 1) x = (-0.7311, -2.1932), row 1 the opposite."""
    module, batch = softmax

    scores = pabench.score(module, "grad_norm", batch=batch)["weight"]

    assert scores.flatten().tolist() == pytest.approx([0.7311, 2.1932, 0.7311, 2.1932], abs=1e-4)


def test_keeps_more_of_the_gradients_norm_than_any_other_mask_of_its_count(case):
    reference = case("a")
    module, (x, y) = reference.module, reference.batch
    torch.nn.functional.cross_entropy(module(x), y).backward()
    squares = torch.cat([module.get_parameter(n).grad.flatten().square() for n in reference.names])

    masks = pabench.prune(module, "grad_norm", sparsity=0.9, batch=reference.batch)

    kept = squares[torch.cat([m.flatten() for m in masks.values()])].sum()
    assert kept.item() == pytest.approx(squares.topk(493).values.sum().item(), rel=1e-5)


def test_grasp_it_prunes_in_ten_rounds_and_never_gives_back(case):
    reference = case("a")

    masks = pabench.prune(reference.module, "grad_norm@grasp-it", sparsity=0.9, batch=reference.batch)

    assert masks.receipt["rounds"] == 10
    assert masks.receipt["kept"] == 493


@pytest.mark.parametrize("letter", ["a", "b"])
def test_grasp_it_equals_the_authors_code(case, letter):
    """One round: they score the square of the gradient and keep int(N d) weights."""
    reference = case(letter)
    file = reference.official("graspit_official_ce")
    official = reference.flat(file, "score64")

    scores = pabench.score(reference.module, "grad_norm@grasp-it", batch=reference.batch)

    mine = torch.cat([s.flatten() for s in scores.values()]).numpy()
    assert np.abs(mine**2 - official).max() < 1e-6 * official.max()
    for sparsity in ("0.5", "0.9", "0.98", "0.999"):
        kept = reference.flat(file, f"mask64_{sparsity}").astype(bool)
        assert set(np.argsort(-mine)[: kept.sum()].tolist()) == set(np.flatnonzero(kept))
