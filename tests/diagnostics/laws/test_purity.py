"""Tests of pabench.diagnostics.laws.purity."""

from __future__ import annotations

import pytest

from pabench.diagnostics.laws.purity import data, determinism, dtype, no_trace, seed
from pabench.diagnostics.trace import restored

from ...broken_criteria import (
    GlobalTorchNoise,
    HalfTheDigits,
    LeavesHooks,
    LooksAtNoImage,
    MutatesImages,
    NoiseForNothing,
    OwnGeneratorFromTheSeed,
    PeeksAtImages,
    Sound,
)


@pytest.mark.parametrize("law", [determinism, seed, no_trace, dtype, data])
def test_a_function_of_network_images_and_seed_passes(subject, law):
    assert law(subject(Sound())).verdict == "pass"


@pytest.mark.parametrize(
    ("law", "broken", "reason"),
    [
        (determinism, GlobalTorchNoise, "its outcome depends on something besides network, images and seed"),
        (seed, OwnGeneratorFromTheSeed, "its masks depend on the seed otherwise than by ctx.noise and ctx.generator"),
        (seed, NoiseForNothing, "it draws on the seed, and its masks do not depend on it"),
        (no_trace, MutatesImages, "images of batch 0"),
        (dtype, HalfTheDigits, "scores in float32"),
        (data, LooksAtNoImage, "it asks for images and does not look at them"),
        (data, PeeksAtImages, "it looks at images without asking for them"),
    ],
)
def test_what_else_it_depends_on_or_changes_is_named(subject, law, broken, reason):
    with restored():
        found = law(subject(broken()))

    assert (found.verdict, found.reason) == ("FAIL", reason)


def test_hooks_that_are_left_behind_are_seen_in_the_copy_that_is_scored(subject):
    with restored():
        found = no_trace(subject(LeavesHooks()))

    assert found.verdict == "FAIL"
    assert "while scoring" in found.reason


def test_random_pruning_moves_with_the_seed_and_with_nothing_else(subject):
    assert seed(subject("random")).verdict == "pass"
    assert determinism(subject("random")).figure == "0 values differ"
