"""The change between two studies: what is compared, and the noise it is held against."""

from __future__ import annotations

import pandas as pd
import pytest

from pabench.statistics.contrast import contrasts, seed_noise


def frame_of(rows):
    place = {"dataset": "d", "model": "m", "ablation": "", "train": "plain", "sparsity": 0.9, "block": "x"}
    return pd.DataFrame([{**place, "criterion": c, "seed": s, "top1": t} for c, s, t in rows])


def test_noise_is_pooled_over_what_was_repeated():
    """Variances 2 (80, 82) and 8 (70, 74): the root of their mean 5."""
    rows = [("a", 0, 80.0), ("a", 1, 82.0), ("b", 0, 70.0), ("b", 1, 74.0), ("c", 0, 50.0)]
    assert seed_noise(frame_of(rows)) == {("d", "m"): pytest.approx(5**0.5)}


def test_a_contrast_needs_both_studies():
    frame = frame_of([("a", 0, 1.0)])

    assert contrasts(frame, frame.assign(criterion="b")) == []


def test_seeds_that_are_equal_beside_seeds_that_failed_are_not_called_identical():
    """Seed 0 is the same in both, seeds 1 to 4 failed in the second: what is left are survivors."""
    first = frame_of([("a", seed, 80.0 + seed) for seed in range(5)]).assign(outcome="trained")
    fell = first["seed"] > 0
    second = first.assign(top1=first["top1"].mask(fell), outcome=first["outcome"].mask(fell, "failed"))

    (found,) = contrasts(first, second)
    (same,) = contrasts(first, first)

    assert (found.verdict, found.p, found.identical) == ("not tested", None, False)
    assert same.verdict == "identical"
