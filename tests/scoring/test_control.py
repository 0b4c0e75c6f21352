"""Controls train another network in place of a pruned one; what they may be told of the original."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from torch import nn

import pabench
from pabench.errors import SuiteError
from pabench.scoring.control import Control, Original
from pabench.suite.specs import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Same(Control):
    name = "same"

    def instead(self, original, density):
        return original.narrowed(original.left(density))


def test_what_is_left_are_the_kept_weights_and_all_that_is_never_pruned():
    """Of 100 parameters 80 are prunable: at density 0.1 there stay 8 and the other 20."""
    original = Original(ModelSpec("resnet8"), 100, 80, lambda n: ModelSpec("resnet8", {"width": n}))

    assert original.left(0.1) == 28
    assert original.left(1.0) == 100
    assert Same().instead(original, 0.1) == ModelSpec("resnet8", {"width": 28})


def test_the_library_has_no_masks_of_a_control():
    with pytest.raises(SuiteError, match="same prunes nothing, it trains another network: run it in a suite"):
        pabench.prune(nn.Linear(2, 2), Same(), sparsity=0.5)
