"""Tests of pabench.diagnostics.laws.law."""

from __future__ import annotations

import math

import pytest
import torch

from pabench.diagnostics.laws.law import relative_error, worst


def test_differences_are_relative_to_each_layer_and_nan_is_no_agreement():
    expected = {"large": torch.tensor([100.0, 1.0]), "small": torch.tensor([1e-3, 0.0])}
    found = {"large": torch.tensor([101.0, 1.0]), "small": torch.tensor([1e-3, 1e-4])}

    assert relative_error(found, expected) == pytest.approx(0.1)
    assert math.isnan(relative_error({"a": torch.tensor([math.nan])}, {"a": torch.tensor([1.0])}))
    assert math.isnan(worst([0.5, math.nan, 1.0]))
    assert relative_error({"a": torch.tensor([math.inf])}, {"a": torch.tensor([math.inf])}) == 0
