"""The one door: built-ins and anyone's plugins are found the same way.

Entry points of the groups `pabench.criteria`, `pabench.datasets`, `pabench.metrics` and `pabench.sections`, whose value
is a class, a module, or a package that is searched file by file; besides, drop-in files. A broken plugin is set
aside with its reason; two of one name are refused with both places named.

Code of others runs when somebody asks for a name that no built-in plugin has, and not before: a process that asks for
`snip` imports none of it. What its import changes besides defining is named, and is an error.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from pabench.effects import changes, snapshot, told
from pabench.errors import MissingError, PluginError, SuiteError, did_you_mean
from pabench.source import libraries, real
from pabench.words import one_line

if TYPE_CHECKING:
    from pabench.scoring.criterion import Criterion


KINDS = {"criteria": "criterion", "datasets": "dataset", "metrics": "metric", "sections": "section"}
"""Kinds of plugins, with what one of them is called."""
_OURS = ("pabench", "pabench_criteria", "pabench_reports")
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")


class TakenError(PluginError):
    """A plugin has the name of another."""


@dataclass(frozen=True)
class Broken:
    """A plugin that could not be loaded: where it came from and why."""

    origin: str
    reason: str


@dataclass
class Group:
    """The plugins of one kind: classes by name, which of them are built in, and what is broken.

    `sources` says by name what to import for a plugin of others that this process may be asked for, and `lenient` that
    this may change more than it defines.
    """

    classes: dict[str, type] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    built_in: frozenset[str] = frozenset()
    sources: dict[str, str] = field(default_factory=dict)
    lenient: bool = False

    def add(self, cls: type, origin: str) -> None:
        name = cls.name  # type: ignore[attr-defined]
        if self.classes.setdefault(name, cls) is not cls:
            reason = f"{name!r} is already defined by {self.origins[name]}; rename one of the two"
            self.broken.append(Broken(origin, reason))
        else:
            self.origins[name] = origin


@dataclass(frozen=True)
class Loaded:
    """What importing a file or an entry point gave: plugin classes, what it changed besides, and what of it failed."""

    classes: tuple[type, ...] = ()
    changed: tuple[str, ...] = ()
    broken: tuple[Broken, ...] = ()


def criterion(name: str, parameters: Mapping[str, Any] | None = None) -> Criterion:
    """An instance of the criterion `name` (`grasp`, or `grasp@official` for a variant) with these parameters."""
    base, _, variant = name.partition("@")
    return plugin("criteria", base).create(parameters or {}, variant)  # type: ignore[attr-defined]


def plugin(kind: str, name: str) -> type:
    """The class `name` of a kind (criteria, datasets, metrics, sections); SuiteError names the close ones.

    PluginError: it has to be imported, and its file fails or does more than define.
    """
    known = at_hand(kind)
    if name in known.sources:
        _load_alone(known.sources[name], lenient=known.lenient)
    if name in known.classes:
        return known.classes[name]
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
def group(kind: str, *, everything: bool = True) -> Group:
    """All plugins of a kind that are installed, found once per process; or, of the same group, what is `at_hand`."""
    if everything:
        found = at_hand(kind)
        for source in offered(kind):
            _add_installed(found, source)
        return found
    found = Group()
    for entry in _entries(kind):
        if _is_ours(entry):
            loaded = _of_entry(entry, kind)
            found.broken += loaded.broken
            for cls in loaded.classes:
                found.add(cls, _origin(entry, cls))
    found.built_in = frozenset(found.classes)
    return found


def at_hand(kind: str) -> Group:
    """The plugins of a kind that are built in, and those of others that this process has imported."""
    return group(kind, everything=False)


def _add_installed(found: Group, source: str) -> None:
    """Import what a distribution offers; what does more than define is broken."""
    loaded = load(source)
    found.broken += loaded.broken
    if loaded.changed:
        found.broken.append(Broken(source, _too_much(loaded.changed)))
        for name in [name for name, cls in found.classes.items() if cls in loaded.classes]:
            del found.classes[name]


def expect(sources: Mapping[str, Mapping[str, str]], *, lenient: bool = False) -> None:
    """Say by kind and name where the plugins of others are that this process may be asked for; nothing is imported.

    `lenient`: what an import changes besides defining is no error, since nothing is computed here.
    """
    for kind, by_name in sources.items():
        at_hand(kind).sources.update(by_name)
        at_hand(kind).lenient = lenient


def offered(kind: str) -> list[str]:
    """The entry points of other distributions, each as a source: `pabench.criteria:their_package.criteria`."""
    found = [f"{entry.group}:{entry.value}" for entry in _entries(kind) if not _is_ours(entry)]
    return [source for source in found if source not in _LEFT_OUT]


def leave_out(sources: Iterable[str]) -> None:
    """Sources that this process does not import, since a process apart found them broken."""
    _LEFT_OUT.update(sources)


_LEFT_OUT: set[str] = set()


def drop_in(path: str | Path) -> None:
    """Load a plugin file that is not installed: a criterion next to a suite, `plugins:` in it, `--plugin FILE`.

    Loading the same file twice changes nothing. PluginError: the file fails to import, defines nothing, or a name that
    is taken, or importing it changes what others compute with.
    """
    _load_alone(str(real(path)))


def load(source: str) -> Loaded:
    """What a source gives, imported once per process: a file, or an entry point (`offered`).

    PluginError: as for `drop_in`, but for what the import changes, which is told and left to the caller.
    """
    if is_file(source):
        return _load_file(Path(source))
    return _load_entry(source)


def is_file(source: str) -> bool:
    """Whether a source is a file and no entry point."""
    return source.partition(":")[0] not in {f"pabench.{kind}" for kind in KINDS}


def _load_alone(source: str, *, lenient: bool = False) -> None:
    file = named(source)  # before the import, which may leave the working directory
    loaded = load(source)
    if loaded.changed and not lenient:
        raise PluginError(f"{file}: {_too_much(loaded.changed)}")
    if loaded.broken and not loaded.classes:
        raise PluginError(f"{source}: {'; '.join(f'{b.origin}: {b.reason}' for b in loaded.broken)}")


def _too_much(changed: Iterable[str]) -> str:
    return f"importing it changes {told(list(changed))}; a plugin's import may only define"


def _load_entry(source: str) -> Loaded:
    kind, _, value = source.removeprefix("pabench.").partition(":")
    entry = next(entry for entry in _entries(kind) if entry.value == value and not _is_ours(entry))
    known = at_hand(kind)
    if source in known.origins.values():
        return Loaded(tuple(cls for taken, cls in known.classes.items() if known.origins[taken] == source))
    for module in _libraries_of(entry.module):
        _import_quietly(module)
    before = snapshot()
    loaded = _of_entry(entry, kind)
    changed = tuple(changes(before))
    clashes = len(known.broken)
    for cls in loaded.classes:
        known.add(cls, source)
    broken, known.broken[clashes:] = [*loaded.broken, *known.broken[clashes:]], []
    return Loaded(loaded.classes, changed, tuple(broken))


def _load_file(path: Path) -> Loaded:
    if not path.is_file():
        raise MissingError(f"{path}: no such plugin file")
    name = f"pabench_plugin_{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        loaded: Loaded = vars(sys.modules[name])[_LOADED]
        return loaded
    if ours := _built_in_of(path):  # in a clone of pabench that is installed from where it lies
        return Loaded(ours)
    for library in libraries(path):
        _import_quietly(library)
    before = snapshot()
    spec: Any = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise PluginError(f"{path}: expected a Python file, whose name ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        changed = tuple(changes(before))
        loaded = Loaded(_register_drop_in(module, path), changed)
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, PluginError):
            raise
        where = "" if place(error) else f"{path}: "
        raise PluginError(f"{where}{complaint(error)}") from error
    setattr(module, _LOADED, loaded)
    return loaded


_LOADED = "__pabench_loaded__"


def _built_in_of(path: Path) -> tuple[type, ...]:
    """The built-in plugins that a file defines."""
    groups = [at_hand(kind) for kind in ("criteria", "datasets", "metrics")]
    classes = [known.classes[name] for known in groups for name in sorted(known.built_in)]
    return tuple(cls for cls in classes if Path(inspect.getfile(cls)).resolve() == path)


def _import_quietly(module: str) -> None:
    """Import a library that a plugin imports: what that changes is not the plugin's doing."""
    with suppress(Exception):  # the plugin will meet it, and may be prepared
        importlib.import_module(module)


def _register_drop_in(module: ModuleType, path: Path) -> tuple[type, ...]:
    from pabench.parameters import undeclared  # with pydantic

    found = [(at_hand(kind), cls) for kind in ("criteria", "datasets", "metrics") for cls in _classes(module, kind)]
    for known, cls in found:
        if (name := cls.name) in known.classes:  # type: ignore[attr-defined]
            raise TakenError(f"{path}: {name!r} is already defined by {known.origins[name]}; rename one of them")
        if wrong := undeclared(cls):  # a dataclass would pass over it in silence
            raise PluginError(f"{path}: {wrong}")
        known.add(cls, str(path))
    if not found:
        raise PluginError(f"{path}: defines no criterion, dataset or metric (a concrete subclass with a `name`)")
    return tuple(cls for _, cls in found)


def drop_ins(suite: Path | None, listed: Sequence[str | Path]) -> list[Path]:
    """The plugin files of a suite: `criteria/*.py` next to it, then those it lists, relative to it."""
    if suite is None:
        return [real(p) for p in listed]
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
        return f"{named(error.filename)}:{error.lineno}"
    frames = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if _is_own(frame)]
    if frames:
        frame, line = frames[-1]
        names = [frame.f_code.co_name for frame, _ in frames if not frame.f_code.co_name.startswith("<")]
        return f"{named(frame.f_code.co_filename)}:{line}{f' in {names[-1]}' if names else ''}"
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
    return {*_OURS}, {e.module.partition(".")[0] for e in entries} - {*_OURS}


def named(file: str) -> str:
    """A file as a user writes it: from the working directory, where it is inside."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _entries(kind: str) -> list[EntryPoint]:
    """The entry points of a kind, our own first."""
    return sorted(installed().select(group=f"pabench.{kind}"), key=lambda e: (not _is_ours(e), e.name, e.value))


def _is_ours(entry: EntryPoint) -> bool:
    """Whether an entry point is one of pabench itself; anyone may call his `builtin`, too."""
    return entry.name == "builtin" and entry.module.partition(".")[0] in _OURS


def _origin(entry: EntryPoint, cls: type) -> str:
    return f"{entry.value} ({entry.dist.name if entry.dist else 'no distribution'}): {cls.__module__}"


def _of_entry(entry: EntryPoint, kind: str) -> Loaded:
    """What an entry point names, file by file where it is a package; a broken file is set aside, the others go on."""
    values: list[ModuleType | type] = []
    broken: list[Broken] = []
    with _set_aside(f"{entry.value} ({entry.dist.name if entry.dist else 'no distribution'})", broken):
        values.append(entry.load())
    for package in [value for value in values if hasattr(value, "__path__")]:
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            with _set_aside(info.name, broken):
                values.append(importlib.import_module(info.name))
    return Loaded(tuple(cls for value in values for cls in _classes(value, kind)), (), tuple(broken))


def _libraries_of(module: str) -> list[str]:
    """The libraries that an installed module, or the files of an installed package, import; nothing of it is run."""
    top, *below = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return []
    path = Path(spec.origin).parent.joinpath(*below)
    files = [Path(spec.origin), path.with_suffix(".py")]
    if spec.submodule_search_locations:
        files += sorted(path.glob("*.py"))
    return list(dict.fromkeys(name for file in files if file.is_file() for name in libraries(file)))


@contextmanager
def _set_aside(origin: str, broken: list[Broken]) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # some plugins say `sys.exit` where they should not
        broken.append(Broken(origin, complaint(error)))


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
