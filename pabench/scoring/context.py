"""What a criterion may look at while it scores a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from pabench.data import task
from pabench.errors import SuiteError
from pabench.networks.derivatives import gradient, hessian_gradient, hessian_product
from pabench.networks.flow import Flow
from pabench.networks.network import Tensors
from pabench.scoring.gradients import Asked, Taken
from pabench.scoring.parts import Batch as Batch, Parted
from pabench.suite.digest import derive_seed


def permuted(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """The same entries elsewhere; the order is drawn on the CPU."""
    order = torch.randperm(tensor.numel(), generator=generator, device="cpu").to(tensor.device)
    return tensor.flatten()[order].view(tensor.shape)


@dataclass(frozen=True)
class Sources:
    """What few criteria ask for, and only a study can give.

    `redraw(seed)`: all tensors of the network at another initialization, in the dtype and on the device of scoring.
    `trained()`: prunable weights by name after training the dense network by the cell's recipe; `gradual(density)`:
    after training and pruning it to that density (`Criterion.gradual`).
    `layers(allocation, density)`: how many weights of each layer the criterion that `as:NAME` names keeps of the same
    dense network.
    """

    redraw: Callable[[int], Tensors] | None = None
    trained: Callable[[], Tensors] | None = None
    gradual: Callable[[float], Tensors] | None = None
    layers: Callable[[str, float], Mapping[str, int]] | None = None


@dataclass(frozen=True)
class ScoreContext:
    """All a criterion may look at: no optimizer, no test data, and trained weights only if it declares `trains`.

    `weights` are the prunable weights at initialization by parameter name, in the order of the network; `mask` has
    their names and shapes, 1 kept and 0 pruned; `rest` holds all other parameters and buffers. `call(tensors, x)` is
    the network as a pure function: `tensors` are weights and rest together, `x` is (N, C, H, W), the logits (N, K).
    Buffers are never changed. `batches` are (x, y) pairs, class-balanced, empty for a data-free criterion; where images
    are to be taken a few at a time, `parts` gives them. `noise` and `generator` are the only randomness allowed.
    `round` counts from 0. `sources` hold what few criteria ask for; `buffers` name what training leaves alone in
    `rest`. `share` is what the loss of a part counts in that of the whole. `taken` is the gradient that other criteria
    have taken in the same task, if any.
    """

    weights: Tensors
    mask: Tensors
    rest: Tensors
    call: Callable[[Tensors, Tensor], Tensor]
    batches: Sequence[Batch]
    input_shape: tuple[int, ...]
    seed: int = 0
    round: int = 0
    sources: Sources = field(default_factory=Sources)
    buffers: frozenset[str] = frozenset()
    share: float = 1.0
    taken: Taken | None = None

    @cached_property
    def noise(self) -> Tensors:
        """U(0, 1) per weight in float64, from the cell's seed."""
        generator = torch.Generator().manual_seed(self.seed % 2**63)
        drawn = {n: torch.rand(w.shape, generator=generator, dtype=torch.float64) for n, w in self.weights.items()}
        return {n: u.to(self.weights[n].device) for n, u in drawn.items()}

    def generator(self, purpose: str) -> torch.Generator:
        """A generator on the CPU that depends on the cell's seed, the round and the purpose, and on nothing else."""
        return torch.Generator().manual_seed(derive_seed(self.seed, purpose, self.round))

    def redrawn(self, purpose: str) -> Tensors:
        """All tensors of the network, weights and rest, at another initialization that depends on seed and purpose.

        A suite draws it by the network's own rules. Where those are not known (the library, with any module), each
        prunable weight is permuted within its tensor, a draw from its own empirical distribution; the rest stays.
        """
        if self.sources.redraw is not None:
            return self.sources.redraw(derive_seed(self.seed, purpose, self.round))
        generator = self.generator(purpose)
        return {**self.rest, **{n: permuted(w, generator) for n, w in self.weights.items()}}

    def trained(self, density: float = 1.0) -> Tensors:
        """Prunable weights by name after training the dense network by the cell's recipe, of a criterion that `trains`.

        With a `density` below 1, after a training that prunes to it (`Criterion.gradual`). SuiteError outside a study,
        unless the caller of the library gave them.
        """
        if self.sources.gradual is not None:
            return self.sources.gradual(density)
        if self.sources.trained is None:
            raise SuiteError("trained weights are not known; run it in a suite, or give trained=model.state_dict()")
        return self.sources.trained()

    def ones(self) -> Tensor:
        """An all-ones input (1, C, H, W) in the dtype of the weights; SuiteError where the shape is not known."""
        if not self.input_shape:
            raise SuiteError("the shape of the input is not known; give input_shape=(C, H, W)")
        return torch.ones(1, *self.input_shape).to(next(iter(self.weights.values())))

    def flow(self, positive: Callable[[Tensor], Tensor]) -> Flow | None:
        """The network with each tensor made `positive`, as a flow of ones that is scored and pruned by itself.

        None where it has operations that may make negative numbers of positive ones, or lose what they are given.
        """
        if positive not in self._flows:
            rest = {n: positive(v) if v.is_floating_point() else v for n, v in self.rest.items()}
            weights = {n: positive(w) for n, w in self.kept.items()}
            self._flows[positive] = Flow.of(self.call, weights, rest, self.ones())
        return self._flows[positive]

    @cached_property
    def _flows(self) -> dict[Callable[[Tensor], Tensor], Flow | None]:
        return {}

    @property
    def kept(self) -> Tensors:
        """m * w: the weights of the network as it is pruned so far."""
        return {n: w * self.mask[n] for n, w in self.weights.items()}

    def logits(self, weights: Tensors, x: Tensor) -> Tensor:
        """Outputs (N, K) of the network with these prunable weights and everything else as initialized."""
        return self.call({**self.rest, **weights}, x)

    def singly(self) -> Iterator[Self]:
        """The context with each of its batches alone, one after another."""
        return (replace(self, batches=self.batches[i : i + 1]) for i in range(len(self.batches)))

    def parts(self) -> Iterator[Self]:
        """Contexts with one batch each, whose losses add up to this one's.

        Where few images are to be taken at once (`at_once` of the library, `scoring.batch` of a suite), it is a part
        of one.
        """
        if not isinstance(self.batches, Parted):
            return self.singly()
        return (replace(self, batches=(batch,), share=share) for batch, share in self.batches.parts())

    def loss(self, weights: Tensors, temperature: float = 1.0) -> Tensor:
        """Cross-entropy of logits / temperature, the mean of each batch, summed over batches; on regression data the
        squared error of outputs / temperature (`data.task.loss`).

        With BatchNorm in train mode each part of a batch (`parts`) counts as a batch, with statistics of its own.
        """
        losses = [part._mean(weights, temperature) for part in self.parts()]
        return sum(losses[1:], losses[0])

    def _mean(self, weights: Tensors, temperature: float) -> Tensor:
        ((x, y),) = self.batches
        loss = task.loss(self.logits(weights, x) / temperature, y)
        return loss if self.share == 1 else self.share * loss

    def gradient(self, weights: Tensors, temperature: float = 1.0) -> Tensors:
        """dL/dw of this loss. Batches and their parts are passed one after another: it takes the memory of one."""
        if self.taken is None:
            return self._gradient(weights, temperature)
        asked = Asked(self.call, self.rest, self.batches, weights, temperature, self.share)
        return self.taken.of(asked, lambda: self._gradient(weights, temperature))

    def _gradient(self, weights: Tensors, temperature: float) -> Tensors:
        return _sum(gradient(lambda w, part=part: part.loss(w, temperature), weights) for part in self.parts())  # type: ignore[misc]

    def hessian_gradient(self, weights: Tensors, temperature: float = 1.0) -> Tensors:
        """H g of this loss, the product of its Hessian with its gradient.

        In parts it takes the memory of one, and the gradient of all of them first.
        """
        if not isinstance(self.batches, Parted):
            return hessian_gradient(lambda w: self.loss(w, temperature), weights)
        g = self.gradient(weights, temperature)
        return _sum(
            hessian_product(lambda w, part=part: part.loss(w, temperature), weights, g)  # type: ignore[misc]
            for part in self.parts()
        )


def _sum(terms: Iterable[Tensors]) -> Tensors:
    """By name. Each term is freed as it is added: of a large network they are what there is no room for."""
    total: Tensors = {}
    for term in terms:
        total = {n: total[n] + term.pop(n) for n in list(term)} if total else term
    return total
