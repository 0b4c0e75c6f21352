"""Magnitude after training: the largest trained weights stay, whatever they were at initialization."""

from __future__ import annotations

import pytest
import torch
from pabench_criteria.magnitude_after_training import MagnitudeAfterTraining
from torch import nn

import pabench
from pabench.errors import SuiteError
from pabench.training.reference import rewound_to

TRAINED = {"weight": torch.tensor([[-4.0, 0.5], [1.0, -2.0]])}


def module() -> nn.Module:
    made = nn.Linear(2, 2, bias=False)
    made.weight.data = torch.tensor([[0.1, 9.0], [8.0, 0.2]])
    return made


def test_scores_the_size_of_the_trained_weights_and_not_of_the_initial_ones():
    scores = pabench.score(module(), "magnitude_after_training", trained=TRAINED)

    assert scores["weight"].tolist() == [[4.0, 0.5], [1.0, 2.0]]


def test_keeps_what_training_made_large():
    """At 50 % two of four stay: those that are -4 and -2 after training, the two smallest before it."""
    masks = pabench.prune(module(), "magnitude_after_training", sparsity=0.5, trained=TRAINED)

    assert masks["weight"].tolist() == [[True, False], [False, True]]


def test_without_trained_weights_the_library_refuses():
    with pytest.raises(SuiteError, match="trained weights are not known"):
        pabench.score(module(), "magnitude_after_training")


def test_rewinding_says_where_training_goes_on_and_changes_no_score():
    """With k = 3 the masks take hold after three epochs, and nothing goes on from the trained weights."""
    rule = MagnitudeAfterTraining(rewind_epochs=3)

    assert (rule.dense_epochs(), rule.resumes_at(), rewound_to(rule)) == (3, None, 3)
    assert torch.equal(pabench.score(module(), rule, trained=TRAINED)["weight"], TRAINED["weight"].abs().double())
