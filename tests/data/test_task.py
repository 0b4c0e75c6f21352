"""The loss of a task, read off its targets."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pabench.data import task
from pabench.errors import DataError

OUTPUTS = torch.tensor([[1.0, 0.0], [3.0, 2.0]])
NUMBERS = torch.tensor([[0.0, 0.0], [1.0, 0.0]])


def test_numbers_are_hit_by_the_squared_error_of_torch():
    """Errors 1, 0, 2, 2: squares 1, 0, 4, 4, their means by sample 0.5 and 4."""
    assert task.loss(OUTPUTS, NUMBERS).item() == nn.MSELoss()(OUTPUTS, NUMBERS).item() == 2.25
    assert task.loss(OUTPUTS, NUMBERS, reduction="sum").item() == 4.5
    assert task.loss(OUTPUTS, NUMBERS, reduction="none").tolist() == [0.5, 4.0]


def test_classes_have_the_cross_entropy_of_torch():
    labels = torch.tensor([0, 1])
    expected = nn.functional.cross_entropy(OUTPUTS, labels, label_smoothing=0.1)
    assert torch.equal(task.loss(OUTPUTS, labels, smoothing=0.1), expected)
    assert task.right(OUTPUTS, labels).tolist() == [True, False]


def test_numbers_in_another_precision_are_no_other_targets():
    assert task.loss(OUTPUTS.double(), NUMBERS).dtype == torch.float64


def test_there_are_no_labels_to_smooth_among_numbers():
    with pytest.raises(DataError, match=r"recipe\.label_smoothing: regression has no labels to smooth; leave it out"):
        task.loss(OUTPUTS, NUMBERS, smoothing=0.1)


def test_cross_entropy_that_a_criterion_calls_itself_becomes_the_loss_of_the_task():
    """Wherever it is called, and for one sample as for many; of classes it stays what it is."""
    labels = torch.tensor([0, 1])
    assert task.as_cross_entropy(OUTPUTS[:1], NUMBERS[:1]).item() == 0.5
    assert task.as_cross_entropy(OUTPUTS, NUMBERS, reduction="none").tolist() == [0.5, 4.0]
    assert torch.equal(task.as_cross_entropy(OUTPUTS, labels), nn.functional.cross_entropy(OUTPUTS, labels))


def test_the_spread_of_targets_is_the_error_of_their_mean():
    """Column means 0.5 and 0: variances 0.25 and 0."""
    assert task.spread(NUMBERS) == 0.125
    with pytest.raises(DataError, match="all targets are one and the same number"):
        task.spread(torch.ones(3, 1))
