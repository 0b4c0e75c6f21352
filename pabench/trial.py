"""One model scored on its own, outside any suite: what the criterion keeps in each layer, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pabench import model as models
from pabench import registry
from pabench.block import Block
from pabench.cell import Cell, ModelSpec, Recipe, Scoring
from pabench.control import Control
from pabench.criterion import Batch, Criterion, Sources, Tensors
from pabench.entry import DatasetEntry
from pabench.errors import MissingError, PabenchError, SuiteError
from pabench.maskfile import Masks
from pabench.meter import Meter
from pabench.network import Network
from pabench.pruning import prune_all
from pabench.receipt import Pruned
from pabench.resolve import Resolver
from pabench.wording import NOTHING, percent, seconds, size
from pabench.yamlfile import Tree, read

EMBEDDED, SIDE = "digits", 32


@dataclass(frozen=True)
class Subject:
    """A model at initialization and the training images it is scored on.

    Where the images have the dataset's own `shape`, weights, images and noise are those of a study's block with the
    same dataset, model and seed, and so are the masks.
    """

    block: Block
    shape: tuple[int, int, int]

    @classmethod
    def open(
        cls,
        name: str,
        *,
        stem: str = "",
        args: Sequence[str] = (),
        data: str = "",
        side: int = 0,
        seed: int = 0,
        device: torch.device,
    ) -> Subject:
        """The model `name`, with `args` as KEY=VALUE, and a dataset of the registry.

        Without `data` the embedded digits, enlarged to 32 x 32 and three channels; `side` enlarges or shrinks the
        images of any dataset. SuiteError, MissingError: unknown model or argument, dataset that is not there.
        """
        resolver = Resolver(device)
        dataset = resolver.dataset(DatasetEntry(name=data or EMBEDDED))
        if gap := resolver.missing.get(dataset.label):
            raise MissingError(gap)
        spec = ModelSpec(name, assignments("--arg", args), stem)
        cell = Cell(dataset, spec, None, 0.0, seed, Recipe(), Scoring())
        own = Block(cell, device).dataset
        side = side or (0 if data else SIDE)
        shape = (3 if own.shape[0] == 1 else own.shape[0], side, side) if side else own.shape
        resolved = models.resolve(spec, own.classes, shape)
        return cls(Block(replace(cell, model=resolved), device), shape)

    def network(self, rule: Criterion, dtype: torch.dtype, seed: int | None = None) -> Network:
        seed = self.block.cell.seed_for("weights") if seed is None else seed
        module = models.build(self.block.cell.model, self.block.dataset.classes, self.shape, seed)
        return Network(module.to(self.block.device), bn=rule.bn, dtype=dtype)

    def batches(self, rule: Criterion) -> tuple[Batch, ...]:
        if not rule.examples_per_class:
            return ()
        found = self.block.scoring_batches(rule.examples_per_class, rule.batch_count())
        return tuple((_resized(x, self.shape), y) for x, y in found)

    def prune(self, rule: Criterion, sparsity: float, dtype: torch.dtype) -> tuple[Pruned, int]:
        """Masks with their receipt and seconds, and the peak memory of making them in bytes."""
        if isinstance(rule, Control) or rule.trains:
            raise SuiteError(f"{rule.name} is no scoring at initialization ({rule.reference_line}): run it in a suite")
        network = self.network(rule, dtype)

        def redraw(seed: int) -> Tensors:
            other = self.network(rule, dtype, seed)
            return {**other.rest, **other.weights}

        batches = self.batches(rule)
        with Meter(network.device) as meter:
            (pruned,) = prune_all(
                network,
                rule,
                [1 - sparsity],
                batches=batches,
                seed=self.block.cell.seed_for("noise"),
                input_shape=self.shape,
                sources=Sources(redraw=redraw),
            )
        return pruned, meter.peak_bytes


def score(subject: Subject, rule: Criterion, sparsity: float, dtype: str) -> tuple[Masks, dict[str, Any]]:
    """Masks, and all there is to say about them as plain data."""
    if not 0 <= sparsity < 1:
        raise SuiteError(f"--sparsity {sparsity:g}: not in [0, 1); 0.9 removes 90 % of the weights")
    pruned, peak = subject.prune(rule, sparsity, getattr(torch, dtype))
    told = {
        "model": subject.block.cell.model.identity(),
        "dataset": subject.block.cell.dataset.label,
        "shape": list(subject.shape),
        "seed": subject.block.cell.seed,
        "seconds": pruned.seconds,
        "peak_bytes": peak,
        "flags": pruned.flags,
        "receipt": pruned.receipt,
    }
    return Masks(pruned.masks, pruned.receipt, pruned.flags), told


def described(told: dict[str, Any]) -> str:
    """The same in lines: a table of layers, then totals, cost and flags."""
    receipt = told["receipt"]
    layers = receipt["layers"]
    width = max(len(layer["name"]) for layer in layers)
    lines = [f"{'layer':<{width}}  {'shape':>18}  {'kept':>10}  {'density':>8}  {'zero scores':>11}"]
    for layer in layers:
        shape = "x".join(map(str, layer["shape"]))
        density = f"{100 * layer['kept'] / layer['total']:.2f} %"
        lines.append(
            f"{layer['name']:<{width}}  {shape:>18}  {layer['kept']:>10,}  {density:>8}  {layer['zero_scores']:>11,}"
        )
    images = "x".join(map(str, told["shape"]))
    on = f"{told['model']['name']}, {told['dataset']} at {images}, {receipt['dtype']}, seed {told['seed']}"
    asked = percent(receipt["requested_sparsity"])
    lines += [
        f"{receipt['criterion']} on {on}",
        f"kept {receipt['kept']:,} of {receipt['total']:,} weights, sparsity {asked}",
        f"{receipt['zero_scores']:,} scores exactly 0, {receipt['non_finite_scores']:,} not finite",
        f"{receipt['tied_at_threshold']:,} weights tied at the threshold, {receipt['kept_of_tied']:,} of them kept",
        f"scored in {seconds(told['seconds'])}, peak memory {size(told['peak_bytes'] or None)}",
    ]
    lines += [f"{flag['flag']}: {flag['detail']}" for flag in told["flags"]]
    return "\n".join(lines)


def times(subject: Subject, rules: Iterable[Criterion], sparsity: float, repeats: int) -> list[dict[str, Any]]:
    """By criterion and dtype the median seconds of `repeats` scorings, and the largest peak memory in bytes.

    What a criterion takes is one mask, all its rounds included. Where there is none, `why` says so.
    """
    rows = []
    for rule in rules:
        for dtype in ("float64", "float32"):
            took, peak, why = None, None, ""
            try:
                made = [subject.prune(rule, sparsity, getattr(torch, dtype)) for _ in range(repeats)]
            except PabenchError as error:
                why = str(error)
            else:
                took, peak = median(pruned.seconds for pruned, _ in made), max(peak for _, peak in made)
            rows.append({"criterion": rule.name, "dtype": dtype, "seconds": took, "peak_bytes": peak, "why": why})
    return rows


def tabled(subject: Subject, rows: Sequence[dict[str, Any]], sparsity: float, repeats: int) -> str:
    """`times` as a table in Markdown."""
    images = "x".join(map(str, subject.shape))
    on = f"{subject.block.cell.model.label}, {subject.block.cell.dataset.label} at {images}"
    where = f"{subject.block.device}, {torch.get_num_threads()} threads"
    lines = [
        f"{on}, sparsity {percent(sparsity)}, median of {repeats}, {where}",
        "",
        "| criterion | float64 | float32 | peak memory, float64 |",
        "|---|---:|---:|---:|",
    ]
    for double, single in zip(rows[::2], rows[1::2], strict=True):
        cells = [seconds(row["seconds"]) for row in (double, single)]
        lines.append(f"| {double['criterion']} | {' | '.join(cells)} | {size(double['peak_bytes'] or None)} |")
    lines += [f"\n{NOTHING} {row['criterion']}: {row['why']}" for row in rows[::2] if row["why"]]
    return "\n".join(lines)


def criteria(names: Sequence[str], parameters: Sequence[str] = ()) -> list[Criterion]:
    """Criteria by name with parameters KEY=VALUE; without names all that are installed and prune at initialization."""
    if names:
        return [registry.criterion(name, assignments("--param", parameters)) for name in names]
    rules = [registry.criterion(name) for name in sorted(registry.group("criteria").classes)]
    return [rule for rule in rules if not isinstance(rule, Control) and not rule.trains]


def assignments(option: str, given: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE with YAML values, as a mapping; SuiteError names the option and what it was given."""
    found = {}
    for assignment in given:
        key, _, text = assignment.partition("=")
        tree = Tree(file=f"{option} {key}")
        if not key.strip() or not text.strip():
            raise SuiteError(f"{option} {assignment}: expected KEY=VALUE, as in {option} steps=10")
        read(text, tree)
        tree.raise_findings()
        found[key.strip()] = tree.value
    return found


def _resized(x: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Images (N, c, h, w) as (N, C, H, W): bilinear, one channel repeated."""
    if tuple(x.shape[1:]) == shape:
        return x
    large = F.interpolate(x, size=shape[1:], mode="bilinear", align_corners=False)
    return large.expand(-1, shape[0], -1, -1).contiguous()
