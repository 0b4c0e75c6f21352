"""`pabench list`: what there is by name. Built-in names are read from files: no torch, no timm.

Files of others and what they install are imported in processes apart, where there are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pabench import catalogue, registry
from pabench.cli.arguments import AsJson, Plugin
from pabench.cli.terminal import say, tell
from pabench.cli.usage import Command, Group
from pabench.errors import MissingError
from pabench.source import real
from pabench.words import one_line

if TYPE_CHECKING:
    from pabench.run.discovery import Defined

list_app = typer.Typer(
    cls=Group,
    help="List suites, models, datasets, criteria or metrics.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@list_app.command("suites", cls=Command)
def suites(as_json: AsJson = False) -> None:
    """Suites that come with pabench, and how many cells they have."""
    from pabench.suite import grid
    from pabench.suite.suite import draft

    rows = []
    for name, file in catalogue.suites().items():
        suite = draft(file)
        rows.append({"name": name, "title": suite.title, "cells": grid.count(suite), "file": str(file)})
    _print(rows, as_json, lambda row: (f"{row['cells']:>5} cells", row["title"]))


@list_app.command("models", cls=Command)
def models(as_json: AsJson = False) -> None:
    """Networks of the papers, then those of timm."""
    rows = [{"name": name, "source": source} for name, source in catalogue.models().items()]
    rows.sort(key=lambda row: (row["source"] != "pabench", row["name"]))
    _print(rows, as_json, lambda row: (row["source"],))


@list_app.command("datasets", cls=Command)
def datasets(plugin: Plugin = None, as_json: AsJson = False) -> None:
    """Datasets, and what is in them."""
    _plugins("datasets", ("about",), plugin, as_json)


@list_app.command("criteria", cls=Command)
def criteria(plugin: Plugin = None, as_json: AsJson = False) -> None:
    """Criteria with their papers and variants."""
    _plugins("criteria", ("about", "paper", "variants"), plugin, as_json)


@list_app.command("metrics", cls=Command)
def metrics(plugin: Plugin = None, as_json: AsJson = False) -> None:
    """Metrics, what they cost and what they say."""
    _plugins("metrics", ("cost", "about"), plugin, as_json)


def _plugins(kind: str, columns: Sequence[str], plugin: Sequence[Path] | None, as_json: bool) -> None:
    """The plugins of a kind, built-in ones first, and what could not be loaded. MissingError: one of `--plugin`."""
    for path in plugin or ():
        if not path.is_file():
            raise MissingError(f"{path}: no such plugin file")
    shelf, others = catalogue.built_in(kind), _others(kind, plugin or ())
    rows = [_row(one, columns, "pabench") for one in shelf.known.values()]
    rows += [_row(one, columns, source) for one, source in others.known if one.name not in shelf.known]
    _print(rows, as_json, lambda row: [_cell(row[column]) for column in columns])
    for line in (*(_told(file, why) for file, why in shelf.broken.items()), *others.broken):
        say(f"broken: {line}", error=as_json)


@dataclass(frozen=True)
class _Others:
    """The plugins of others, each with what to import for it, and a line for each that is broken."""

    known: Sequence[tuple[catalogue.Known, str]] = ()
    broken: Sequence[str] = ()


def _others(kind: str, plugin: Sequence[Path]) -> _Others:
    """Files of `--plugin` and of `criteria/` in the working directory, and what others have installed."""
    files = [real(path) for path in (*registry.drop_ins(Path("suite.yaml"), ()), *plugin)]
    if not files and not registry.offered(kind):
        return _Others()
    from pabench.run.discovery import Foreign, shown
    from pabench.run.processes import Processes

    found = Foreign(Processes(attempts=1, grace=1.0), files=files).found
    known = [
        (_known(one), shown(found.sources[kind][name]))
        for (its_kind, name), one in sorted(found.classes.items())
        if its_kind == kind
    ]
    broken = {**{source: f"importing it changes {what}" for source, what in found.changed.items()}, **found.broken}
    lines = {source: _told(shown(source), why) for source, why in broken.items()}
    if asked_for := [lines[source] for path in plugin if (source := str(real(path))) in lines]:
        raise MissingError("\n".join(asked_for))
    taken = dict.fromkeys([*(problem for _, problem in found.refused), *found.clashes.values()])
    return _Others(known, [*lines.values(), *taken])


def _known(one: Defined) -> catalogue.Known:
    """What a plugin says of itself, whatever it says, on one line each."""
    about, paper, cost = map(one_line, (one.about, one.paper, one.cost))
    return catalogue.Known(one.name, about, paper, tuple(map(one_line, one.variants)), cost)


def _told(source: str, why: str) -> str:
    """Where and why, as compilers say it.

    >>> _told("mine.py", "line 3: ValueError: no"), _told("mine.py", "defines no criterion")
    ('mine.py:3: ValueError: no', 'mine.py: defines no criterion')
    """
    return f"{source}:{why.removeprefix('line ')}" if why.startswith("line ") else f"{source}: {why}"


def _row(one: catalogue.Known, columns: Sequence[str], source: str) -> dict[str, Any]:
    return {"name": one.name, **{column: getattr(one, column) for column in columns}, "source": source}


def _cell(value: str | Sequence[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)


def _print(rows: Sequence[dict[str, Any]], as_json: bool, columns: Any) -> None:
    """One line each, the names in a column; for programs one array of objects."""
    if as_json:
        tell(list(rows))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    say("\n".join("  ".join([f"{row['name']:<{width}}", *columns(row)]).rstrip() for row in rows))
