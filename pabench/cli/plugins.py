"""What is installed: criteria and metrics, one of them in words, and a new one to start from."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from pabench import registry
from pabench.cli.arguments import Plugin, load_plugins
from pabench.cli.terminal import say
from pabench.errors import RefusedError, SuiteError

TEMPLATE = '''"""{title}: say what it keeps, and cite where it comes from."""

from dataclasses import dataclass
from typing import Literal

from pabench.plugins import PositiveInt, ScoreContext, ScoreCriterion, Tensors


@dataclass(frozen=True, kw_only=True)
class {title}(ScoreCriterion):
    """Score |dL/dw|: replace by your own. The highest scores are kept."""

    name = "{name}"
    paper = ""
    version = 1  # raise it with every change that can change a mask
    bn: Literal["train", "eval"] = "train"
    examples_per_class: PositiveInt = 10  # for a data-free criterion: Literal[0] = 0

    def score(self, ctx: ScoreContext) -> Tensors:
        g = ctx.gradient(ctx.kept)
        return {{n: t.abs() for n, t in g.items()}}
'''

criteria_app = typer.Typer(help="Criteria that are installed.", invoke_without_command=True, rich_markup_mode=None)


@criteria_app.callback(invoke_without_command=True)
def criteria_list(context: typer.Context, plugin: Plugin = None) -> None:
    """List criteria with their papers and variants, and plugins that could not be loaded."""
    if context.invoked_subcommand is None:
        load_plugins(plugin)
        _list("criteria", lambda cls: (_first_line(cls), cls.paper, *(f"{cls.name}@{v}" for v in cls.variants)))


@criteria_app.command("show")
def criteria_show(name: str, plugin: Plugin = None) -> None:
    """Describe a criterion and its parameters."""
    load_plugins(plugin)
    cls: Any = registry.plugin("criteria", name.partition("@")[0])
    hints = get_type_hints(cls)
    lines = [f"{cls.name} (version {cls.version}) {cls.paper}", f"defined in {inspect.getfile(cls)}", ""]
    lines += [inspect.getdoc(cls) or ""]
    lines += [] if reference(cls) else ["", "Reference: not stated."]
    lines += ["", "parameters:"]
    lines += [f"  {f.name}: {_type(hints[f.name])} = {f.default!r}" for f in fields(cls)]
    lines += [f"variant {cls.name}@{v}: {dict(changes)}" for v, changes in cls.variants.items()]
    say("\n".join(lines))


@criteria_app.command("new")
def criteria_new(name: str, folder: Annotated[Path, typer.Option(help="Where to.")] = Path("criteria")) -> None:
    """Write a criterion to start from: a file that works, for `criteria/` next to a suite or for `--plugin`."""
    from pabench.suite.cell import NAME

    if not NAME.fullmatch(name):
        raise SuiteError(f"{name!r} is no name; expected a letter or digit, then up to 63 of letters, digits, ._+-")
    stem = "".join(c if c.isalnum() else "_" for c in name)
    title = "".join(part.capitalize() for part in stem.split("_")) or "Mine"
    path = folder / f"{stem}.py"
    if path.exists():
        raise RefusedError(f"{path}: exists already")
    if name in registry.group("criteria").classes:
        raise SuiteError(f"{name!r} is taken by {registry.group('criteria').origins[name]}")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(TEMPLATE.format(name=name, title=title if title.isidentifier() else f"My{title}"))
    say(f"{path}: edit score(), then `pabench run SUITE --plugin` it")


def metrics(plugin: Plugin = None) -> None:
    """List metrics, what they cost and what they say, and plugins that could not be loaded."""
    load_plugins(plugin)
    _list("metrics", lambda cls: (f"{cls.cost:<5}", _first_line(cls)))


def _list(kind: str, columns: Callable[[Any], tuple[str, ...]]) -> None:
    """One line a plugin; broken ones with their reason below."""
    group = registry.group(kind)
    width = max(map(len, group.classes), default=0)
    lines = ["  ".join([f"{name:<{width}}", *columns(cls)]) for name, cls in sorted(group.classes.items())]
    say("\n".join([*lines, *(f"broken: {b.origin}: {b.reason}" for b in group.broken)]))


def reference(cls: type) -> str:
    """What results of a criterion were compared with, in one line: the paragraph "Reference: " of its docstring.

    Official code by `owner/repository at commit`, compared numerically, or "the formula alone."; "" where none is said.
    """
    found = [p for p in (inspect.getdoc(cls) or "").split("\n\n") if p.startswith("Reference: ")]
    return " ".join(found[0].removeprefix("Reference: ").split()) if found else ""


def _first_line(cls: type) -> str:
    return (inspect.getdoc(inspect.getmodule(cls)) or "").partition("\n")[0].rstrip(".")


def _type(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).removeprefix("typing.")
