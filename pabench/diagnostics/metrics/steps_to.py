"""How long training takes to reach given accuracies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from pabench.diagnostics.metric import CurveMetric, Numbers, Training
from pabench.parameters import PositiveFloat


@dataclass(frozen=True, kw_only=True)
class StepsTo(CurveMetric):
    """Optimizer steps until the end of the first epoch whose training accuracy reaches a figure, and that epoch.

    `accuracies` in percent. The accuracy of an epoch is that of its training images as they came, augmented, while the
    weights were changing; nothing finer than an epoch is known. None where an accuracy is never reached.
    """

    name = "steps_to"
    title = "training to accuracy"
    unit = "steps"
    accuracies: Annotated[tuple[PositiveFloat, ...], Field(strict=False)] = (50.0, 75.0, 90.0)

    def measure(self, training: Training) -> Numbers:
        found: dict[str, float | None] = {}
        for accuracy in self.accuracies:
            epoch = next((e for e, top1 in enumerate(training.top1, 1) if top1 >= accuracy), None)
            found[f"epochs_{accuracy:g}"] = epoch
            found[f"steps_{accuracy:g}"] = epoch and epoch * training.steps_per_epoch
        return found
