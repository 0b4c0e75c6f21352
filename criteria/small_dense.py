"""The small-dense control: a narrower network, dense, with as many parameters as the pruned one has left."""

from dataclasses import dataclass

from pabench.plugins import Control, ModelSpec, Original


@dataclass(frozen=True, kw_only=True)
class SmallDense(Control):
    """Train the widest narrower version of the network whose parameters of all kinds are at most those left by pruning.

    Left are the kept prunable weights and all other parameters (biases, norms) of the full network: the large-sparse
    and small-dense models of Zhu & Gupta (2017, arXiv:1710.01878). Pruning earns its irregular sparsity only where it
    beats this control. Depth, heads and groups stay; all widths shrink together. It is initialised by its own rules.

    Reference: the formula alone.
    """

    name = "small_dense"
    paper = "arXiv:1710.01878"
    reference_line = "no pruning: a narrower dense network"

    def instead(self, original: Original, density: float) -> ModelSpec:
        return original.narrowed(original.left(density))
