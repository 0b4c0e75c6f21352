"""Gradient norm before and after pruning."""

from __future__ import annotations

import pytest
import torch

import pabench
from pabench.diagnostics.metric import MetricContext
from pabench.diagnostics.metrics.gradient_norm import GradientNorm
from pabench.errors import SuiteError
from pabench.networks.network import Network


def test_on_softmax_regression_the_norm_is_known(softmax):
    """x = (1, 3), logits (-1, 0), p0 = 0.2689: the gradient is +-0.7311 (1, 3), its norm 0.7311 sqrt(20)."""
    module, batch = softmax
    masks = {"weight": torch.tensor([[True, False], [True, True]])}

    found = pabench.measure(module, masks, "gradient_norm", batch=batch)

    assert found["before"] == pytest.approx(0.7311 * 20**0.5, abs=1e-3)
    # without w = -1 the logits are (2, 0): 1 - p0 = 0.1192, and three weights are left: 1, 1, 3
    assert found["after"] == pytest.approx(0.1192 * 11**0.5, abs=1e-3)
    assert found["change"] == pytest.approx(found["after"] / found["before"])


def test_what_the_receipt_knows_is_not_computed_again(softmax):
    module, _ = softmax
    ctx = MetricContext(
        lambda: pytest.fail("looked at images"), receipt={"gradient_norm": {"before": 2.0, "after": 3.0}}
    )

    found = GradientNorm().measure({}, Network(module), ctx)

    assert found == {"before": 2.0, "after": 3.0, "change": 1.5}


def test_without_images_it_says_what_it_needs(softmax):
    with pytest.raises(SuiteError, match=r"needs images: give batch=\(x, y\)"):
        pabench.measure(softmax[0], {}, "gradient_norm")
