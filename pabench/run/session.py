"""One `pabench run`: its options, and the study that they open, with the steps in which it is carried out."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from pabench import registry
from pabench.data.dataset import InMemory
from pabench.errors import DataError, MissingError, RefusedError
from pabench.events.listeners import Listener
from pabench.run import tasks
from pabench.run.claims import Runner, runners
from pabench.run.clock import Clock
from pabench.run.discovery import Foreign, ask
from pabench.run.engine import ALONE, Claims, Engine, Event, Inline, OnEvent, Outcome, Report, StopFlag, Task
from pabench.run.engines import choice, gpus
from pabench.run.engines.cluster import AT_ONCE, Cluster
from pabench.run.measurements import Survey
from pabench.run.processes import Processes
from pabench.run.resolve import Resolver
from pabench.run.timeouts import limited
from pabench.source import real
from pabench.store import files
from pabench.store.record import ENVIRONMENT, now
from pabench.store.store import Store
from pabench.suite import grid
from pabench.suite.cell import Cell
from pabench.suite.specs import MetricSpec
from pabench.suite.suite import Suite, draft, find
from pabench.training import check
from pabench.training.block import Block
from pabench.training.checkpoint import sweep
from pabench.training.environment import cores, devices, environment, pick_device, threads
from pabench.training.precision import slow
from pabench.words import one_line

PART, CELLS_EACH = 1_000, 50
"""Cells of a part of a study, and of each worker in it, at least."""


@dataclass(frozen=True)
class Options:
    """The command line of `run`. What has a flag is repeated when a run is resumed."""

    suite: str
    overrides: Sequence[str] | None = field(default=None, metadata={"flag": "--set"})
    only: Sequence[str] | None = field(default=None, metadata={"flag": "--only"})
    plugins: Sequence[Path] | None = field(default=None, metadata={"flag": "--plugin"})
    banks: Sequence[Path] | None = field(default=None, metadata={"flag": "--bank"})
    output: Path | None = field(default=None, metadata={"flag": "-o"})
    device: str = field(default="auto", metadata={"flag": "--device"})
    jobs: int | None = field(default=None, metadata={"flag": "-j"})
    retry: bool = field(default=False, metadata={"flag": "--retry failed"})
    masks_only: bool = field(default=False, metadata={"flag": "--masks-only"})
    allow_env_drift: bool = field(default=False, metadata={"flag": "--allow-env-drift"})
    log: Sequence[str] | None = field(default=None, metadata={"flag": "--log"})
    engine: str = field(default="processes", metadata={"flag": "--engine"})
    engine_args: Sequence[str] | None = field(default=None, metadata={"flag": "--engine-arg"})
    yes: bool = False

    def command(self) -> str:
        """The command line that runs, or resumes, the same."""
        words = ["pabench", "run", self.suite]
        for option in fields(self):
            value, flag = getattr(self, option.name), option.metadata.get("flag")
            if flag and value is True:
                words += flag.split()
            elif flag and value != option.default:
                for one in value if isinstance(value, (list, tuple)) else [value]:
                    words += [flag, str(one)]
        return shlex.join(words)


@dataclass(frozen=True)
class Session:
    """A validated suite with all its `cells`, those `chosen` by `--only`, the data that is missing (`gaps`), and
    `notes` on how the data that is there is read.

    `broken` says what is wrong with files of `--plugin`, `changed` what importing others changes besides defining.

    `plugins` says where the plugins of others are, as `registry.expect` takes it. `listeners` follow each training.
    """

    options: Options
    path: Path
    suite: Suite
    engine: Engine
    device: torch.device
    plugins: tasks.Sources
    cells: list[Cell]
    chosen: list[Cell]
    gaps: list[str]
    broken: list[str]
    changed: list[str]
    notes: list[str]
    slow: list[str]
    pixels: int
    metrics: list[MetricSpec]
    listeners: tuple[Listener, ...] = ()

    @classmethod
    def open(cls, options: Options) -> Session:
        """Everything that can be found wrong is found here, before anything runs or is written."""
        path = find(options.suite)
        suite = draft(path, options.overrides or ())
        if not options.yes:
            grid.refuse_many(suite)
        engine = choice.create(options.engine, options.engine_args or ())
        device = _device(options.device, engine)
        foreign = _plugins(path, suite, options)
        store = _store(options, path)
        resolver = Resolver(device, _decided(store), foreign)
        everything = [check.settled([store], cell) for cell in _cells(suite, resolver)]
        metrics = resolver.metrics(suite.metrics, suite.skip_metrics)
        chosen = grid.select(everything, options.only) if options.only else everything
        asked = {cell.dataset.label for cell in chosen}
        return cls(
            options,
            path,
            suite,
            engine,
            device,
            foreign.sources,
            cells=everything,
            chosen=[cell for cell in chosen if resolver.has(cell)],
            gaps=[gap for label, gap in resolver.missing.items() if label in asked],
            broken=[*foreign.broken(), *filter(None, resolver.left_out.values())],
            changed=foreign.changed(),
            notes=[f"{label}: {note}" for label, notes in sorted(resolver.notes.items()) for note in notes],
            slow=sorted(filter(None, (slow(name, device) for name in {cell.recipe.precision for cell in chosen}))),
            pixels=resolver.pixels,
            metrics=metrics,
        )

    @property
    def store(self) -> Store:
        return _store(self.options, self.path)

    @property
    def workers(self) -> int:
        """Cells at once."""
        if isinstance(self.engine, Inline):
            return 1
        if self.options.jobs:
            return self.options.jobs
        if isinstance(self.engine, Cluster):
            return AT_ONCE
        if self.device.type != "cuda":
            return cores() if self.device.type == "cpu" else 1
        used = gpus.count() if self.device.index is None else 1
        memory = torch.cuda.get_device_properties(self.device).total_memory
        return used * gpus.share(self.pixels, memory, cores() // used)

    @property
    def threads(self) -> int:
        """Of each cell."""
        return self.engine.cpus if isinstance(self.engine, Cluster) else threads(self.workers)

    def begin(self) -> dict[str, Any]:
        """Write down the study; returns this machine's environment. RefusedError: it was begun in another one."""
        here = environment(self._stand_in, "")
        if self._stand_in != self.device:  # each record says on which
            here["device"] = f"{self.device.type}: what {self.options.engine} gives"
        self._refuse_drift(here)
        self._refuse_company()
        self.store.open_study(self._manifest(here))
        sweep(self.store)
        return here

    def read_data(self) -> None:
        """Decode and hash the built-in data sets that are held in memory: once for all tasks, which look only whether a
        file has been touched since. The code of other data sets runs in tasks alone."""
        built_in = registry.at_hand("datasets")
        for cell in {cell.dataset.label: cell for cell in self.chosen}.values():
            name = cell.dataset.name
            if name in built_in.built_in and issubclass(built_in.classes[name], InMemory):
                with contextlib.suppress(DataError, MissingError, OSError):  # its cells will say what is wrong
                    dataset = Block(cell, self.device).dataset
                    dataset.train()
                    dataset.test()

    def look(self, banked: Collection[str] = ()) -> tasks.Plan:
        """What there is and what is to be done, without tasks; `banked` are keys of cells that come from a bank."""
        return tasks.look(self.store, [c for c in self.chosen if c.key not in banked], self.options.retry)

    def plan(self, banked: Collection[str] = ()) -> tasks.Plan:
        """What is to be done, with all tasks at once."""
        return self.with_tasks(self.look(banked))

    def parts(self, found: tasks.Plan) -> Iterator[tasks.Plan]:
        """What is to be done, in parts with their tasks, one after the other. Each keeps the workers busy for long, for
        they wait for its last cell."""
        return map(self.with_tasks, tasks.parts(found, max(PART, CELLS_EACH * self.workers)))

    def with_tasks(self, found: tasks.Plan) -> tasks.Plan:
        """A plan that has whole blocks, with its tasks."""
        norms = "gradient_norm" not in self.suite.skip_metrics
        made = tasks.with_tasks(self.store, found, device=str(self.device), plugins=self.plugins, norms=norms)
        return tasks.untrained(made) if self.options.masks_only else made

    def ahead(self, found: tasks.Plan, first: Sequence[Cell]) -> tuple[list[Task], tasks.Plan]:
        """Scorings that tell all that a check of these cells would, and their plan."""
        blocks = {cell.block for cell in first}
        plan = self.with_tasks(found.part([cell for cell in found.cells if cell.block in blocks]))
        return tasks.ahead(plan, first), plan

    def survey(self, plan: tasks.Plan) -> Survey:
        """The measurements that the cells of a plan lack; of masks alone where nothing is trained."""
        trained = not self.options.masks_only
        metrics = [spec for spec in self.metrics if trained or spec.stage != "training"]
        return Survey.of(self.store, plan, metrics, **self._how)

    def settled(self) -> Session:
        """The same with float64 for the cells whose scores float32 does not hold, as the check found since; itself
        where there are none."""
        cells, chosen = ([check.settled([self.store], cell) for cell in some] for some in (self.cells, self.chosen))
        if all(cell is made for cell, made in zip(self.cells, cells, strict=True)):
            return self
        return replace(self, cells=cells, chosen=chosen)

    def put_away(self, settled: Session) -> None:
        """Take away what the cells that are settled otherwise have been given before the check looked at them."""
        for before, after in zip(self.cells, settled.cells, strict=True):
            if before is not after and self.store.get("receipts", before.pruning_key) is not None:
                self.store.quarantine("receipts", before.pruning_key, "float32 does not hold these scores")

    @property
    def _how(self) -> dict[str, Any]:
        return {"device": str(self.device), "plugins": self.plugins, "retry": self.options.retry}

    def unchecked(self, plan: tasks.Plan) -> list[Cell]:
        """A cell for each network and criterion of a plan that has not been checked."""
        return tasks.unchecked(self.store, plan.open)

    def runner(self) -> Runner:
        """This run among those that share the study's folder, while the block of its `with` lasts."""
        command = self.options.command()
        return Runner(self.store.folder, command=command, workers=self.workers, threads=self.threads)

    def check_criteria(
        self, plan: tasks.Plan, cells: Sequence[Cell], *, into: Store, stop: StopFlag, claims: Claims = ALONE
    ) -> Iterator[str]:
        """Each criterion on each network once, before training; a line for what is not healthy, with its remedy.

        `cells` are the unchecked ones of the plan. Where one has been scored in between, its receipt is looked at.
        """
        files.make_folders(into.folder / "checks")
        found = tasks.checks(self.store, cells, into=into, device=str(self.device), plugins=self.plugins)
        titles = {task.key: task.title for task in found}
        # a check has no estimate; it looks at a few images
        timed = limited(found, self.suite.timeout, lambda: lambda _: 0.0)
        for outcome in self._run(timed, lambda _: None, stop, claims):
            if outcome.lost:
                yield f"{titles[outcome.key]} ended early ({outcome.kind})"
        yield from check.lines([into, self.store], plan.open)

    def clock(self, store: Store | None = None) -> Clock:
        """Seconds of trainings, by the records of a store (the study's own where none is given)."""
        return Clock(store or self.store, self._stand_in, self.plugins, engine_apart(self.options.engine))

    def run(
        self,
        chosen: Sequence[Task],
        plan: tasks.Plan,
        survey: Survey,
        here: dict[str, Any],
        on_event: OnEvent,
        stop: StopFlag,
        claims: Claims = ALONE,
    ) -> Iterator[Outcome]:
        """Compute these tasks of a plan and its survey, and yield how each ended, once its records are in the store."""
        timed = limited(chosen, self.suite.timeout, lambda: self.clock().of(plan, survey))
        trained = {key: cells[0] for key, cells in plan.by_task.items() if key == cells[0].key}

        def heard(event: Event) -> None:
            on_event(event)
            if event.key in trained:
                self._tell(trained[event.key], event)

        for outcome in self._run(timed, heard if self.listeners else on_event, stop, claims):
            tasks.record_loss(self.store, plan, outcome, here)
            survey.record_loss(outcome)
            if outcome.key in trained and outcome.kind != "stopped":
                for listener in self.listeners:
                    listener.send("ended", key=outcome.key)
            yield outcome

    def _tell(self, cell: Cell, event: Event) -> None:
        for listener in self.listeners:
            if event.kind == "started":
                listener.send("started", cell=cell.to_json())
            elif "epoch" in event.data:
                epoch = {name: event.data[name] for name in ("epoch", "loss")}
                listener.send("epoch", key=cell.key, **epoch, top1=event.data.get("top1"))

    def pairing(self, cell: Cell) -> Mapping[str, str]:
        """Hashes of what this machine makes for the block of a cell."""
        cell = cell.dense()
        if plugins := tasks.needed_of(cell, self.plugins):
            what = {"cell": cell.to_json(), "device": str(self._stand_in), "plugins": plugins}
            return ask(engine_apart(self.options.engine), "pabench.run.session:report_pairing", what, cell.title)
        block = Block(cell, self._stand_in)
        return block.pairing(block.network())

    @property
    def _stand_in(self) -> torch.device:
        """For what this machine looks at itself: its CPU, where it has none of the GPUs that the cluster has."""
        return self.device if self.device.type in devices() else torch.device("cpu")

    @property
    def elsewhere(self) -> bool:
        """Whether the cells run on machines of which this one knows nothing."""
        return isinstance(self.engine, Cluster)

    def script(self, plan: tasks.Plan) -> str:
        """What the engine would submit first; "" where that is no script."""
        return self.engine.script(plan.tasks, threads=self.threads) if isinstance(self.engine, Cluster) else ""

    def _run(self, chosen: Iterable[Task], on_event: OnEvent, stop: StopFlag, claims: Claims) -> Iterator[Outcome]:
        def told(event: Event) -> None:
            claims.tell(event)
            on_event(event)

        for outcome in self.engine.run(
            chosen, workers=self.workers, threads=self.threads, on_event=told, stop=stop, claims=claims
        ):
            yield outcome
            claims.ended(outcome)  # only now: whoever asked has written down what became of it

    def _manifest(self, here: dict[str, Any]) -> dict[str, Any]:
        return {
            "schema": 1,
            "name": self.path.stem,
            "title": self.suite.title,
            "suite": self.suite.text,
            "suite_path": self.options.suite,
            "overrides": list(self.options.overrides or ()),
            "command": self.options.command(),
            "cells": [c.to_json() for c in self.cells],
            "metrics": [m.to_json() for m in self.metrics],
            "notes": [one_line(note) for note in self.notes],
            "environment": here,
            "created": now(),
            "pabench": here["pabench"],
        }

    def _refuse_company(self) -> None:
        """RefusedError where another run is at work here on another suite: `study.json` is that of both, and what each
        says at its end is of the study there."""
        at_work = [seen.lease.name for seen in runners(self.store.folder) if seen.alive]
        if not at_work:  # as nearly always: a large manifest takes its time to read
            return
        try:
            there = self.store.manifest()
        except (MissingError, DataError):
            return
        asked = {"suite": self.suite.text, "overrides": list(self.options.overrides or ())}
        if any(there.get(part) != said for part, said in asked.items()):
            raise RefusedError(
                f"{self.store.folder}: {one_line(at_work[0])} is at work here on another suite of this name (another "
                "text, or other --set); wait until it has ended, or choose another folder with -o"
            )

    def _refuse_drift(self, here: dict[str, Any]) -> None:
        try:
            before = self.store.manifest()["environment"]
        except (MissingError, DataError):
            return
        drift = [f"{k} {before.get(k)} -> {here[k]}" for k in ENVIRONMENT if before.get(k) != here[k]]
        if drift and not self.options.allow_env_drift:
            raise RefusedError(
                f"{self.store.folder}: begun elsewhere ({'; '.join(drift)}); its numbers may not compare: "
                "choose another folder with -o, or go on with --allow-env-drift, which the report will show"
            )


def report_pairing(payload: Mapping[str, Any], report: Report) -> None:
    """In a process apart: what `Session.pairing` gives for a cell whose dataset is a plugin."""
    registry.expect(payload["plugins"])
    block = Block(Cell.from_json(payload["cell"]), torch.device(payload["device"]))
    report(block.pairing(block.network()))


def _device(name: str, engine: Engine) -> torch.device:
    """The device that was asked for; of GPUs of a cluster this machine, which may have none, knows nothing."""
    return torch.device(name) if name == "cuda" and isinstance(engine, Cluster) else pick_device(name)


def _store(options: Options, path: Path) -> Store:
    return Store(options.output or Path("results") / path.stem)


def _decided(store: Store) -> dict[str, str]:
    """The precision of each dataset's cells in a study that has begun: whoever goes on with it, on whatever device,
    makes the same cells. Empty where there is none, or none that can be read."""
    try:
        cells = [Cell.from_json(entry) for entry in store.manifest()["cells"]]
    except (MissingError, DataError):
        return {}
    return {cell.dataset.title: cell.recipe.precision for cell in cells}


def _plugins(path: Path, suite: Suite, options: Options) -> Foreign:
    """The files beside the suite, those it lists and those of `--plugin`.

    A broken one matters where it was asked for by its path, or by the name of what it defines.
    """
    listed = [real(path.resolve().parent / file) for file in suite.plugins]
    asked_for = [real(file) for file in options.plugins or ()]
    files = [*registry.drop_ins(path, suite.plugins), *asked_for]
    files = [real(file) for file in files]
    return Foreign(engine_apart(options.engine), files, listed, asked_for, [model.name for model in suite.models])


def engine_apart(name: str) -> Engine:
    """The engine that looks at plugins, on this machine: a process that ends or hangs is not tried again."""
    return Inline() if name == "inline" else Processes(attempts=1, grace=1.0)


def _cells(suite: Suite, resolver: Resolver) -> list[Cell]:
    """The cells of a suite; one SuiteError of all that is wrong with it, the files it lists included."""
    resolver.foreign.find(suite)  # first, so that the grid tells of missing data, too, where a file is wrong
    return list(grid.cells(suite, resolver))
