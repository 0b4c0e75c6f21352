"""Scores and masks of the official implementations, reproduced from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pabench

# file, criterion, parameters, sign of the official score
CASES = [
    ("sf_mag", "magnitude", {}, 1),
    ("sf_snip", "snip", {"bn": "eval"}, 1),
    ("sf_snip", "snip@synaptic-flow", {}, 1),
    ("sf_grasp", "grasp", {"bn": "eval"}, 1),
    ("sf_grasp", "grasp@synaptic-flow", {}, 1),
    ("sf_synflow_1shot", "synflow", {"steps": 1}, 1),
    ("sf_synflow", "synflow", {}, 1),
    ("grasp_official", "grasp", {}, -1),
    ("grasp_official", "grasp@official", {}, -1),
]
BATCHNORM_TRAIN = [("sf_snip_bntrain", "snip", {}, 1), ("sf_grasp_bntrain", "grasp", {}, 1)]
RUNS = [("a", *c) for c in CASES] + [("b", *c) for c in CASES + BATCHNORM_TRAIN]
SPARSITIES = ("0.5", "0.9", "0.98", "0.999")


def scoring_batch(case, what):
    """The batches the official run saw; official GraSP feeds two halves split by class."""
    if what != "grasp_official":
        return case.batch
    file = case.official(what)
    chunks = np.split(file["fetched_index"], np.cumsum(file["chunk_sizes"])[:-1])
    return [(case.x[i], case.y[i]) for i in chunks]


@pytest.mark.parametrize(("letter", "what", "criterion", "parameters", "sign"), RUNS)
def test_scores_equal_the_official_ones_up_to_their_scale(case, letter, what, criterion, parameters, sign):
    reference = case(letter)
    file = reference.official(what)
    # the SynFlow file of 100 rounds has the scores of its float64 run under this name
    official = sign * reference.flat(file, "score64" if f"score64/{reference.names[0]}" in file else "score")

    scores = pabench.score(reference.module, criterion, batch=scoring_batch(reference, what), **parameters)

    assert list(scores) == reference.names
    mine = torch.cat([s.flatten() for s in scores.values()]).numpy()
    scale = np.dot(mine, official) / np.dot(mine, mine)
    assert scale > 0
    assert np.abs(scale * mine - official).max() < 1e-6 * np.abs(official).max()


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize(("letter", "what", "criterion", "parameters", "sign"), RUNS)
def test_masks_equal_the_official_ones_up_to_their_count(case, letter, what, criterion, parameters, sign, sparsity):
    reference = case(letter)
    official = reference.flat(reference.official(what), f"mask64_{sparsity}").astype(bool)

    masks = pabench.prune(
        reference.module, criterion, sparsity=float(sparsity), batch=scoring_batch(reference, what), **parameters
    )

    mine = torch.cat([m.flatten() for m in masks.values()]).numpy()
    extra = 1 if what == "grasp_official" else 0  # official GraSP keeps one weight more
    assert official.sum() == mine.sum() + extra
    assert (mine & ~official).sum() == 0


def test_official_grasp_splits_one_batch_by_class_itself(case):
    """`grasp@official` on the whole batch gives what its two recorded chunks give."""
    reference = case("b")
    index = reference.official("grasp_official")["fetched_index"]
    whole = (reference.x[index], reference.y[index])

    split = pabench.score(reference.module, "grasp@official", batch=whole)
    chunks = pabench.score(reference.module, "grasp", batch=scoring_batch(reference, "grasp_official"))
    unsplit = pabench.score(reference.module, "grasp", batch=whole)

    for name in reference.names:
        torch.testing.assert_close(split[name], chunks[name], rtol=1e-9, atol=1e-18)
    # BatchNorm sees other statistics in halves than in the whole
    assert (split["c1.weight"] - unsplit["c1.weight"]).abs().max() > 0.1 * unsplit["c1.weight"].abs().max()
