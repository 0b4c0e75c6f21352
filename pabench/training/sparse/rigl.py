"""RigL: the mask moves to where the gradient of the dense network is largest (Evci et al. 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le

from pabench.parameters import PositiveInt
from pabench.training.sparse.method import Held, Method
from pabench.training.sparse.moving import Layers, exchange, groups, highest


@dataclass(frozen=True, kw_only=True)
class Rigl(Method):
    """Every so many steps the smallest kept weights are dropped, and as many pruned ones grow that have the largest
    gradient (algorithm 1); that step moves no weight.

    `drop` is the paper's alpha, `every` its delta T in steps, `until` its T_end as a part of training. The fraction
    that is dropped of a layer's kept weights is alpha / 2 (1 + cos(t pi / T_end)), rounded down. The gradient is that
    of the step's batch. What was dropped may grow again at once, as in the paper, where growth looks at all but the
    weights that stay. The paper's pseudocode could change the mask at t = 0; here the first change is at t = `every`.
    Its official code adds noise of 1e-5 to the sizes of weights, against ties; here the first of equal ones is taken.

    `layers: kept` is the paper's: each layer keeps its density. `free` compares the weights and gradients of all
    layers, as `global_magnitude` and `global_momentum` of the code of Dettmers & Zettlemoyer 2019 (arXiv:1907.04840)
    do, with the gradient in place of the momentum.
    """

    name = "rigl"
    paper = "arXiv:1911.11134"
    moves = True
    drop: Annotated[float, Gt(0), Le(1)] = 0.3
    every: PositiveInt = 100
    until: Annotated[float, Ge(0), Le(1)] = 0.75
    layers: Layers = "kept"

    def before(self, held: Held, step: int) -> bool:
        end = self.until * held.steps
        if step == 0 or step % self.every or step >= end:
            return True
        # rounded before it is cut off: a half of 1 + cos(2 pi / 3) is a little less than a quarter
        fraction = self.drop / 2 * (1 + math.cos(math.pi * step / end))
        gradients = {name: torch.zeros_like(w) if w.grad is None else w.grad.abs() for name, w in held.weights.items()}
        for group in groups(held, self.layers):
            sizes, kept = group.row(held.weights).abs(), group.row(held.masks).bool()
            dropped = highest(-sizes, kept, int(round(fraction * group.kept, 6)))
            exchange(held, group, dropped, group.row(gradients))
        held.zero()
        return False

    def after(self, held: Held, step: int) -> None:
        pass
