"""What this machine makes of the criteria of a submission; those with code of the submitter's in a process apart.

Importing a file runs it, and what it runs can change or end the process that judges it. So only a child imports it,
and says in a file what it found, which is read as any other file of a stranger.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pabench import registry
from pabench.errors import DataError, MissingError, PabenchError, PluginError
from pabench.parameters import told
from pabench.run.engine import Engine, Report, Task
from pabench.scoring.donor import nature
from pabench.store import files as stored
from pabench.store.envelope import MAX_BYTES, parse
from pabench.store.schema import Part, problems
from pabench.suite.digest import canonical
from pabench.suite.specs import CriterionSpec
from pabench.training.environment import threads

SECONDS = 600.0
"""Importing a criterion takes less."""


class Described(Part):
    """All that a criterion's class gives to its cells: see `pabench.suite.specs.CriterionSpec`."""

    given: dict[str, Any]
    args: dict[str, Any]
    version: int
    source: str
    sha256: str
    trains: bool
    reference_line: str
    precision: str
    donor: dict[str, Any]


class Unmade(Part):
    error: str


def _attempted(name: str, args: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the class of that name says with these parameters, and all that its label means here (`given`); an `error`
    where there is none, or it does not take them."""
    try:
        rule = registry.criterion(name.partition("@")[0], args)
        return {"given": _meaning(name, given), **nature(rule)}
    except PabenchError as error:
        return {"error": str(error)}


def _meaning(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of what a suite calls so (`grasp@official`, and what is `given` besides), as a record holds them;
    empty where the class has no such variant or takes no such parameter."""
    try:
        return dict(json.loads(canonical(told(registry.criterion(name, given)))))
    except PabenchError:
        return {}


def describe(payload: Mapping[str, Any], report: Report) -> None:
    """In the child: import the files and write what their criteria say, or why they say nothing, to `answer`."""
    try:
        for path in payload["plugins"]:
            registry.load(path)  # what that changes besides is told where the criterion is run
        answers: list[dict[str, Any]] = [_attempted(**rule) for rule in payload["rules"]]
    except PabenchError as error:
        answers = [{"error": str(error)} for _ in payload["rules"]]
    stored.write_once(Path(payload["answer"]), json.dumps(answers).encode())


def descriptions(
    rules: Mapping[str, CriterionSpec], files: Sequence[Path], engine: Engine, answer: Path
) -> dict[str, dict[str, Any]]:
    """What each criterion is here, by the same keys; `files` are imported for them by a child, which writes `answer`.

    MissingError: it cannot be made here. PluginError: its code ended or garbled the process that it was run in.
    """
    told: list[dict[str, Any]] = [
        {"name": rule.name, "args": dict(rule.args), "given": dict(rule.given)} for rule in rules.values()
    ]
    answers = _of_child(told, files, engine, answer) if files else [_attempted(**one) for one in told]
    found = {}
    for (key, rule), made in zip(rules.items(), answers, strict=True):
        if "error" in made:
            raise MissingError(f"{rule.label}: this pabench cannot make it: {made['error']}")
        found[key] = {field: made[field] for field in Described.model_fields}
    return found


def _of_child(
    rules: Sequence[Mapping[str, Any]], files: Sequence[Path], engine: Engine, answer: Path
) -> list[dict[str, Any]]:
    """What a process that imports the files says of the criteria, which may be anything."""
    named = ", ".join(rule["name"] for rule in rules)
    payload = {"plugins": [str(file) for file in files], "rules": rules, "answer": str(answer)}
    function = "pabench.leaderboard.verification.sandbox:describe"
    task = Task("describe", "describe", function, payload, timeout=SECONDS, guarded=True)
    (outcome,) = engine.run([task], workers=1, threads=threads(1), on_event=lambda event: None, stop=threading.Event())
    if not outcome.ok:
        told = f"{named}: importing its file ended the process that did it ({outcome.kind}: {outcome.reason})"
        raise (MissingError if outcome.kind == "oom" else PluginError)(told)
    try:
        answers = parse(stored.read(answer, limit=MAX_BYTES))
    except (FileNotFoundError, DataError) as error:
        raise PluginError(f"{named}: the process that imported its file wrote no description ({error})") from None
    listed = isinstance(answers, list) and len(answers) == len(rules)
    if not listed or any(problems(Described, one) and problems(Unmade, one) for one in answers):
        raise PluginError(f"{named}: what the process that imported its file wrote is no description of a criterion")
    return list(answers)
