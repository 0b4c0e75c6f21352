"""Relative magnitude: the size of a weight in units of what is usual in its layer."""

from dataclasses import dataclass
from typing import Literal

import torch

from pabench.plugins import ScoreContext, ScoreCriterion, Tensors


@dataclass(frozen=True, kw_only=True)
class RelativeMagnitude(ScoreCriterion):
    """Score |w| / rms(w), with the root mean square over the layer of w.

    Magnitude ranks all layers together, and so keeps those that are initialised with larger weights. In units of
    its own layer no weight gains by the scale of the layer: multiplying a layer by a constant changes no mask. A layer
    whose weights are all 0 scores 0.
    """

    name = "relative_magnitude"
    paper = "none: an example"
    version = 1  # raise it with every change that can change a mask
    precision = "float32"
    bn: Literal["eval"] = "eval"
    examples_per_class: Literal[0] = 0  # it looks at no image

    def score(self, ctx: ScoreContext) -> Tensors:
        usual = {n: w.square().mean().sqrt().clamp_min(torch.finfo(w.dtype).tiny) for n, w in ctx.weights.items()}
        return {n: w.abs() / usual[n] for n, w in ctx.kept.items()}
