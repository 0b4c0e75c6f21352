"""What plugins of others are there: found out by processes apart, so that the runner imports none of their code.

One process imports one file or entry point and says what it defines; another makes what a suite names of it, and says
what cells must know of that. Answers are plain data, and what ends or hangs its process is a broken plugin.
"""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pabench import registry
from pabench.effects import told
from pabench.errors import MissingError, PabenchError, SuiteError, did_you_mean
from pabench.networks import models
from pabench.run.engine import Engine, Event, Outcome, Report, Task
from pabench.suite.cell import NAME
from pabench.suite.suite import Suite
from pabench.training.environment import cores
from pabench.words import one_line

IMPORTING = 60.0
"""Seconds that the import of a file may take; a loop takes more."""
ANSWERING = 600.0
"""Seconds that a question may take: a dataset is read once as a whole."""
KINDS = ("criteria", "datasets", "metrics")


class LeftOutError(MissingError):
    """What a broken file of `--plugin` may define: its cells are left out, and the rest runs."""


class Defined(BaseModel):
    """A plugin class: its kind, its name and its file, what it says of itself, and what a metric costs."""

    kind: str
    name: str
    cost: str = ""
    file: str = ""
    about: str = ""
    paper: str = ""
    variants: list[str] = []

    @classmethod
    def of(cls, plugin: Any) -> Defined:
        """As a list shows it; a criterion or a metric by the heading of its file, of which it is alone."""
        told = plugin if plugin.kind == "datasets" else inspect.getmodule(plugin)
        return cls(
            kind=plugin.kind,
            name=plugin.name,
            cost=str(getattr(plugin, "cost", "")),
            file=inspect.getfile(plugin),
            about=(inspect.getdoc(told) or inspect.getdoc(plugin) or "").partition("\n")[0].rstrip("."),
            paper=str(getattr(plugin, "paper", "") or ""),
            variants=[f"{plugin.name}@{variant}" for variant in getattr(plugin, "variants", ())],
        )


class Look(BaseModel):
    """What a process says that imported a source; `taken`: a name that it defines is another's."""

    classes: list[Defined] = []
    changed: list[str] = []
    broken: list[str] = []
    taken: str = ""


def look(payload: Mapping[str, Any], report: Report) -> None:
    """In a process apart: import a source and report what it gives."""
    try:
        loaded = registry.load(payload["source"])
    except registry.TakenError as error:
        found = Look(taken=str(error))
    except PabenchError as error:
        found = Look(broken=[str(error)])
    else:
        found = Look(
            classes=[Defined.of(cls) for cls in loaded.classes],
            changed=list(loaded.changed),
            broken=[f"{b.origin}: {b.reason}" for b in loaded.broken],
        )
    report(found.model_dump())


@dataclass
class Found:
    """The sources of plugins by kind and name, what their classes say, which of the metrics are cheap, and what is
    wrong, by source.

    `changed` says what importing a source changes besides defining: its cells will fail. `clashes` are names that two
    have; `refused` are those of two files, and of a file that takes the name of a built-in plugin, each with the file.
    """

    sources: dict[str, dict[str, str]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    classes: dict[tuple[str, str], Defined] = field(default_factory=dict)
    cheap: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)
    clashes: dict[tuple[str, str], str] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def add(self, source: str, outcome: Outcome, answer: Mapping[str, Any] | None) -> None:
        """What became of the process that imported a source, and what it said, which may be anything."""
        try:
            said = Look.model_validate(answer) if outcome.ok else Look(broken=[_ended(outcome)])
        except ValidationError:
            said = Look(broken=["the process that imported it said nothing of use"])
        if said.taken:
            self.refused.append((source, one_line(said.taken)))
        if said.broken:
            self.broken[source] = one_line("; ".join(_without_file(source, text) for text in said.broken))
        if said.changed:
            self.changed[source] = one_line(told(said.changed))
        for one in said.classes:
            if one.kind in KINDS and NAME.fullmatch(one.name):
                self._name(one, source)
            else:
                self.broken[source] = one_line(f"{one.name!r} is no name of a plugin")

    def _name(self, one: Defined, source: str) -> None:
        other = self.sources[one.kind].setdefault(one.name, source)
        known = self.classes.setdefault((one.kind, one.name), one)
        if other == source:
            self.cheap += [one.name] if one.cost == "cheap" else []
            return
        if one.file and one.file == known.file:  # a file beside the suite that is installed, too
            return
        clash = f"{one.name!r} is defined by {shown(other)} and by {shown(source)}; rename one of the two"
        self.clashes[one.kind, one.name] = clash
        if registry.is_file(other) and registry.is_file(source):
            self.refused.append((source, clash))


@dataclass
class Foreign:
    """The plugins of others that a suite may use: the `files` given, and what is installed.

    Nothing is looked at before somebody asks. `listed` are the files that the suite lists, `asked_for` those of
    `--plugin`, `models` the networks of the suite.
    """

    engine: Engine
    files: Sequence[Path] = ()
    listed: Sequence[Path] = ()
    asked_for: Sequence[Path] = ()
    models: Sequence[str] = ()

    @cached_property
    def found(self) -> Found:
        models.prepare(self.models)  # the fork server, which now starts, loads for good what is loaded here
        sources = [*map(str, dict.fromkeys(self.files)), *(s for kind in KINDS for s in registry.offered(kind))]
        function = "pabench.run.discovery:look"
        outcomes, answers = _run(
            self.engine,
            [Task(source, source, function, {"source": source}, timeout=IMPORTING, guarded=True) for source in sources],
        )
        found = Found()
        for source in sources:
            found.add(source, outcomes[source], answers.get(source))
        return found

    @property
    def wanted(self) -> bool:
        """Whether there may be plugins that a suite uses without naming them: cheap metrics, files to be told of."""
        return bool(self.files or registry.offered("metrics"))

    @property
    def sources(self) -> dict[str, dict[str, str]]:
        """Where plugins are, by kind and name, as `registry.expect` takes it."""
        return self.found.sources if self.wanted or "found" in vars(self) else {}

    def source(self, kind: str, name: str) -> str:
        """What to import for a plugin; "" for a built-in one, and for one that whoever runs this process has imported.

        LeftOutError: a broken file of `--plugin` may define it. SuiteError, MissingError: there is no such plugin.
        """
        known = registry.at_hand(kind)
        if name in known.built_in:
            return ""
        found = self.found
        if (kind, name) in found.clashes:
            raise SuiteError(found.clashes[kind, name])
        if name in found.sources[kind]:
            return found.sources[kind][name]
        if name in known.classes:
            return ""
        for source, reason in found.broken.items():
            if name in _claimed(source):
                error = LeftOutError if Path(source) in self.asked_for else MissingError
                raise error(f"{kind}: {name!r} could not be loaded: {shown(source)}: {reason}")
        aside = "".join(f"; set aside: {shown(source)}: {reason}" for source, reason in found.broken.items())
        names = [*known.classes, *found.sources[kind]]
        raise SuiteError(f"no {registry.KINDS[kind]} named {name!r}; {did_you_mean(name, names)}{aside}")

    def ask(self, function: str, what: Mapping[str, Any], about: str) -> dict[str, Any]:
        """As `ask`, of any of these plugins."""
        return ask(self.engine, function, {"plugins": self.found.sources, **what}, about)

    def find(self, suite: Suite) -> None:
        """Tell the suite what is wrong with the files it lists, and of which plugins two have one name."""
        listed = {str(file): ("plugins", i) for i, file in enumerate(self.listed)}
        for file, place in listed.items():
            if reason := self.found.broken.get(file):
                suite.find(f"{shown(file)}: {reason}", *place)
        if not self.wanted:
            return
        # what a name of the suite clashes with is told at that name, by `source`
        named = {(kind, entry.name.partition("@")[0]) for kind in KINDS for entry in getattr(suite, kind) or ()}
        elsewhere = {clash for which, clash in self.found.clashes.items() if which in named}
        for file, problem in self.found.refused:
            if problem not in elsewhere:
                suite.find(problem, *listed.get(file, ()))

    def broken(self) -> list[str]:
        """What is wrong with the files of `--plugin`, a line each."""
        broken = {source: self.found.broken.get(source) for source in map(str, self.asked_for)}
        return [f"{shown(source)}: {reason}" for source, reason in broken.items() if reason]

    def changed(self) -> list[str]:
        """What importing files changes besides defining, a line each."""
        found = self.found.changed if self.wanted else {}
        return [f"{shown(source)}: importing it changes {what}" for source, what in found.items()]


def ask(engine: Engine, function: str, payload: Mapping[str, Any], about: str, threads: int = 1) -> dict[str, Any]:
    """What a function reports, in a process apart, which may import the plugins of the payload.

    SuiteError: their code ended that process, or kept it from reporting.
    """
    task = Task("ask", about, function, dict(payload), timeout=ANSWERING, guarded=True)
    outcomes, answers = _run(engine, [task], threads)
    if not outcomes["ask"].ok or "ask" not in answers:
        raise SuiteError(f"{about}: its code ended the process that asked it ({one_line(outcomes['ask'].reason)})")
    return answers["ask"]


def _run(
    engine: Engine, tasks: Iterable[Task], threads: int = 1
) -> tuple[dict[str, Outcome], dict[str, dict[str, Any]]]:
    """By key how each task ended, and the last that it reported."""
    answers: dict[str, dict[str, Any]] = {}

    def listen(event: Event) -> None:
        if event.kind == "progress":
            answers[event.key] = event.data

    outcomes = engine.run(tasks, workers=cores(), threads=threads, on_event=listen, stop=threading.Event())
    return {outcome.key: outcome for outcome in outcomes}, answers


def shown(source: str) -> str:
    """A source as messages name it: a file from the working directory, where it is inside."""
    return registry.named(source) if registry.is_file(source) else source


def _ended(outcome: Outcome) -> str:
    if outcome.kind == "timeout":
        return f"importing it {outcome.reason}"
    return f"importing it ended its process ({outcome.reason.removesuffix(' before it was done')})"


def _without_file(source: str, text: str) -> str:
    """What is said of a file without its name, which stands before it."""
    name = Path(source).name
    head, found, rest = text.partition(f"{name}:")
    if not found or not source.endswith(head + name):
        return text
    return f"line {rest}" if rest[:1].isdigit() else rest.lstrip()


def _claimed(source: str) -> set[str]:
    """Names that a file which cannot be imported may define: its own, and those that it seems to give to classes."""
    if not registry.is_file(source):
        return {source.rpartition(".")[2]}
    try:
        text = Path(source).read_text(errors="replace")
    except OSError:
        text = ""
    return {Path(source).stem, *re.findall(r"""^\s+name\b[^=\n]*=\s*["']([^"'\n]+)["']""", text, re.MULTILINE)}
