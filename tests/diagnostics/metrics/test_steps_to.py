"""Steps to reach given accuracies."""

from __future__ import annotations

from pabench.diagnostics.metric import Training
from pabench.diagnostics.metrics.steps_to import StepsTo
from pabench.parameters import create


def test_the_first_epoch_that_reaches_an_accuracy_counts_with_all_its_steps():
    """50 % in epoch 2 of 25 steps each, 75 % in epoch 4 though epoch 3 fell back, 90 % never."""
    training = Training(loss=(2.0, 1.0, 1.1, 0.5), top1=(30.0, 50.0, 49.0, 80.0), steps_per_epoch=25)

    found = StepsTo().measure(training)

    assert found == {
        **{"epochs_50": 2, "steps_50": 50, "epochs_75": 4, "steps_75": 100},
        **{"epochs_90": None, "steps_90": None},
    }


def test_accuracies_are_a_parameter_as_yaml_writes_lists():
    training = Training(loss=(2.0,), top1=(99.6,), steps_per_epoch=7)

    found = create(StepsTo, {"accuracies": [99.5]}, "steps_to").measure(training)

    assert found == {"epochs_99.5": 1, "steps_99.5": 7}
