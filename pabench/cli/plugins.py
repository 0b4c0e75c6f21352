"""One criterion in words, and a new one to start from."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from pabench import registry
from pabench.cli import completion, listing, models, scaffold
from pabench.cli.arguments import Plugin, load_plugins, plugin_files
from pabench.cli.terminal import say
from pabench.cli.usage import Command, Group

CriterionName = Annotated[
    str, typer.Argument(metavar="NAME", autocompletion=completion.criteria, help="A criterion: grasp.")
]
criteria_app = typer.Typer(cls=Group, rich_markup_mode=None)


@criteria_app.callback(invoke_without_command=True)
def _without_a_command(
    context: typer.Context,
    plugin: Annotated[list[Path] | None, typer.Option("--plugin", metavar="FILE", hidden=True)] = None,
    as_json: Annotated[bool, typer.Option("--json", hidden=True)] = False,
) -> None:
    """Show, write and test criteria."""
    # without a command it lists them, as it did before there was `pabench list`
    if context.invoked_subcommand is None:
        listing.criteria(plugin, as_json)


@criteria_app.command("show", cls=Command)
def criteria_show(name: CriterionName, plugin: Plugin = None) -> None:
    """Describe a criterion and its parameters."""
    load_plugins(plugin_files(plugin, [name]))
    cls: Any = registry.plugin("criteria", name.partition("@")[0])
    hints = get_type_hints(cls)
    lines = [f"{cls.name} (version {cls.version}) {cls.paper}", f"defined in {inspect.getfile(cls)}", ""]
    lines += [inspect.getdoc(cls) or ""]
    lines += [] if reference(cls) else ["", "Reference: not stated."]
    lines += ["", "parameters:"]
    lines += [f"  {f.name}: {_type(hints[f.name])} = {f.default!r}" for f in fields(cls)]
    lines += [f"variant {cls.name}@{v}: {dict(changes)}" for v, changes in cls.variants.items()]
    say("\n".join(lines))


@criteria_app.command("new", cls=Command)
def criteria_new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What suites will call it.")],
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to, the criterion's file alone. Default: a whole plugin.")
    ] = None,
) -> None:
    """Write a criterion to start from, which works.

    In `criteria/` of the working directory, with a test, a README and what installs it. Nothing is overwritten.
    """
    say("\n".join(scaffold.begin(name, folder)))


criteria_app.command("test", cls=Command)(models.conformance)


def reference(cls: type) -> str:
    """What results of a criterion were compared with, in one line: the paragraph "Reference: " of its docstring.

    Official code by `owner/repository at commit`, compared numerically, or "the formula alone."; "" where none is said.
    """
    found = [p for p in (inspect.getdoc(cls) or "").split("\n\n") if p.startswith("Reference: ")]
    return " ".join(found[0].removeprefix("Reference: ").split()) if found else ""


def _type(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).removeprefix("typing.")
