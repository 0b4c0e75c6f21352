"""The one door: built-ins and anyone's plugins are found the same way.

Entry points of the groups `pabench.criteria`, `pabench.datasets`, `pabench.metrics` and `pabench.sections`, whose value
is a class, a module, or a package that is searched file by file; besides, drop-in files. A broken plugin is set
aside with its reason; two of one name are refused with both places named.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from pabench.errors import MissingError, PluginError, SuiteError, did_you_mean
from pabench.words import one_line

if TYPE_CHECKING:
    from pabench.scoring.criterion import Criterion


KINDS = {"criteria": "criterion", "datasets": "dataset", "metrics": "metric", "sections": "section"}
"""Kinds of plugins, with what one of them is called."""
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")


@dataclass(frozen=True)
class Broken:
    """A plugin that could not be loaded: where it came from and why."""

    origin: str
    reason: str


@dataclass
class Group:
    """The plugins of one kind: classes by name, and what is broken."""

    classes: dict[str, type] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)

    def add(self, cls: type, origin: str) -> None:
        name = cls.name  # type: ignore[attr-defined]
        if self.classes.setdefault(name, cls) is not cls:
            reason = f"{name!r} is already defined by {self.origins[name]}; rename one of the two"
            self.broken.append(Broken(origin, reason))
        else:
            self.origins[name] = origin


def criterion(name: str, parameters: Mapping[str, Any] | None = None) -> Criterion:
    """An instance of the criterion `name` (`grasp`, or `grasp@official` for a variant) with these parameters."""
    base, _, variant = name.partition("@")
    return plugin("criteria", base).create(parameters or {}, variant)  # type: ignore[attr-defined]


def plugin(kind: str, name: str) -> type:
    """The class `name` of a kind (criteria, datasets, metrics, sections); SuiteError names the close ones."""
    known = group(kind)
    if name not in known.classes:
        for b in known.broken:
            if Path(b.origin).stem == name or b.origin.endswith(f".{name}"):
                raise MissingError(f"{kind}: {name!r} could not be loaded: {b.origin}: {b.reason}")
        aside = "".join(f"; set aside: {b.origin}: {b.reason}" for b in known.broken)
        raise SuiteError(f"no {KINDS[kind]} named {name!r}; {did_you_mean(name, known.classes)}{aside}")
    return known.classes[name]


@cache
def installed() -> EntryPoints:
    """What all installed distributions offer, read once per process: each has a file of its own, and nothing of it is
    imported."""
    return entry_points()  # type: ignore[return-value]  # Python 3.11 has another class for it, with the same `select`


@cache
def group(kind: str) -> Group:
    """All plugins of a kind that are installed, loaded once per process."""
    found = Group()
    for entry in sorted(installed().select(group=f"pabench.{kind}"), key=lambda e: (e.name != "builtin", e.name)):
        origin = f"{entry.value} ({entry.dist.name if entry.dist else 'no distribution'})"
        for module_or_class in _load(entry, origin, found):
            for cls in _classes(module_or_class, kind):
                found.add(cls, f"{origin}: {cls.__module__}")
    return found


def drop_in(path: str | Path) -> None:
    """Load a plugin file that is not installed: a criterion next to a suite, `plugins:` in it, `--plugin FILE`.

    Loading the same file twice changes nothing. PluginError: the file fails to import, defines nothing, or a name that
    is taken.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise MissingError(f"{path}: no such plugin file")
    name = f"pabench_plugin_{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return
    spec: Any = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        _register_drop_in(module, path)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, PluginError):
            raise
        where = "" if place(error) else f"{path}: "
        raise PluginError(f"{where}{complaint(error)}") from error


def try_drop_in(path: str | Path) -> None:
    """As `drop_in`, but a broken file is set aside with its reason and matters only to who names what it defines."""
    try:
        drop_in(path)
    except (PluginError, MissingError) as error:
        file = Path(path).resolve()
        told = str(error).removeprefix(_named(str(file))).removeprefix(str(file)).lstrip(": ")
        group("criteria").broken.append(Broken(str(path), f"line {told}" if told[0].isdigit() else told))


def _register_drop_in(module: ModuleType, path: Path) -> None:
    found = [(group(kind), cls) for kind in ("criteria", "datasets", "metrics") for cls in _classes(module, kind)]
    for known, cls in found:
        if (name := cls.name) in known.classes:  # type: ignore[attr-defined]
            raise PluginError(f"{path}: {name!r} is already defined by {known.origins[name]}; rename one of them")
        known.add(cls, str(path))
    if not found:
        raise PluginError(f"{path}: defines no criterion, dataset or metric (a concrete subclass with a `name`)")


def drop_ins(suite: Path | None, listed: Sequence[str | Path]) -> list[Path]:
    """The plugin files of a suite: `criteria/*.py` next to it, then those it lists, relative to it."""
    if suite is None:
        return [Path(p).resolve() for p in listed]
    folder = suite.resolve().parent
    beside = sorted(p for p in (folder / "criteria").glob("*.py") if not p.name.startswith("_"))
    if (folder / "criteria" / "__init__.py").exists():
        beside = []  # a package, not a folder of drop-ins
    return [*beside, *(folder / p for p in listed)]


def complaint(error: BaseException) -> str:
    """An error on one line, as terminal and status tell it: `criteria/mine.py:12 in score: ValueError: ...`."""
    where = f"{there}: " if (there := place(error)) else ""
    return one_line(f"{where}{type(error).__name__}: {getattr(error, 'msg', error)}")


def place(error: BaseException) -> str:
    """Where a plugin raised an error: `criteria/mine.py:12 in score`; "" where only pabench and libraries did.

    It is the innermost frame of a plugin or of a file beside it. An error that pabench raised from another one is
    where that one was raised.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_named(error.filename)}:{error.lineno}"
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if _is_own(frame)]
    if frames:
        frame, line = frames[-1]
        names = [frame.f_code.co_name for frame, _ in frames if not frame.f_code.co_name.startswith("<")]
        return f"{_named(frame.f_code.co_filename)}:{line}{f' in {names[-1]}' if names else ''}"
    return place(error.__cause__) if error.__cause__ else ""


def _is_own(frame: FrameType) -> bool:
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    ours, others = _packages()
    file = Path(frame.f_code.co_filename)
    installed = {"site-packages", "dist-packages"} & set(file.parts) or file.is_relative_to(_STANDARD_LIBRARY)
    return package not in ours and (package in others if installed else file.is_file())


@cache
def _packages() -> tuple[set[str], set[str]]:
    """The packages that our own plugins come from, and those of others that are installed."""
    entries = [entry for kind in KINDS for entry in installed().select(group=f"pabench.{kind}")]
    ours = {"pabench"} | {e.module.partition(".")[0] for e in entries if e.name == "builtin"}
    return ours, {e.module.partition(".")[0] for e in entries} - ours


def _named(file: str) -> str:
    """A file as a user writes it: from the working directory, where it is inside."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _load(entry: EntryPoint, origin: str, found: Group) -> list[ModuleType | type]:
    """What an entry point names, file by file where it is a package; a broken file is set aside, the others go on."""
    loaded: list[ModuleType | type] = []
    with _set_aside(origin, found):
        loaded.append(entry.load())
    for package in [value for value in loaded if hasattr(value, "__path__")]:
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            with _set_aside(info.name, found):
                loaded.append(importlib.import_module(info.name))
    return loaded


@contextmanager
def _set_aside(origin: str, found: Group) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # some plugins say `sys.exit` where they should not
        found.broken.append(Broken(origin, complaint(error)))


def _classes(value: ModuleType | type, kind: str) -> list[type]:
    """Concrete plugin classes: a class itself, or those that a module defines (not those it imports).

    What kind of plugin a class is says its base class (`kind`), so that looking for one kind imports no other's base.
    """
    if inspect.isclass(value):
        return [value]
    return [
        cls
        for cls in vars(value).values()
        if inspect.isclass(cls)
        and cls.__module__ == value.__name__
        and getattr(cls, "kind", "") == kind
        and not inspect.isabstract(cls)
        and isinstance(getattr(cls, "name", None), str)
    ]
