"""Races of whole commands: a short suite from its file to its page, and how long it takes until something happens."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pabench import registry
from pabench.bench import baseline
from pabench.bench.cells import GIVEN, IMAGES, plain, trained
from pabench.bench.material import Material
from pabench.bench.race import Contest, Proof
from pabench.data.dataset import loader
from pabench.data.split import Images
from pabench.errors import DataError
from pabench.run import tasks
from pabench.run.engine import Outcome
from pabench.run.session import Options, Session
from pabench.scoring.masks import unpack
from pabench.store.store import Store
from pabench.suite.cell import Cell
from pabench.suite.specs import ModelSpec
from pabench.training.block import Block

LR, BATCH_SIZE = 0.05, 64
ALIKE = 3.0
"""Points of top-1 by which float32 may part two equal trainings: after a few steps many logits are close together."""
SUITE = """
protocol: pai-v1
title: A suite, raced
datasets: [{{name: parquet, path: {folder}, pixel_mean: {mean}, pixel_std: {std}}}]
models: [{{name: {model}, args: {args}}}]
criteria: {criteria}
sparsities: {sparsities}
seeds: {seeds}
recipe: {{epochs: {epochs}, batch_size: {batch_size}, lr: {lr}, weight_decay: 5e-4, augment: {{crop: 4, flip: true}}}}
"""


@dataclass(frozen=True)
class Course:
    """What a suite is of: criteria, densities, seeds, and epochs of each training."""

    criteria: tuple[str, ...]
    densities: tuple[float, ...]
    seeds: int
    epochs: int

    @property
    def told(self) -> str:
        sides = [len(self.criteria), len(self.densities), *([self.seeds] if self.seeds > 1 else [])]
        return f"suite of {' x '.join(map(str, sides))} cells"


SHORT = Course(("snip", "grasp", "synflow"), (0.1, 0.02, 0.01), seeds=1, epochs=1)
LONG = Course(("random", "magnitude", *SHORT.criteria), (0.2, 0.1, 0.05, 0.02, 0.01), seeds=2, epochs=3)


@dataclass(frozen=True)
class Given:
    """A folder with one suite, for pabench and for the plain loop, and room for what they write."""

    folder: Path
    device: str

    def fresh(self) -> Path:
        """A results folder that nobody has used."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    @contextmanager
    def cached(self) -> Iterator[None]:
        """Inside, decoded images are kept in this folder and not among the user's."""
        before = os.environ.get("PABENCH_CACHE", "")
        os.environ["PABENCH_CACHE"] = str(self.folder / "cache")
        try:
            yield
        finally:
            os.environ["PABENCH_CACHE"] = before  # empty: the default

    def command(self, *words: str | Path) -> None:
        """Runs Python on these words in a process of its own; DataError with what it said, where it fails."""
        with self.cached():
            done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True)
        if done.returncode:
            raise DataError(f"{' '.join(map(str, words))}: {done.stderr[-2000:] or done.stdout[-2000:]}")


def suite(material: Material) -> Iterator[Contest]:
    """Three criteria at three densities, scored, trained for one short epoch and tested: from the command to the page,
    and in a process that has started already, without the page; there also without what pabench measures besides."""
    for spec, given in _each(material, SHORT):
        yield Contest(
            f"{SHORT.told} with start and page, {spec.label}",
            {"as it comes": partial(_command, given)},
            partial(_plain_command, given),
            partial(_same_cells, given),
        )
        yield Contest(
            f"{SHORT.told} without start and page, {spec.label}",
            {
                "as it comes": partial(_session, given, []),
                "without metrics": partial(_session, given, [f"skip_metrics=[{', '.join(_measured())}]"]),
            },
            partial(_plain_session, given),
        )


def study(material: Material) -> Iterator[Contest]:
    """Five criteria at five densities on two seeds, trained for three epochs: from the command to the page.

    A turn takes seven minutes on one core for the small network. That its cells are the same is proved by those
    of the short suite; masks of `random` are drawn otherwise.
    """
    for spec, given in _each(material, LONG):
        yield Contest(
            f"{LONG.told} with start and page, {spec.label}",
            {"as it comes": partial(_command, given)},
            partial(_plain_command, given),
        )


def start(material: Material) -> Iterator[Contest]:
    """Until a command says something; the plain loop's start is the import of torch and torchvision."""
    with tempfile.TemporaryDirectory(prefix="pabench-bench-") as folder:
        given = Given(Path(folder), str(material.device))
        yield Contest("start: --help", {"as it comes": lambda: partial(given.command, "-m", "pabench", "--help")})
        yield Contest(
            "start: run quickstart --dry-run",
            {"as it comes": lambda: partial(given.command, *_run(given, "quickstart"), "--dry-run")},
            lambda: partial(given.command, "-c", "import torch, torchvision"),
        )


def _each(material: Material, course: Course) -> Iterator[tuple[ModelSpec, Given]]:
    """Each network with a suite made ready for it; the folder is there until the next one is asked for."""
    with tempfile.TemporaryDirectory(prefix="pabench-bench-") as folder:
        for size, spec in material.sizes.networks().items():
            yield spec, _prepared(Path(folder) / size, material, spec, material.sizes.rounds[size], course)


def _prepared(folder: Path, material: Material, spec: ModelSpec, rounds: int, course: Course) -> Given:
    """The suite as a file for pabench, the same as JSON for the plain loop, and images as each of them reads them."""
    folder.mkdir(parents=True)
    sizes, shape = material.sizes, material.train.shape
    train, test = material.subset(material.train, sizes.suite), material.test
    scored = material.subset(material.train, min(10, sizes.suite))
    _write_parquet(folder / "train-0.parquet", train)
    _write_parquet(folder / "test-0.parquet", test)
    splits = {"train": train, "test": test, "scored": scored}
    arrays = {f"{name}_{part}": getattr(split, part) for name, split in splits.items() for part in ("pixels", "labels")}
    np.savez(folder / IMAGES, **{name: tensor.numpy() for name, tensor in arrays.items()})
    criteria = [(name, rounds if name == "synflow" else 1) for name in course.criteria]
    text = SUITE.format(
        folder=json.dumps(str(folder)),
        mean=list(material.mean),
        std=list(material.std),
        model=spec.name,
        args=json.dumps(dict(spec.args)),
        criteria=f"[{', '.join(name if n == 1 else f'{{name: {name}, steps: {n}}}' for name, n in criteria)}]",
        sparsities=[round(1 - density, 6) for density in course.densities],
        seeds=course.seeds,
        epochs=course.epochs,
        batch_size=BATCH_SIZE,
        lr=LR,
    )
    (folder / "suite.yaml").write_text(text)
    told = {
        "model": asdict(spec),
        "classes": material.classes,
        "shape": shape,
        "mean": material.mean,
        "std": material.std,
        "criteria": criteria,
        "densities": course.densities,
        "seeds": course.seeds,
        "epochs": course.epochs,
        "batch_size": BATCH_SIZE,
        "lr": LR,
        "device": str(material.device),
    }
    (folder / GIVEN).write_text(json.dumps(told))
    return Given(folder, str(material.device))


def _write_parquet(file: Path, split: Images) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = []
    for pixels in split.pixels.permute(0, 2, 3, 1).numpy():
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG")
        rows.append({"bytes": png.getvalue(), "path": ""})
    pq.write_table(pa.table({"image": rows, "label": split.labels.numpy()}), file)


def _run(given: Given, suite: str | Path) -> list[str | Path]:
    """The words of `pabench run`, in one process, for a fresh folder."""
    return ["-m", "pabench", "run", suite, "--engine", "inline", "--device", given.device, "-o", given.fresh()]


def _command(given: Given) -> Callable[[], object]:
    return partial(given.command, *_run(given, given.folder / "suite.yaml"))


def _plain_command(given: Given) -> Callable[[], object]:
    code = f"from pabench.bench.cells import plain; plain({str(given.folder)!r})"
    return partial(given.command, "-c", code)


def _plain_session(given: Given) -> Callable[[], list[float]]:
    return partial(plain, str(given.folder))


def _session(given: Given, overrides: Sequence[str]) -> Callable[[], list[float]]:
    """Gives the test accuracies, in percent, of all cells."""
    output = given.fresh()
    return lambda: [record["result"]["top1"] for _, record in _carried_out(given, output, overrides)[1]]


def _measured() -> list[str]:
    """What pabench measures of every mask and training unless told not to, and the plain loop does not."""
    classes: dict[str, Any] = registry.group("metrics").classes
    return [name for name, cls in classes.items() if cls.cost == "cheap"]


def _lost(outcomes: Iterable[Outcome]) -> list[str]:
    return [outcome.reason for outcome in outcomes if outcome.lost]


def _carried_out(given: Given, output: Path, overrides: Sequence[str]) -> tuple[Store, list[tuple[Cell, Any]]]:
    """The suite carried out in this process, as `pabench run` does it before the page: each cell with its record."""
    options = Options(
        str(given.folder / "suite.yaml"), overrides=overrides, output=output, device=given.device, engine="inline"
    )
    never = threading.Event()
    with given.cached():
        session = Session.open(options)
        here, plan = session.begin(), session.plan()
        survey = session.survey(plan)
        first = session.unchecked(plan)
        ahead = tasks.ahead(plan, first)
        scored = {task.key for task in ahead}
        rest = [task for task in plan.tasks if task.key not in scored]
        told = _lost(session.run(ahead, plan, survey, here, lambda _: None, never))
        told += session.check_criteria(plan, first, into=session.store, stop=never)
        told += _lost(session.run([*rest, *survey.tasks], plan, survey, here, lambda _: None, never))
    found = [(cell, session.store.get("records", cell.key)) for cell in session.chosen]
    told += [f"{cell.title}: {record['message']}" for cell, record in found if record and record["status"] != "ok"]
    if any(not record or record["status"] != "ok" for _, record in found):
        raise DataError(f"{options.suite}: not every cell has a result; {'; '.join(told)}")
    return session.store, found


def _same_cells(given: Given) -> Proof:
    """Whether every cell has the same mask, and the same test accuracy but for a few images, when the plain loop is
    given the block's weights, scoring images, order and augmentation, masks are found in float64 and training is in
    float32."""
    overrides = ["scoring.dtype=float64", "recipe.precision=float32"]
    store, found = _carried_out(given, given.fresh(), overrides)
    masks_differ, apart = 0, 0.0
    for cell, record in found:
        masks, top1 = _plain_cell(given, cell)
        stored = unpack(store.get_mask(record["receipt"]["mask"]))[0]
        masks_differ += any(not torch.equal(a.cpu(), b) for a, b in zip(masks, stored.values(), strict=True))
        apart = max(apart, abs(top1 - record["result"]["top1"]))
    told = f"masks differ in {masks_differ} of {len(found)} cells, top-1 by {apart:.2f} points at most"
    return Proof(not masks_differ and apart <= ALIKE, told)


def _plain_cell(given: Given, cell: Cell) -> tuple[list[Tensor], float]:
    """Masks in float64 and test accuracy of a cell, by the plain loop on what the cell's block shares."""
    assert cell.criterion is not None
    with given.cached():
        block = Block(cell, torch.device(given.device))
        ((x, y),) = block.scoring_batches(int(cell.criterion.args["examples_per_class"] or 1), 1)
        feed = partial(loader, mean=block.train.mean, std=block.train.std, device=block.device)
        order = feed(
            block.train.split,
            batch_size=cell.recipe.batch_size,
            order_seed=cell.seed_for("order"),
            augment=cell.recipe.augment,
            augment_seed=cell.seed_for("augmentation"),
        )
        test = feed(block.test.split, batch_size=256)
        network = block.network().to(block.device)
    double = baseline.masked(copy.deepcopy(network).double())
    score, rounds = baseline.SCORES[cell.criterion.name], int(cell.criterion.args["steps"])
    batch = x[:].to(block.device).double(), y.to(block.device)
    masks = baseline.prune(double, score, batch, 1 - cell.sparsity, rounds)
    return masks, trained(baseline.under(network, masks), order, test, LR, SHORT.epochs, block.device)
