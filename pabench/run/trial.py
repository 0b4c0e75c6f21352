"""One model scored on its own, outside any suite: what the criterion keeps in each layer, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pabench import registry
from pabench.data.split import Images, Streamed
from pabench.errors import MissingError, PabenchError, SuiteError
from pabench.networks import models as models
from pabench.run.resolve import Resolver
from pabench.scoring.control import Control
from pabench.scoring.criterion import Criterion
from pabench.scoring.donor import precision
from pabench.scoring.masks import Masks
from pabench.scoring.parts import Given
from pabench.scoring.receipt import Pruned
from pabench.suite.cell import Cell
from pabench.suite.entries import DatasetEntry
from pabench.suite.specs import AUTO, ModelSpec, Recipe, Scoring
from pabench.training.block import Block
from pabench.training.prune import scored

EMBEDDED, SIDE = "digits", 32
"""What a model is scored on where nothing is said: at 8 x 8 pixels most networks would have nothing left to see."""


@dataclass(frozen=True)
class Trial(Block):
    """A model at initialization and the training images it is scored on, of `side` pixels (0: the dataset's own).

    Where the images have the dataset's own shape, weights, images and noise are those of a study's block with the same
    dataset, model and seed, and so are the masks.
    """

    side: int = 0

    @classmethod
    def open(
        cls,
        model: ModelSpec,
        data: str = "",
        path: str = "",
        *,
        side: int = 0,
        seed: int = 0,
        include: Sequence[str] = (),
        device: torch.device,
    ) -> Trial:
        """The model and a dataset of the registry; without `data` the embedded digits, enlarged to 32 x 32.

        `include` as in a suite. SuiteError, MissingError: unknown model or argument, dataset that is not there.
        """
        resolver = Resolver(device)
        dataset = resolver.dataset(DatasetEntry(name=data or EMBEDDED, path=path))
        if gap := resolver.missing.get(dataset.label):
            raise MissingError(gap)
        cell = Cell(dataset, model, None, 0.0, seed, Recipe(), Scoring(include=tuple(sorted(include))))
        trial = cls(cell, device, side or (0 if data else SIDE))
        # `pabench run` decides some arguments for its user; the same here, or the weights would be of another block
        model = models.resolve(model, trial.dataset.classes, trial.shape)
        return replace(trial, cell=replace(cell, model=model))

    @property
    def shape(self) -> tuple[int, int, int]:
        """One channel is seen as three."""
        channels = self.dataset.shape[0]
        return (3 if channels == 1 else channels, self.side, self.side) if self.side else self.dataset.shape

    def prune(self, rule: Criterion, sparsity: float, dtype: str) -> tuple[Pruned, int]:
        """Masks with their receipt and seconds, and the peak memory of making them in bytes."""
        if isinstance(rule, Control) or rule.trains:
            raise SuiteError(f"{rule.name} is no scoring at initialization ({rule.reference_line}): run it in a suite")
        needed = precision(rule) if dtype == AUTO else dtype
        cell = replace(self.cell, sparsity=sparsity, scoring=replace(self.cell.scoring, dtype=needed))
        ((pruned, cost),) = scored([cell], self, rule, lambda event: None)
        return pruned, int(cost["scoring_peak_bytes"])

    def _given(self, split: Images | Streamed, indices: Tensor) -> Given:
        """Bilinear, one channel repeated."""
        images, y = super()._given(split, indices)
        x = images[:]
        if x.shape[1:] != self.shape:
            x = F.interpolate(x, size=self.shape[1:], mode="bilinear", align_corners=False)
            x = x.expand(-1, self.shape[0], -1, -1)
        return x.contiguous(), y


def score(trial: Trial, rule: Criterion, sparsity: float, dtype: str) -> tuple[Masks, dict[str, Any]]:
    """Masks, and all there is to say about them as plain data."""
    pruned, peak = trial.prune(rule, sparsity, dtype)
    told = {
        "model": trial.cell.model.identity(),
        "dataset": trial.cell.dataset.label,
        "shape": list(trial.shape),
        "seed": trial.cell.seed,
        "seconds": pruned.seconds,
        "peak_bytes": peak,
        "flags": pruned.flags,
        "receipt": pruned.receipt,
    }
    return Masks(pruned.masks, pruned.receipt, pruned.flags), told


def times(trial: Trial, rules: Iterable[Criterion], sparsity: float, repeats: int) -> list[dict[str, Any]]:
    """By criterion and dtype the median seconds of `repeats` scorings, and the largest peak memory in bytes.

    What a criterion takes is one mask, all its rounds included. Where there is none, `why` says so.
    """
    rows = []
    for rule in rules:
        for dtype in ("float64", "float32"):
            took, peak, why = None, None, ""
            try:
                made = [trial.prune(rule, sparsity, dtype) for _ in range(repeats)]
                took, peak = median(pruned.seconds for pruned, _ in made), max(peak for _, peak in made)
            except PabenchError as error:
                why = str(error)
            rows.append({"criterion": rule.name, "dtype": dtype, "seconds": took, "peak_bytes": peak, "why": why})
    return rows


def criteria(given: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Criterion]:
    """Criteria by name and parameters; without any all that are installed and prune at initialization."""
    if given:
        return [registry.criterion(name, parameters) for name, parameters in given]
    rules = [registry.criterion(name) for name in sorted(registry.group("criteria").classes)]
    return [rule for rule in rules if not isinstance(rule, Control) and not rule.trains]
