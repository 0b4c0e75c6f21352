"""Criteria in words: the list, one of them, and a new one to start from."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from pabench import registry
from pabench.errors import RefusedError, SuiteError
from pabench.suite.cell import NAME

TEMPLATE = '''"""{title}: say what it keeps, and cite where it comes from."""

from dataclasses import dataclass
from typing import Literal

from torch.func import grad

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
        w = ctx.kept
        g = grad(ctx.loss)(w)
        return {{n: g[n].abs() for n in w}}
'''


def criteria() -> str:
    """One line a criterion; broken plugins with their reason below."""
    return _listed("criteria", lambda cls: (_first_line(cls), "  ".join([cls.paper, *_variants(cls)])))


def metrics() -> str:
    """One line a metric; broken plugins with their reason below."""
    return _listed("metrics", lambda cls: (f"{cls.cost:<5}", _first_line(cls)))


def criterion(name: str) -> str:
    """The docstring, where it is defined, parameters with types and defaults, variants."""
    cls: Any = registry.plugin("criteria", name.partition("@")[0])
    hints = get_type_hints(cls)
    lines = [f"{cls.name} (version {cls.version}) {cls.paper}", f"defined in {inspect.getfile(cls)}", ""]
    lines += [inspect.getdoc(cls) or "", "", "parameters:"]
    lines += [f"  {f.name}: {_type(hints[f.name])} = {f.default!r}" for f in fields(cls)]
    lines += [f"variant {cls.name}@{v}: {dict(changes)}" for v, changes in cls.variants.items()]
    return "\n".join(lines)


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


def _listed(kind: str, columns: Callable[[Any], tuple[str, ...]]) -> str:
    group = registry.group(kind)
    width = max(map(len, group.classes), default=0)
    lines = ["  ".join([f"{name:<{width}}", *columns(cls)]) for name, cls in sorted(group.classes.items())]
    return "\n".join([*lines, *(f"broken: {b.origin}: {b.reason}" for b in group.broken)])


def _variants(cls: Any) -> list[str]:
    return [f"{cls.name}@{variant}" for variant in cls.variants]


def _first_line(cls: type) -> str:
    return (inspect.getdoc(inspect.getmodule(cls)) or "").partition("\n")[0].rstrip(".")


def _type(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).removeprefix("typing.")
