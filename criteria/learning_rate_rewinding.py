"""Magnitude pruning after training, with learning-rate rewinding (Renda et al. 2020)."""

from dataclasses import dataclass

from .magnitude_after_training import MagnitudeAfterTraining


@dataclass(frozen=True, kw_only=True)
class LearningRateRewinding(MagnitudeAfterTraining):
    """Score |w| of the trained weights, one shot, and train on from them: the learning rate alone is rewound.

    The dense network is trained by the cell's recipe, its T epochs, and pruned, as by `magnitude_after_training`. The
    trained weights and BatchNorm's statistics stay as they are, and are trained again under the mask by the recipe
    from the epoch `rewind_epochs` = k on: its learning rates and its data order for T - k epochs (Renda et al.,
    learning-rate rewinding with t = T - k), momentum from 0. The whole takes 2T - k epochs, as many as rewinding the
    weights to the same epoch; the receipt says them as `total_epochs`. The paper prunes in several such rounds as
    well; here it is one.

    Reference: the formula alone.
    """

    name = "learning_rate_rewinding"
    reference_line = "not at initialization: trains the dense network first, and its weights again"

    def dense_epochs(self) -> int:
        return 0

    def resumes_at(self) -> int:
        return self.rewind_epochs
