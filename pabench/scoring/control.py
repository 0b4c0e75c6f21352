"""The interface of a control: another network, trained in place of a pruned one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pabench.errors import SuiteError
from pabench.networks.network import Tensors
from pabench.scoring.context import ScoreContext
from pabench.scoring.criterion import Criterion
from pabench.scoring.selection import kept_count
from pabench.suite.specs import ModelSpec


@dataclass(frozen=True)
class Original:
    """The dense network of a block: what it is, all of its `parameters`, and how many of them are `prunable`.

    `narrowed(parameters)` is the widest narrower version of it with at most so many parameters; SuiteError where its
    architecture cannot be narrowed, or not that far.
    """

    model: ModelSpec
    parameters: int
    prunable: int
    narrowed: Callable[[int], ModelSpec]

    def left(self, density: float) -> int:
        """All parameters of the network pruned to a density: the prunable weights that are kept, and all others."""
        return self.parameters - self.prunable + kept_count(density, self.prunable)


@dataclass(frozen=True, kw_only=True)
class Control(Criterion):
    """A reference line that prunes nothing: it names the network that is trained in place of the pruned one.

    That network is initialised by its own rules from the block's seed, and trained and evaluated as every cell of the
    block: same data order, augmentation and recipe. There is no mask, so nothing that changes masks applies to it.
    """

    bn: Literal["eval"] = "eval"
    examples_per_class: Literal[0] = 0
    batch_split: Literal["whole"] = "whole"

    @abstractmethod
    def instead(self, original: Original, density: float) -> ModelSpec:
        """The network to train where a criterion keeps `density`; SuiteError says why there is none."""

    def prune(self, ctx: ScoreContext, density: float) -> Tensors:
        raise SuiteError(f"{self.name} prunes nothing, it trains another network: run it in a suite")
