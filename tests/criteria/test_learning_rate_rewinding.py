"""Learning-rate rewinding: the masks of magnitude after training, on weights that train on. The training itself is
tested in `tests/training/test_reference.py`."""

from __future__ import annotations

import pytest
import torch
from pabench_criteria.learning_rate_rewinding import LearningRateRewinding
from torch import nn

import pabench
from pabench.errors import SuiteError
from pabench.training.reference import rewound_to


def test_masks_are_those_of_magnitude_after_training():
    """What is rewound decides the training and not the mask: the three largest of twelve trained weights stay."""
    module = nn.Linear(4, 3, bias=False)
    trained = {"weight": torch.tensor([[1.0, -12.0, 2.0, 3.0], [-11.0, 4.0, 5.0, 6.0], [7.0, 8.0, 9.0, -10.0]])}

    masks = pabench.prune(module, "learning_rate_rewinding", sparsity=0.75, trained=trained)

    assert masks["weight"].flatten().nonzero().flatten().tolist() == [1, 4, 11]
    weights = pabench.prune(module, "magnitude_after_training", sparsity=0.75, trained=trained)
    assert torch.equal(masks["weight"], weights["weight"])


def test_training_goes_on_from_the_trained_weights_at_the_learning_rate_of_an_epoch():
    """With k = 3: no epoch before the masks take hold, and the recipe from its fourth epoch on."""
    rule = LearningRateRewinding(rewind_epochs=3)

    assert (rule.dense_epochs(), rule.resumes_at(), rewound_to(rule)) == (0, 3, 3)


def test_without_trained_weights_the_library_refuses():
    with pytest.raises(SuiteError, match="trained weights are not known"):
        pabench.score(nn.Linear(2, 2), "learning_rate_rewinding")
