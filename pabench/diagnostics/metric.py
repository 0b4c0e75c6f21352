"""The interface of a metric: a diagnosis of a mask, of two masks, or of a training, as flat numbers.

A metric never changes a result: what it gives lies beside the records and is part of no cell's key.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from pabench.errors import PluginError, SuiteError
from pabench.networks.network import Network, Tensors
from pabench.networks.ticket import Hidden
from pabench.scoring.context import Batch
from pabench.suite.digest import derive_seed

Numbers = Mapping[str, float | None]
"""Figures by name; None where one is not defined, such as the condition number of a singular matrix."""


@dataclass(frozen=True)
class MetricContext:
    """What a metric may look at besides the masks and the network.

    `input_shape` is (C, H, W); `receipt` says how the masks came about, {} where that is not known; `load` gives
    `batches`, which are not read before somebody looks at them, and `load_test` the same of test data.
    `ticket` says where one is planted in the network; no criterion knows.
    """

    load: Callable[[], tuple[Batch, ...]] = tuple
    input_shape: tuple[int, ...] = ()
    seed: int = 0
    receipt: Mapping[str, Any] = field(default_factory=dict)
    load_test: Callable[[], tuple[Batch, ...]] = tuple
    ticket: Hidden | None = None

    def held_out(self) -> Batch:
        """Test data as one batch (x, y), to see what a masked network computes before training; outside a study those
        of `batches`. SuiteError where there are none."""
        found = self.load_test() or self.batches
        if not found:
            raise SuiteError("needs data: give batch=(x, y)")
        return torch.cat([x for x, _ in found]), torch.cat([y for _, y in found])

    @cached_property
    def batches(self) -> tuple[Batch, ...]:
        """(x, y) pairs of class-balanced training images without augmentation, the same for all cells of a block."""
        return self.load()

    def generator(self, purpose: str) -> torch.Generator:
        """A generator on the CPU that depends on the block's seed and the purpose, and on nothing else."""
        return torch.Generator().manual_seed(derive_seed(self.seed, purpose))

    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of an input; SuiteError where it is not known."""
        if not self.input_shape:
            raise SuiteError("the shape of the input is not known; give input_shape=(C, H, W)")
        return self.input_shape

    def images(self, count: int) -> Tensor:
        """`count` images (N, C, H, W), evenly spread over the batches and so over classes; all where there are fewer.

        SuiteError where there are none.
        """
        if not self.batches:
            raise SuiteError("needs images: give batch=(x, y)")
        x = torch.cat([x for x, _ in self.batches])
        count = min(count, len(x))
        return x[torch.arange(count) * len(x) // count]


@dataclass(frozen=True)
class Training:
    """A training as its record tells it: per epoch the mean loss and the accuracy in percent, on training images as
    they came (augmented), and how many optimizer steps an epoch has."""

    loss: tuple[float, ...]
    top1: tuple[float, ...]
    steps_per_epoch: int


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """A diagnosis. Its fields are its parameters. Subclass one of the three kinds below.

    `cost`: "cheap" is always computed, "dear" when a suite lists it under `metrics`. `title` and `unit` are what
    reports call it. Raise `version` with every change that can change a number.
    """

    kind: ClassVar[str] = "metrics"
    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str] = ""
    cost: ClassVar[Literal["cheap", "dear"]] = "cheap"
    stage: ClassVar[Literal["mask", "pair", "training"]]
    version: ClassVar[int] = 1


class MaskMetric(Metric):
    """A figure of a masked network at initialization: write `measure`, and give it a `name` and a `title`.

    Example: docs/metrics.md. Built-in ones: `pabench.diagnostics.metrics`.
    """

    stage = "mask"
    bn: ClassVar[Literal["train", "eval"]] = "eval"
    """BatchNorm while measuring: stored initial statistics (eval) or those of the batch (train)."""

    @abstractmethod
    def measure(self, masks: Tensors, network: Network, ctx: MetricContext) -> Numbers:
        """Figures of `network` under `masks` (bool, True = kept, by parameter name, on the network's device).

        `network.weights` are the unmasked prunable weights, `network.rest` everything else, and
        `network.call({**rest, **weights}, x)` its logits (N, K). Pure: nothing in place, no own randomness.
        """


class PairMetric(Metric):
    """A figure of two masks of one network, such as their overlap: two criteria of a block at one sparsity."""

    stage = "pair"

    @abstractmethod
    def measure(self, first: Tensors, second: Tensors) -> Numbers:
        """Figures of two masks (bool, True = kept, by parameter name); the order of the two does not matter."""


class CurveMetric(Metric):
    """A figure of a finished training, from its curve, such as the epochs to an accuracy."""

    stage = "training"

    @abstractmethod
    def measure(self, training: Training) -> Numbers:
        """Figures of the training curve, by name; None where one is not defined."""


def kept(masks: Tensors, network: Network) -> Tensors:
    """m * w by parameter name: the prunable weights of the masked network. One that no mask names stays whole."""
    return {n: w * masks[n].to(w) if n in masks else w for n, w in network.weights.items()}


def checked(numbers: Any, name: str) -> dict[str, float | None]:
    """Finite floats or None by name; PluginError names what is neither. NaN and infinities become None."""
    if not isinstance(numbers, Mapping):
        raise PluginError(f"{name}: measure() gave {type(numbers).__name__}, expected a dict of numbers by name")
    found: dict[str, float | None] = {}
    for key, value in numbers.items():
        if not isinstance(key, str) or not isinstance(value, int | float | None):
            raise PluginError(f"{name}: {key}: {type(value).__name__}, expected a number or None")
        found[key] = float(value) if value is not None and math.isfinite(value) else None
    return found
