"""What has a name, told without importing it: for lists, for the Tab key and for "did you mean".

Files are read and never run, so that a name is known in milliseconds: torch and timm take seconds to import.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

from pabench import registry
from pabench.source import Stated, stated

SHELVES = ("criteria", "datasets", "metrics")
"""Kinds of plugins that a user names."""
_HERE = Path(__file__).parent
_NETWORK = re.compile(r"""^register\(\w+, "(\w+)\"""", re.MULTILINE)
_TIMM_NETWORK = re.compile(r"^@register_model\s*(?:#.*)?\ndef (\w+)\(", re.MULTILINE)


@dataclass(frozen=True)
class Known:
    """A criterion, dataset or metric: what it is in one line, and of which kinds of plugin it is said, its paper, its
    variants (`grasp@official`) and its cost."""

    name: str
    about: str = ""
    paper: str = ""
    variants: tuple[str, ...] = ()
    cost: str = ""


@dataclass(frozen=True)
class Shelf:
    """The built-in plugins of a kind, and what is wrong with files that cannot be read."""

    known: Mapping[str, Known]
    broken: Mapping[str, str] = field(default_factory=dict)


@cache
def built_in(kind: str) -> Shelf:
    """The criteria, datasets or metrics that come with pabench."""
    found, broken = stated(_sources(kind))
    known = {one.name: _known(one, kind) for one in found}
    return Shelf({name: known[name] for name in sorted(known)}, {path.name: why for path, why in broken.items()})


def _sources(kind: str) -> list[Path]:
    if kind == "criteria":
        return sorted(Path(str(files("pabench_criteria"))).glob("*.py"))
    if kind == "datasets":
        return sorted((_HERE / "data").glob("*.py"))
    return sorted((_HERE / "diagnostics" / "metrics").glob("*.py"))


def _known(one: Stated, kind: str) -> Known:
    # data sets share a file; a criterion or a metric has one, whose heading says what it is called in papers
    about = one.doc if kind == "datasets" else one.heading or one.doc
    variants = tuple(f"{one.name}@{variant}" for variant in one.says.get("variants", ()))
    cost = str(one.says.get("cost", "cheap")) if kind == "metrics" else ""
    return Known(one.name, about, str(one.says.get("paper", "")), variants, cost)


def here() -> dict[str, Path]:
    """The criteria that files in `criteria/` of the working directory define, as far as reading them tells."""
    beside = registry.drop_ins(Path("suite.yaml"), ())
    return {one.name: path for path in beside for one in stated([path])[0]}


@cache
def suites() -> dict[str, Path]:
    """The suites that come with pabench."""
    return {file.stem: file for file in sorted(Path(str(files("pabench_suites"))).glob("*.yaml"))}


@cache
def models() -> dict[str, str]:
    """The networks by name, each with where it comes from: `pabench` (the papers' own) or `timm`."""
    ours = [name for file in (_HERE / "networks" / "zoo").glob("*.py") for name in _NETWORK.findall(file.read_text())]
    return {**dict.fromkeys(_timm_models(), "timm"), **dict.fromkeys(sorted(ours), "pabench")}


def _timm_models() -> list[str]:
    """timm's networks, read once per version: its files are four megabytes. Empty where there is no timm."""
    try:
        kept = cache_folder() / f"timm-{version('timm')}.txt"
    except PackageNotFoundError:
        return []
    with suppress(OSError, UnicodeDecodeError):
        return kept.read_text().split()
    names = _read_timm()
    with suppress(OSError):  # a cache that cannot be written costs milliseconds
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text("\n".join(names))
        part.replace(kept)
    return names


def _read_timm() -> list[str]:
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:
        return []
    texts = (file.read_text("utf-8", "replace") for file in (Path(spec.origin).parent / "models").glob("*.py"))
    return sorted({name for text in texts for name in _TIMM_NETWORK.findall(text)})


def kind_of(name: str) -> str:
    """What a name is: a model, a criterion, a dataset or a metric; "" where it is none that is known without a plugin.

    >>> kind_of("resnet20"), kind_of("grasp@official"), kind_of("nothing")
    ('model', 'criterion', '')
    """
    if name in models():
        return "model"
    base = name.partition("@")[0]
    found = (one for kind, one in registry.KINDS.items() if kind in SHELVES and base in built_in(kind).known)
    return next(found, "criterion" if base in here() else "")


def cache_folder() -> Path:
    """Where pabench keeps what can be made again: $PABENCH_CACHE, else $XDG_CACHE_HOME/pabench, else
    ~/.cache/pabench."""
    own, everyone = os.environ.get("PABENCH_CACHE"), os.environ.get("XDG_CACHE_HOME")
    given = own or (f"{everyone}/pabench" if everyone else "~/.cache/pabench")
    return Path(os.path.expandvars(given)).expanduser()
