"""FORCE and Iterative SNIP against the official code, round by round.

The recorded final scores are float32: ours, in float64, agree to that precision on every machine.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import pabench
import pabench.scoring.criterion
from pabench.scoring.selection import select

from ..conftest import scores_under

RUNS = [(letter, what) for letter in "ab" for what in ("force", "itersnip")]
NAMES = {"force": "force@official", "itersnip": "iter_snip@official"}
FILES = {"force": "force_official_ce", "itersnip": "itersnip_official_ce"}
SPARSITIES = ("0.5", "0.9", "0.98", "0.999")
# The official code turns a dead network into a mask of ones, here in the round before the last and in the last.
DEAD = ("b", "itersnip", "0.999")
# The same in the eighth of ten rounds: the last two begin anew from the dense network.
REBORN = ("b", "force", "0.98")
# Here channels are constant over the batch: float32's BatchNorm divides rounding by rounding, up to 2e-6 of 2e-3.
CONSTANT = ("b", "force", "0.999")
ROUNDS = [(*run, s) for run in RUNS for s in SPARSITIES if (*run, s) != DEAD]


def flat(tensors):
    return torch.cat([t.flatten() for t in tensors.values()]).numpy()


@pytest.mark.parametrize(("letter", "what"), RUNS)
def test_the_first_round_scores_as_the_official_code(case, letter, what):
    reference = case(letter)
    official = reference.flat(reference.official(FILES[what]), "score64")

    mine = flat(pabench.score(reference.module, NAMES[what], batch=reference.batch))

    assert np.abs(mine - official).max() < 1e-6 * official.max()


@pytest.mark.parametrize(("letter", "what", "sparsity"), ROUNDS)
def test_the_last_round_scores_and_keeps_as_the_official_code(case, letter, what, sparsity):
    """From the recorded mask before it; up to the count, int(N d) there."""
    reference = case(letter)
    file = reference.official(FILES[what])
    before = {n: torch.tensor(file[f"prev_mask_{sparsity}/{n}"]) for n in reference.names}
    official = reference.flat(file, f"final_score_{sparsity}")
    kept = reference.flat(file, f"mask64_{sparsity}").astype(bool)

    scores = scores_under(reference.module, NAMES[what], reference.batch, before)
    chosen = select(scores, int(kept.sum()), within=before if what == "itersnip" else None)

    tolerance = 1e-2 if (letter, what, sparsity) == CONSTANT else 1e-5
    assert np.abs(flat(scores) - official).max() < tolerance * official.max()
    assert np.array_equal(flat(chosen.masks), kept)


@pytest.mark.parametrize(("letter", "what", "sparsity"), [r for r in ROUNDS if r != REBORN])
def test_ten_rounds_end_with_the_official_mask(case, monkeypatch, letter, what, sparsity):
    """With the official count of int(N d) in every round, and nothing else changed."""
    reference = case(letter)
    official = reference.flat(reference.official(FILES[what]), f"mask64_{sparsity}").astype(bool)
    monkeypatch.setattr(pabench.scoring.criterion, "kept_count", lambda density, total: int(total * density))

    masks = pabench.prune(reference.module, NAMES[what], sparsity=float(sparsity), batch=reference.batch)

    assert np.array_equal(flat(masks), official)


@pytest.mark.parametrize(("letter", "what", "sparsity"), [DEAD, REBORN])
def test_a_dead_network_is_a_mask_of_ones_in_the_official_code_only(case, letter, what, sparsity):
    """5,064 of 5,064 weights kept where 10 and 221 were due; ours keeps what is asked in every round."""
    reference = case(letter)
    meta = json.loads(str(reference.official(FILES[what])["meta"]))
    counts = [kept for _, kept in meta["status"][f"steps_{sparsity}"]]

    masks = pabench.prune(reference.module, NAMES[what], sparsity=float(sparsity), batch=reference.batch)

    assert 5064 in counts
    # 5064 - floor(0.98 * 5064), 5064 - floor(0.999 * 5064)
    assert masks.receipt["kept"] == {"0.98": 102, "0.999": 6}[sparsity]
