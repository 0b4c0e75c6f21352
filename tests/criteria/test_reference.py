"""Scores and masks of the official implementations, reproduced from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pabench
from pabench.diagnostics.oracle import index

from ..conftest import REFERENCE

# index.json says which file belongs to which criterion and parameters, and how its batches, signs and counts differ
RUNS = [(letter, entry) for entry in index(REFERENCE) for letter in entry.cases]
ids = [f"{letter}-{entry.file}-{entry.criterion}" for letter, entry in RUNS]
every_run = pytest.mark.parametrize(("letter", "entry"), RUNS, ids=ids)


def scoring_batch(case, entry):
    """The batches the official run saw; official GraSP feeds two halves split by class."""
    if entry.batches != "fetched":
        return [(case.x[start:stop], case.y[start:stop]) for start, stop in entry.batches]
    return fetched(case, entry.file)


def fetched(case, what):
    file = case.official(what)
    parts = np.split(file["fetched_index"], np.cumsum(file["chunk_sizes"])[:-1])
    return [(case.x[i], case.y[i]) for i in parts]


def test_every_result_of_the_first_criteria_is_compared():
    """An entry that is lost would be a comparison that is lost."""
    compared = {(letter, entry.file) for letter, entry in RUNS}

    assert compared >= {
        *((letter, f"sf_{what}") for letter in "ab" for what in ("mag", "snip", "grasp", "synflow", "synflow_1shot")),
        *(("a", "grasp_official"), ("b", "grasp_official"), ("b", "sf_snip_bntrain"), ("b", "sf_grasp_bntrain")),
    }


@every_run
def test_scores_equal_the_official_ones_up_to_their_scale(case, letter, entry):
    reference = case(letter)
    file = reference.official(entry.file)
    # the SynFlow file of 100 rounds has the scores of its float64 run under this name
    official = entry.sign * reference.flat(file, "score64" if f"score64/{reference.names[0]}" in file else "score")

    scores = pabench.score(reference.module, entry.criterion, batch=scoring_batch(reference, entry), **entry.parameters)

    assert list(scores) == reference.names
    mine = torch.cat([s.flatten() for s in scores.values()]).numpy()
    scale = np.dot(mine, official) / np.dot(mine, mine)
    assert scale > 0
    assert np.abs(scale * mine - official).max() < 1e-6 * np.abs(official).max()


@every_run
@pytest.mark.parametrize("sparsity", ["0.5", "0.9", "0.98", "0.999"])
def test_masks_equal_the_official_ones_up_to_their_count(case, letter, entry, sparsity):
    reference = case(letter)
    official = reference.flat(reference.official(entry.file), f"mask64_{sparsity}").astype(bool)
    batch = scoring_batch(reference, entry)

    masks = pabench.prune(reference.module, entry.criterion, sparsity=float(sparsity), batch=batch, **entry.parameters)

    mine = torch.cat([m.flatten() for m in masks.values()]).numpy()
    assert official.sum() == mine.sum() + entry.extra
    assert (mine & ~official).sum() == 0


def test_official_grasp_splits_one_batch_by_class_itself(case):
    """`grasp@official` on the whole batch gives what its two recorded chunks give."""
    reference = case("b")
    index = reference.official("grasp_official")["fetched_index"]
    whole = (reference.x[index], reference.y[index])

    split = pabench.score(reference.module, "grasp@official", batch=whole)
    chunks = pabench.score(reference.module, "grasp", batch=fetched(reference, "grasp_official"))
    unsplit = pabench.score(reference.module, "grasp", batch=whole)

    for name in reference.names:
        torch.testing.assert_close(split[name], chunks[name], rtol=1e-9, atol=1e-18)
    # BatchNorm sees other statistics in halves than in the whole
    assert (split["c1.weight"] - unsplit["c1.weight"]).abs().max() > 0.1 * unsplit["c1.weight"].abs().max()
