"""What this machine makes of the criteria of a submission; those with code of the submitter's in a process apart.

Importing a file runs it, and what it runs can change or end the process that judges it. So only a child imports it,
and says in a file what it found, which is read as any other file of a stranger.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pabench import durable, registry
from pabench.cell import CriterionSpec, digest
from pabench.digest import source_digest
from pabench.donor import nature
from pabench.engine import Engine, Report, Task
from pabench.envelope import MAX_BYTES, parse
from pabench.environment import cores
from pabench.errors import DataError, MissingError, PabenchError, PluginError
from pabench.meaning import meaning
from pabench.schema import Part, problems

SECONDS = 600.0
"""Importing a criterion takes less."""


class Described(Part):
    """All that a criterion's class gives to its cells: see `pabench.cell.CriterionSpec`."""

    given: dict[str, Any]
    args: dict[str, Any]
    version: int
    source: str
    trains: bool
    reference_line: str
    donor: dict[str, Any]


class Unmade(Part):
    error: str


def of_class(name: str, args: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the class of that name says with these parameters, and what its label means (`given`, see `meaning`).

    PabenchError: there is none, or it does not take them.
    """
    rule = registry.criterion(name.partition("@")[0], args)
    return {
        "given": meaning(name, given),
        "args": asdict(rule),
        "version": rule.version,
        "source": source_digest(type(rule)),
        **nature(rule),
    }


def describe(payload: Mapping[str, Any], report: Report) -> None:
    """In the child: import the files and write what their criteria say, or why they say nothing, to `answer`."""
    answers: list[dict[str, Any]] = []
    try:
        for path in payload["plugins"]:
            registry.drop_in(path)
        answers = [_attempted(**rule) for rule in payload["rules"]]
    except PabenchError as error:
        answers = [{"error": str(error)} for _ in payload["rules"]]
    durable.write_once(Path(payload["answer"]), json.dumps(answers).encode())


def descriptions(
    rules: Sequence[tuple[CriterionSpec, tuple[Path, ...]]], engine: Engine, folder: Path
) -> dict[str, dict[str, Any]]:
    """By the digest of a criterion's identity what it is here; each comes with the files that a child must import.

    MissingError: it cannot be made here. PluginError: its code ended or garbled the process that it was run in.
    """
    found = {_key(rule): _made(rule, _attempted(**_told(rule))) for rule, files in rules if not files}
    groups: dict[tuple[Path, ...], list[CriterionSpec]] = {}
    for rule, files in rules:
        if files:
            groups.setdefault(files, []).append(rule)
    tasks = {task.key: (task, files) for task, files in _tasks(groups, folder)}
    everything = [task for task, _ in tasks.values()]
    outcomes = engine.run(everything, workers=1, threads=cores(), on_event=lambda event: None, stop=threading.Event())
    for outcome in outcomes if tasks else ():
        task, files = tasks[outcome.key]
        named = ", ".join(rule.name for rule in groups[files])
        if not outcome.ok:
            last = (outcome.message.strip().splitlines() or ["the process ended early"])[-1]
            told = f"{named}: importing its file ended the process that did it ({outcome.kind}: {last})"
            raise (MissingError if outcome.kind == "oom" else PluginError)(told)
        answers = _read(Path(task.payload["answer"]), named, len(groups[files]))
        found |= {_key(rule): _made(rule, answer) for rule, answer in zip(groups[files], answers, strict=True)}
    return found


def _tasks(
    groups: Mapping[tuple[Path, ...], Iterable[CriterionSpec]], folder: Path
) -> Iterator[tuple[Task, tuple[Path, ...]]]:
    for number, (files, rules) in enumerate(groups.items()):
        payload = {
            "plugins": [str(file) for file in files],
            "rules": [_told(rule) for rule in rules],
            "answer": str(folder / f"described-{number}.json"),
        }
        yield Task(f"describe {number}", "describe", "pabench.description:describe", payload, timeout=SECONDS), files


def _told(rule: CriterionSpec) -> dict[str, Any]:
    return {"name": rule.name, "args": dict(rule.args), "given": dict(rule.given)}


def _attempted(name: str, args: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return of_class(name, args, given)
    except PabenchError as error:
        return {"error": str(error)}


def _read(path: Path, named: str, count: int) -> list[dict[str, Any]]:
    """What a child wrote, which may be anything."""
    try:
        answers = parse(durable.read(path, limit=MAX_BYTES))
    except (FileNotFoundError, DataError) as error:
        raise PluginError(f"{named}: the process that imported its file wrote no description ({error})") from None
    listed = isinstance(answers, list) and len(answers) == count
    if not listed or any(problems(Described, one) and problems(Unmade, one) for one in answers):
        raise PluginError(f"{named}: what the process that imported its file wrote is no description of a criterion")
    return list(answers)


def _made(rule: CriterionSpec, answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise MissingError(f"{rule.label}: this pabench cannot make it: {answer['error']}")
    return {field: answer[field] for field in Described.model_fields}


def _key(rule: CriterionSpec) -> str:
    return digest(rule.identity())
