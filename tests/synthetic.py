"""A results folder in memory: records as a study would have written them, without training anything."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from pabench.report import frame
from pabench.report.study import Study
from pabench.store.store import Store
from pabench.suite.ablations import ABLATIONS, IN_BATCH, alike
from pabench.suite.cell import Cell
from pabench.suite.digest import digest
from pabench.suite.specs import Augment, CriterionSpec, DatasetSpec, ModelSpec, Recipe, Scoring

RECIPE = Recipe(epochs=160, schedule="step", milestones=(80, 120), precision="float32", augment=Augment(4, True))
CRITERIA = {
    "random": CriterionSpec("random", version=1),
    "magnitude": CriterionSpec("magnitude", version=1),
    "snip": CriterionSpec("snip", args={"examples_per_class": 10}, version=1),
    "grasp": CriterionSpec("grasp", args={"examples_per_class": 10}, version=1),
    "synflow": CriterionSpec("synflow", given={"steps": 100}, args={"steps": 100, "examples_per_class": 0}, version=1),
}
# points below the dense baseline per unit of -log10(density)
DROP = {"random": 4.6, "magnitude": 3.4, "snip": 2.5, "grasp": 2.45, "synflow": 2.1}
# how much more of that an ablation costs, random pruning excepted
WORSE = {"": 1.0, "shuffle": 1.2, "reinit": 1.0, "invert": 6.0, "random_labels": 1.05, "shuffled_pixels": 1.05}
LAYERS = [
    ("conv1.weight", (16, 3, 3, 3)),
    *((f"layer1.{i}.conv{j}.weight", (16, 16, 3, 3)) for i in range(3) for j in (1, 2)),
    *((f"layer2.{i}.conv{j}.weight", (32, 32 if i + j > 1 else 16, 3, 3)) for i in range(3) for j in (1, 2)),
    *((f"layer3.{i}.conv{j}.weight", (64, 64 if i + j > 1 else 32, 3, 3)) for i in range(3) for j in (1, 2)),
    ("fc.weight", (10, 64)),
]
DATA_FREE = ("random", "magnitude", "synflow")
ENVIRONMENT = {
    "pabench": "0.1.0",
    "python": "3.11.7",
    "torch": "2.14.1",
    "timm": "1.0.22",
    "device": "cpu: Example 3000",
    "threads": 1,
    "precision": "float32",
    "host": "node17",
}


def cells(
    criteria: Iterable[CriterionSpec] = tuple(CRITERIA.values()),
    *,
    datasets: Sequence[str] = ("cifar10",),
    models: Sequence[str] = ("resnet20", "vgg11_bn"),
    sparsities: Sequence[float] = (0.8, 0.95, 0.99),
    seeds: int = 3,
    ablations: Sequence[str] = (),
) -> list[Cell]:
    """Dense baselines and the full grid, seeds outermost, the ablations of a block after its plain cells."""
    criteria = list(criteria)
    found = []
    for seed in range(seeds):
        for dataset in datasets:
            for model in models:
                dense = Cell(
                    DatasetSpec(dataset, fingerprint="f" * 64), ModelSpec(model), None, 0.0, seed, RECIPE, Scoring()
                )
                found.append(dense)
                for ablation in ("", *ablations):
                    found += [
                        replace(dense, criterion=c, sparsity=s, ablation=ablation) for c in criteria for s in sparsities
                    ]
    return found


def manifest(expected: Iterable[Cell], name: str = "synthetic") -> dict[str, Any]:
    return {
        "schema": 1,
        "name": name,
        "suite": "protocol: pai-v1\n",
        "suite_path": "suites/synthetic.yaml",
        "command": "pabench run suites/synthetic.yaml -o results",
        "cells": [cell.to_json() for cell in expected],
        "environment": ENVIRONMENT,
        "created": "2026-11-22T20:00:00Z",
        "pabench": "0.1.0",
    }


def record(cell: Cell, **changes: Any) -> dict[str, Any]:
    """The record of a cell that went well; `changes` replace whole entries."""
    draw = random.Random(cell.key)
    top1 = accuracy(cell, draw)
    changed = {part: alike(cell.ablation, part) for part in ("weights", "order", "augmentation", "scoring_batch")}
    loss = [2.3 * math.exp(-4 * e / 160) + 0.02 * draw.random() for e in range(160)]
    name = cell.criterion.name if cell.criterion else "dense"
    return {
        "schema": 1,
        "key": cell.key,
        "status": "ok",
        "kind": "",
        "message": "",
        "traceback": "",
        "attempt": 1,
        "cell": cell.to_json(),
        "block": cell.block,
        "labels": {"dataset": cell.dataset.label, "model": cell.model.label, "criterion": name},
        "ablation": cell.ablation,
        "parent": cell.parent().key if cell.ablation else "",
        "pairing": {
            **{what: digest([cell.block, what, changed[what]]) for what in ("weights", "order", "augmentation")},
            "scoring_batch": digest([cell.block, "batch", changed["scoring_batch"]])
            if name in ("snip", "grasp")
            else "",
        },
        "flags": [],
        "receipt": receipt(cell, draw) if cell.criterion else None,
        "result": {
            "top1": top1,
            "top5": 99.0,
            "loss": round(2.4 - top1 / 45, 4),
            "curve": {
                "loss": [round(x, 4) for x in loss],
                "top1": [round(100 - 39 * x, 2) for x in loss],
                "lr": [0.1] * 80 + [0.01] * 40 + [0.001] * 40,
            },
            "parameters": {"dense": 272474, "pruned": 272474 - math.floor(268336 * cell.sparsity)},
            "flops": {"dense": 81_000_000, "pruned": 81_000_000 * (1 - cell.sparsity) * 1.4},
        },
        **({} if cell.criterion else {"training_images": {"top1": 99.5, "images": 2000}}),
        "cost": {
            "scoring_seconds": {"random": 0.02, "magnitude": 0.03, "snip": 0.9, "grasp": 2.6}.get(name, 6.5)
            * (1 + 0.1 * draw.random())
            if cell.criterion
            else 0.0,
            "scoring_peak_bytes": {"random": 3e6, "magnitude": 3e6, "snip": 2.1e8, "grasp": 6.4e8}.get(name, 4e7),
            "gradient_seconds": 0.3,
            "gradient_images": 100,
            "scoring_images": 10 * cell.criterion.args.get("examples_per_class", 0) if cell.criterion else 0,
            "training_seconds": 61.0 + draw.random(),
            "evaluation_seconds": 1.0,
            "wall_seconds": 66.0,
        },
        "environment": ENVIRONMENT,
        "created": f"2026-11-22T20:{10 + cell.seed}:00Z",
        **changes,
    }


def failed(cell: Cell, **changes: Any) -> dict[str, Any]:
    """The record of a cell whose training diverged."""
    return record(
        cell,
        status="failed",
        kind="diverged",
        message="epoch 3: the loss is nan; lower recipe.lr",
        traceback="Traceback (most recent call last):\n  ...\nDivergedError: epoch 3: the loss is nan",
        result=None,
        **changes,
    )


def inapplicable(cell: Cell) -> dict[str, Any]:
    """The record of an ablation that means nothing to its criterion."""
    message = f"{cell.criterion.name} is data-free: {cell.ablation} changes a scoring batch, which plays no part"
    empty = {"pairing": {}, "receipt": None, "result": None, "cost": {}}
    return record(cell, status="skipped", kind="inapplicable", message=message, **empty)


def collapsed(cell: Cell) -> dict[str, Any]:
    """The record of a network with an empty layer: it guesses one of ten classes."""
    good = record(cell)
    flag = {"flag": "collapsed", "detail": "layer3.0.conv1.weight: 0 of 18432 weights kept"}
    layers = [{**x, "kept": 0} if x["name"] == "layer3.0.conv1.weight" else x for x in good["receipt"]["layers"]]
    receipt = {**good["receipt"], "layers": layers, "dead_layers": ["layer3.0.conv1.weight"]}
    return {**good, "flags": [flag], "receipt": receipt, "result": {**good["result"], "top1": 10.0}}


def accuracy(cell: Cell, draw: random.Random) -> float:
    base = 91.7 if cell.model.name == "resnet20" else 89.4
    block = random.Random(f"{cell.block}").gauss(0, 0.25)
    drop = DROP.get(cell.criterion.name, 3.0) if cell.criterion else 0.0
    drop *= WORSE[cell.ablation] if cell.criterion and cell.criterion.name != "random" else 1.0
    return round(base + block - drop * (-math.log10(1 - cell.sparsity)) ** 1.7 + draw.gauss(0, 0.16), 2)


def receipt(cell: Cell, draw: random.Random) -> dict[str, Any]:
    density = 1 - cell.sparsity
    layers = []
    for depth, (name, shape) in enumerate(LAYERS):
        total = math.prod(shape)
        share = (
            density ** (1.4 - 0.8 * draw.random() - 0.03 * (20 - depth)) if cell.criterion.name != "random" else density
        )
        kept = min(total, round(total * min(1.0, share)))
        layers.append({"name": name, "shape": list(shape), "total": total, "kept": kept, "zero_scores": 0})
    total = sum(x["total"] for x in layers)
    before = 1.0 + draw.random()
    return {
        "criterion": cell.criterion.name,
        "variant": "",
        "parameters": dict(cell.criterion.args),
        "version": 1,
        "source": digest(cell.criterion.name),
        "dtype": "float64",
        "requested_sparsity": cell.sparsity,
        "sparsity": math.floor(cell.sparsity * total) / total,
        "total": total,
        "kept": total - math.floor(cell.sparsity * total),
        "tied_at_threshold": 0,
        "kept_of_tied": 0,
        "zero_scores": 0,
        "rounds": 100 if cell.criterion.name == "synflow" else 1,
        "mask": digest([cell.key, "mask"]),
        "layers": layers,
        "dead_layers": [],
        "scores": {"0": 0.0, "0.25": 0.001, "0.5": 0.003, "0.75": 0.02, "1": 2.1},
        "gradient_norm": {
            "before": before,
            "after": before * (1.6 if cell.criterion.name == "grasp" else 0.5) * density**0.3,
        },
    }


def study_with_trouble() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Manifest and records of 132 cells: 2 failed, 4 missing, 3 collapsed, 3 degenerate, two hostile names."""
    hostile = [
        CriterionSpec("<script>alert(1)</script>", version=1),
        CriterionSpec("_a$\\frac{$", given={"b": '"><img src=x onerror=alert(2)>'}, version=1),
    ]
    expected = cells([*CRITERIA.values(), *hostile])
    records = {cell.key: record(cell) for cell in expected}
    for cell in expected:
        name = cell.criterion.name if cell.criterion else "dense"
        where = (name, cell.model.name, cell.sparsity, cell.seed)
        if where in {("magnitude", "vgg11_bn", 0.99, 0), ("snip", "vgg11_bn", 0.99, 2)}:
            records[cell.key] = failed(cell)
        elif where == ("dense", "vgg11_bn", 0.0, 2) or where[:2] + where[3:] == (hostile[1].name, "resnet20", 2):
            del records[cell.key]
        elif name == "magnitude" and cell.model.name == "resnet20" and cell.sparsity == 0.99:
            records[cell.key] = collapsed(cell)
        elif name == hostile[0].name and cell.sparsity == 0.8 and cell.model.name == "resnet20":
            flag = {
                "flag": "degenerate",
                "detail": "98.3 % of the scores are exactly 0 </script><script>alert(3)</script>",
            }
            records[cell.key] = record(cell, flags=[flag])
    return manifest(expected, "cifar_cpu <b>"), records


def folder(path, expected, make=record, name="study", **entries):
    """A results folder of synthetic cells."""
    store = Store(path)
    store.open_study({**manifest(expected, name), **entries})
    for cell in expected:
        if (made := make(cell)) is not None:
            store.commit("records", cell.key, made)
    return path


def study_of(expected, **changed) -> Study:
    """A finished study; `changed` maps a criterion's name to what becomes of its records (None: missing)."""
    records = {}
    for cell in expected:
        change = changed.get(cell.criterion.name if cell.criterion else "dense", record)
        if change is not None and (made := change(cell)) is not None:
            records[cell.key] = made
    return frame.study(manifest(expected), records)


def with_top1(top1):
    """Records whose accuracy is `top1(cell)`."""

    def made(cell):
        good = record(cell)
        return {**good, "result": {**good["result"], "top1": top1(cell)}}

    return made


def battery(ablations=tuple(ABLATIONS), top1=None, without=lambda cell: False, **grid) -> Study:
    """A finished study with ablations; `top1(cell)` sets accuracies, cells `without` have no record."""
    expected = cells(ablations=ablations, **{"models": ["resnet20"], "sparsities": [0.9], **grid})
    records = {}
    for cell in expected:
        if cell.ablation in IN_BATCH and cell.criterion.name in DATA_FREE:
            records[cell.key] = inapplicable(cell)
        elif not without(cell):
            good = record(cell)
            records[cell.key] = good if top1 is None else {**good, "result": {**good["result"], "top1": top1(cell)}}
    return frame.study(manifest(expected), records)
