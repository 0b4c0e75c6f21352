"""SET: weights near 0 make room for others at random (Mocanu et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Le

from pabench.parameters import PositiveInt
from pabench.suite.digest import derive_seed
from pabench.training.sparse.method import Held, Method
from pabench.training.sparse.moving import Layers, exchange, groups, highest


@dataclass(frozen=True, kw_only=True)
class Set(Method):
    """After every epoch but the last a part of the smallest positive and of the largest negative weights is dropped,
    and as many pruned ones grow, drawn at random (algorithm 1).

    `drop` is the paper's zeta, of each sign rounded down; a kept weight that is 0 counts as positive. `every` counts
    epochs. Where the paper draws the value of what grows, here it begins at 0, as in the SET of RigL's official code
    and in that of Dettmers & Zettlemoyer; what was dropped may be drawn again, and is then what it was. After the last
    epoch the paper drops and grows nothing, so that its network ends sparser; here nothing is dropped either.

    `layers: kept` is the paper's. `free` compares the weights of all layers with one threshold for each sign, as
    Mostafa & Wang 2019 (arXiv:1902.05967) drop by one threshold, and draws from the pruned weights of all layers alike;
    theirs let layers grow in proportion to what they have left.
    """

    name = "set"
    paper = "arXiv:1707.04780"
    moves = True
    drop: Annotated[float, Gt(0), Le(1)] = 0.3
    every: PositiveInt = 1
    layers: Layers = "kept"

    def after(self, held: Held, step: int) -> None:
        done = step + 1
        if done % (self.every * held.per_epoch) or done >= held.steps:
            return
        # one generator for each change, so that a training can be taken up between two of them
        generator = torch.Generator().manual_seed(derive_seed(held.seed, done))
        sizes = [weight.numel() for weight in held.weights.values()]
        device = next(iter(held.weights.values())).device
        row = torch.rand(sum(sizes), generator=generator).to(device)  # one copy, and one wait for it
        drawn = dict(zip(held.weights, row.split(sizes), strict=True))
        for group in groups(held, self.layers):
            weights, kept = group.row(held.weights), group.row(held.masks).bool()
            dropped = torch.zeros_like(kept)
            # 0.29 * 100 is 28.999999999999996
            for of_sign in (kept & (weights >= 0), kept & (weights < 0)):
                dropped |= highest(-weights.abs(), of_sign, (of_sign.sum().double() * self.drop + 1e-6).floor())
            exchange(held, group, dropped, group.row(drawn))
        held.zero()
