"""Tests of pabench.diagnostics.specimens."""

from __future__ import annotations

import torch

from pabench.diagnostics.specimens import CONVOLUTIONAL, permuted


def test_permuting_hidden_units_changes_no_output():
    """Otherwise the check of equivariance would compare two functions."""
    order = torch.tensor([3, 0, 7, 1, 2, 6, 5, 4])
    module = CONVOLUTIONAL.module().eval()
    ((x, _),) = CONVOLUTIONAL.batches(2, 1)

    other = permuted(module, CONVOLUTIONAL.hidden, order)

    torch.testing.assert_close(other(x), module(x), rtol=1e-12, atol=0)
    assert not torch.equal(other[0].weight, module[0].weight)
