"""One `pabench run`: a suite opened, its cells handed to an engine, its outcomes shown and reported."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from pabench import bank, check, durable, execution, registry, study
from pabench.block import Block
from pabench.cell import Cell
from pabench.engine import Engine, Inline, Outcome, StopFlag
from pabench.engines import Processes
from pabench.environment import environment
from pabench.errors import DataError, MissingError, RefusedError, SuiteError, did_you_mean
from pabench.interrupt import stoppable
from pabench.machine import cores, pick_device
from pabench.measurement import MetricSpec
from pabench.options import Options
from pabench.progress import display
from pabench.record import now
from pabench.report import write
from pabench.resolve import Resolver
from pabench.store import Store
from pabench.suite import Suite, find, load
from pabench.survey import Survey
from pabench.wording import count

MANY = 10_000
SMALL_PIXELS = 64
"""Up to this side of an image a network leaves most of a GPU idle, and several cells share it."""
ENGINES: dict[str, type[Engine]] = {"processes": Processes, "inline": Inline}
INTERRUPTED, RESUMABLE = 130, 75
# What must stay the same within a folder for its numbers to be comparable.
FINGERPRINT = ("pabench", "torch", "timm", "device")


@dataclass(frozen=True)
class Session:
    """A validated suite with all its `cells`, those `chosen` by `--only`, and the data that is missing (`gaps`)."""

    options: Options
    path: Path
    suite: Suite
    device: torch.device
    plugins: list[Path]
    cells: list[Cell]
    chosen: list[Cell]
    gaps: list[str]
    pixels: int
    metrics: list[MetricSpec]
    banks: list[bank.Bank] = field(default_factory=list)

    @classmethod
    def open(cls, options: Options) -> Session:
        """Everything that can be found wrong is found here, before anything runs or is written."""
        path = find(options.suite)
        suite = load(path, options.overrides)
        if (cells := study.count(suite)) > MANY and not options.yes:
            raise SuiteError(f"{path}: {cells:,} cells; --yes to go ahead with more than {MANY:,}")
        if options.engine not in ENGINES:
            raise SuiteError(f"--engine {options.engine}: no such engine; {did_you_mean(options.engine, ENGINES)}")
        device = pick_device(options.device)
        beside = registry.drop_ins(path, suite.plugins)
        asked_for = [p.resolve() for p in options.plugins]
        for file in beside:
            registry.try_drop_in(file)
        for file in asked_for:
            registry.drop_in(file)
        resolver = Resolver(device)
        everything = list(study.cells(suite, resolver))
        chosen = study.select(everything, options.only) if options.only else everything
        present = [c for c in chosen if c.dataset.label not in resolver.missing]
        asked = {c.dataset.label for c in chosen}
        gaps = [gap for label, gap in resolver.missing.items() if label in asked]
        plugins = beside + asked_for
        metrics = resolver.metrics(suite.metrics)
        banks = bank.open_banks(options.banks)
        return cls(options, path, suite, device, plugins, everything, present, gaps, resolver.pixels, metrics, banks)

    @property
    def store(self) -> Store:
        return Store(self.options.output or Path("results") / self.path.stem)

    @property
    def workers(self) -> int:
        """Cells at once."""
        if self.options.engine == "inline":
            return 1
        if self.options.jobs:
            return self.options.jobs
        if self.device.type == "cpu":
            return cores()
        return 2 if self.pixels <= SMALL_PIXELS else 1

    @property
    def threads(self) -> int:
        return max(1, cores() // self.workers)

    def plan(self, banked: Collection[str] = ()) -> execution.Plan:
        """What is to be done; `banked` are keys of cells that come from a bank."""
        cells = [c for c in self.chosen if c.key not in banked]
        return execution.plan(
            self.store, cells, device=str(self.device), plugins=self.plugins, retry=self.options.retry
        )

    def survey(self, plan: execution.Plan) -> Survey:
        """The measurements that the cells of a plan lack."""
        how: dict[str, Any] = {"device": str(self.device), "plugins": self.plugins, "retry": self.options.retry}
        return Survey.of(self.store, plan, self.metrics, **how)

    def run(self) -> int:
        """Compute what is missing, write the report; returns the exit code."""
        console = Console()
        here = environment(self.device, "")
        self._refuse_drift(here)
        self.store.open_study(self._manifest(here))
        missing = self.tell_missing()
        self._draw(console, here)
        plan = self.plan()
        survey = self.survey(plan)
        total, finished = len(plan.cells), len(plan.done)
        again = f", {count(len(plan.maskless), 'mask')} to make again" if plan.maskless else ""
        console.print(
            f"{self.path.stem}: {total} cells, {finished} done, {len(plan.open)} to do{again}", highlight=False
        )
        tasks = [*plan.tasks, *survey.tasks]
        titles = {task.key: task.title for task in tasks}
        engine = ENGINES[self.options.engine]()
        with stoppable() as stop:
            self.check_criteria(plan, console, into=self.store, stop=stop)
            shown = display(console, titles, cells=len(plan.open), finished=finished, total=total)
            outcomes = engine.run(tasks, workers=self.workers, threads=self.threads, on_event=shown.event, stop=stop)
            try:
                for outcome in survey.settle(execution.settle(self.store, plan, outcomes, here)):
                    shown.ended(outcome, self._line(plan, outcome))
            finally:
                shown.close()
        if stop.signal is not None:
            console.print(
                f"stopped; resume with: {self.options.command()}", markup=False, highlight=False, soft_wrap=True
            )
            return INTERRUPTED if stop.signal == signal.SIGINT else RESUMABLE
        statuses = Counter(self.store.statuses(c.key for c in self.chosen).values())
        summary = ", ".join(f"{n} {status}" for status, n in sorted(statuses.items()))
        console.print(f"cells: {summary}", highlight=False)
        if plan.maskless and (left := self.plan().maskless):
            console.print(
                f"masks: {len(left)} of the {len(plan.maskless)} that were made again are not those that the records "
                f"name ({left[0].title} is the first): without them nothing can be submitted; take a bank that has its "
                "masks, or run without --bank into another folder",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        console.print(f"report: {write(self.store.folder)}", markup=False, highlight=False, soft_wrap=True)
        return 3 if statuses["failed"] or statuses["missing"] else missing

    def check_criteria(
        self, plan: execution.Plan, console: Console, *, into: Store, stop: StopFlag, title: str = "check: "
    ) -> None:
        """Each criterion on each network once, before training; what is not healthy is printed with its remedy."""
        durable.make_folders(into.folder / "checks")
        tasks = check.tasks(self.store, plan.open, into=into, device=str(self.device), plugins=self.plugins)
        engine = ENGINES[self.options.engine]()
        names = {task.key: task.title for task in tasks}
        for outcome in engine.run(
            tasks, workers=self.workers, threads=self.threads, on_event=lambda _: None, stop=stop
        ):
            if not outcome.ok and outcome.kind != "stopped":
                console.print(
                    f"{title}{names[outcome.key]} ended early ({outcome.kind})", markup=False, highlight=False
                )
        for line in check.lines([into, self.store], plan.open):
            console.print(f"{title}{line}", markup=False, highlight=False, soft_wrap=True)

    def tell_banks(self, console: Console, taken: dict[str, bank.Bank], left: list[Cell], title: str) -> None:
        """Print how many cells banks give, and why they give no more."""
        lines = [bank.told(self.banks, taken)] if self.banks else []
        for line in [*lines, *bank.reasons(self.banks, left)]:
            console.print(f"{title}{line}", markup=False, highlight=False, soft_wrap=True)

    def tell_missing(self) -> int:
        """Print what data is missing; returns the exit code."""
        for gap in self.gaps:
            print(f"missing data, its cells are left out: {gap}", file=sys.stderr)
        return MissingError.exit_code if self.gaps else 0

    def _draw(self, console: Console, here: dict[str, Any]) -> None:
        """Take over what banks have of the cells that are still to be done."""
        if self.banks:
            open_cells = self.plan().open
            torch.set_num_threads(self.threads)
            taken = bank.offered(self.banks, open_cells)
            bank.draw(self.store, open_cells, self.banks, here, self._pairing)
            self.tell_banks(console, taken, [c for c in open_cells if c.key not in taken], "bank: ")

    def _pairing(self, cell: Cell) -> Mapping[str, str]:
        """What this machine makes for the block of a cell."""
        block = Block(cell, self.device)
        return block.pairing(block.network())

    def _line(self, plan: execution.Plan, outcome: Outcome) -> str:
        """What to print of an outcome; nothing of a scoring, whose cells tell."""
        if outcome.key not in plan.by_task:
            return ""
        cell = plan.by_task[outcome.key][0]
        if outcome.key != cell.key or outcome.kind == "stopped":
            return ""
        record = self.store.get("records", cell.key)
        if record is None:
            return f"{cell.title}: no record ({outcome.kind or 'the process ended early'})"
        if record["status"] != "ok":
            return f"{cell.title}: {record['status']} ({record['kind']}): {record['message']}"
        flags = "".join(f" [{flag['flag']}]" for flag in record["flags"])
        return f"{cell.title}: {record['result']['top1']:.2f} %{flags}"

    def _manifest(self, here: dict[str, Any]) -> dict[str, Any]:
        return {
            "schema": 1,
            "name": self.path.stem,
            "title": self.suite.title,
            "suite": self.suite.text,
            "suite_path": self.options.suite,
            "overrides": list(self.options.overrides),
            "command": self.options.command(),
            "cells": [c.to_json() for c in self.cells],
            "metrics": [m.to_json() for m in self.metrics],
            "environment": here,
            "created": now(),
            "pabench": here["pabench"],
        }

    def _refuse_drift(self, here: dict[str, Any]) -> None:
        try:
            before = self.store.manifest()["environment"]
        except (MissingError, DataError):
            return
        drift = [f"{k} {before.get(k)} -> {here[k]}" for k in FINGERPRINT if before.get(k) != here[k]]
        if drift and not self.options.allow_env_drift:
            raise RefusedError(
                f"{self.store.folder}: begun elsewhere ({'; '.join(drift)}); its numbers may not compare: "
                "choose another folder with -o, or go on with --allow-env-drift, which the report will show"
            )
