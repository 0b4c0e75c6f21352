"""Criteria in words: the list, one of them, and a new one to start from."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from pabench import registry
from pabench.allocation import ALLOCATIONS, AS, lamp
from pabench.cell import NAME
from pabench.errors import RefusedError, SuiteError

TEMPLATE = '''"""{title}: say what it keeps, and cite where it comes from."""

from dataclasses import dataclass
from typing import Literal

from torch.func import grad

from pabench.criterion import PositiveInt, ScoreContext, ScoreCriterion, Tensors


@dataclass(frozen=True, kw_only=True)
class {title}(ScoreCriterion):
    """Score |dL/dw|: replace by your own. The highest scores are kept."""

    name = "{name}"
    paper = ""
    version = 1  # raise it with every change that can change a mask
    bn: Literal["train", "eval"] = "train"
    examples_per_class: PositiveInt = 10  # for a data-free criterion: Literal[0] = 0

    def score(self, ctx: ScoreContext) -> Tensors:
        w = ctx.kept
        g = grad(ctx.loss)(w)
        return {{n: g[n].abs() for n in w}}
'''


def criteria(plugins: Sequence[Path]) -> str:
    """One line a criterion; broken plugins with their reason below."""
    for path in plugins:
        registry.drop_in(path)
    group = registry.group("criteria")
    width = max(map(len, group.classes), default=0)
    lines = []
    for name, cls in sorted(group.classes.items()):
        variants = "".join(f"  {name}@{v}" for v in cls.variants)  # type: ignore[attr-defined]
        lines.append(f"{name:<{width}}  {_first_line(cls)}  {cls.paper}{variants}")  # type: ignore[attr-defined]
    lines += [f"broken: {b.origin}: {b.reason}" for b in group.broken]
    return "\n".join(lines)


def metrics(plugins: Sequence[Path]) -> str:
    """One line a metric; broken plugins with their reason below."""
    for path in plugins:
        registry.drop_in(path)
    group = registry.group("metrics")
    width = max(map(len, group.classes), default=0)
    lines = [f"{name:<{width}}  {cls.cost:<5}  {_first_line(cls)}" for name, cls in sorted(group.classes.items())]  # type: ignore[attr-defined]
    return "\n".join([*lines, *(f"broken: {b.origin}: {b.reason}" for b in group.broken)])


def criterion(name: str, plugins: Sequence[Path]) -> str:
    """The docstring, where it is defined, parameters with types and defaults, variants."""
    for path in plugins:
        registry.drop_in(path)
    cls: Any = registry.plugin("criteria", name.partition("@")[0])
    hints = get_type_hints(cls)
    lines = [f"{cls.name} (version {cls.version}) {cls.paper}", f"defined in {inspect.getfile(cls)}", ""]
    lines += [inspect.getdoc(cls) or "", "", "parameters:"]
    lines += [f"  {f.name}: {_type(hints[f.name])} = {f.default!r}" for f in fields(cls)]
    lines += [f"variant {cls.name}@{v}: {dict(changes)}" for v, changes in cls.variants.items()]
    return "\n".join(lines)


def markdown(plugins: Sequence[Path]) -> str:
    """Tables of the criteria and of the layer allocations, as docs/criteria.md has them."""
    for path in plugins:
        registry.drop_in(path)
    rows: list[tuple[str, ...]] = [
        ("criterion", "what it scores", "images per class", "BatchNorm", "rounds", "source", "variants")
    ]
    for name, cls in sorted(registry.group("criteria").classes.items()):
        rule: Any = cls.create({})  # type: ignore[attr-defined]
        images = (
            f"{rule.batch_count()} x {rule.examples_per_class}" if rule.batch_count() > 1 else rule.examples_per_class
        )
        variants = "; ".join(
            f"`@{v}` {', '.join(f'{k}={value}' for k, value in changes.items())}"
            for v, changes in rule.variants.items()
        )
        summary = (inspect.getdoc(cls) or "").partition("\n")[0]
        cells = (f"`{name}`", summary, images or "none", rule.bn, getattr(rule, "steps", ""), rule.paper, variants)
        rows.append(tuple(str(c) for c in cells))
    rules: dict[str, Any] = {**ALLOCATIONS, "lamp": lamp}
    summaries = {n: (inspect.getdoc(rule) or "").partition("\n")[0] for n, rule in rules.items()}
    summaries = {"global": "One ranking of all weights.", **summaries}
    summaries[f"{AS}NAME"] = "As many weights as the criterion NAME (or NAME@variant) keeps in it."
    allocations = [("allocation", "what each layer keeps"), *((f"`{n}`", text) for n, text in summaries.items())]
    return f"{_table(rows)}\n\n{_table(allocations)}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def new(name: str, folder: Path) -> Path:
    """Write a working criterion of this name; an existing file is never overwritten."""
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
    return path


def _first_line(cls: type) -> str:
    return (inspect.getdoc(inspect.getmodule(cls)) or "").partition("\n")[0].rstrip(".")


def _type(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).removeprefix("typing.")
