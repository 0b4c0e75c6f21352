"""The small-dense control: how many parameters it asks for, and when there is no such network."""

from __future__ import annotations

import pytest
from pabench_criteria.small_dense import SmallDense

from pabench.errors import SuiteError
from pabench.scoring.control import Original
from pabench.suite.specs import ModelSpec

MODEL = ModelSpec("wide")


def asked(density: float) -> int:
    """The parameters that the control gives a narrower network of 1,000, of which 900 are prunable."""
    given = []

    def narrowed(parameters: int) -> ModelSpec:
        given.append(parameters)
        return ModelSpec("narrow")

    assert SmallDense().instead(Original(MODEL, 1000, 900, narrowed), density) == ModelSpec("narrow")
    return given[0]


def test_asks_for_the_kept_prunable_weights_and_all_others():
    """100 others stay whole: 10 % of 900 and they are 190, one of 900 and they are 101, all are 1,000."""
    assert [asked(density) for density in (0.1, 1 / 900, 1.0)] == [190, 101, 1000]


def test_says_why_there_is_no_narrower_network():
    def narrowed(parameters: int) -> ModelSpec:
        raise SuiteError("its narrowest version has 500 parameters")

    with pytest.raises(SuiteError, match="its narrowest version has 500 parameters"):
        SmallDense().instead(Original(MODEL, 1000, 900, narrowed), 0.1)


def test_draws_no_mask():
    with pytest.raises(SuiteError, match="small_dense prunes nothing, it trains another network: run it in a suite"):
        SmallDense().prune(None, 0.5)
