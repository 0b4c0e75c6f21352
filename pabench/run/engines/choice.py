"""Which engines there are, and one of them made with its options.

An engine is an entry point of the group `pabench.engines`: its name, and a frozen dataclass with the method `run` of
`run.engine.Engine`. The fields of the dataclass are its options (`--engine-arg KEY=VALUE`). One that nobody asks for is
not imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from pabench import registry
from pabench.errors import PluginError, SuiteError, did_you_mean
from pabench.run.engine import Engine

GROUP = "pabench.engines"


def create(name: str, options: Sequence[str] = ()) -> Engine:
    """The engine `name` with its options, each `KEY=VALUE`.

    SuiteError: there is no such engine or option, or a value is none. PluginError: two distributions offer the name.
    """
    offered = _offered()
    if name not in offered:
        raise SuiteError(f"--engine {name}: no such engine; {did_you_mean(name, offered)}")
    first, *others = offered[name]
    if others:
        raise PluginError(f"--engine {name}: offered as {first.value} and as {others[0].value}; uninstall one of them")
    engine = first.load()
    known = _options(engine)
    values = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise SuiteError(f"--engine-arg {option}: expected KEY=VALUE")
        if key not in known:
            hint = did_you_mean(key, known) if known else "it has none"
            raise SuiteError(f"--engine-arg {key}: no option of the engine {name}; {hint}")
        try:
            values[key] = known[key].validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise SuiteError(f"--engine-arg {key}: {reason[0].lower()}{reason[1:]}, not {value!r}") from None
    try:
        made: Engine = engine(**values)
    except ValueError as error:
        raise SuiteError(f"--engine {name}: {error}") from None
    return made


def _options(engine: type) -> dict[str, TypeAdapter[Any]]:
    """The fields of an engine that are numbers or text, by name."""
    if not dataclasses.is_dataclass(engine):
        return {}
    types, ranges = get_type_hints(engine), get_type_hints(engine, include_extras=True)
    names = [field.name for field in dataclasses.fields(engine)]
    return {name: TypeAdapter(ranges[name]) for name in names if types[name] in (int, float, str)}


def _offered() -> dict[str, list[EntryPoint]]:
    """Entry points by name; one that several paths of an installation tell of counts once."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in sorted(registry.installed().select(group=GROUP), key=lambda entry: entry.name):
        found.setdefault(entry.name, {})[entry.value] = entry
    return {name: list(entries.values()) for name, entries in found.items()}
