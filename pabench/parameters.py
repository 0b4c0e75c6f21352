"""Parameters of a plugin: the fields of its dataclass, checked against their types before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from math import isfinite
from typing import Annotated, Any, TypeVar, get_type_hints

from annotated_types import Ge, Gt
from pydantic import ConfigDict, TypeAdapter, ValidationError

from pabench.errors import SuiteError, did_you_mean

T = TypeVar("T")
PositiveInt = Annotated[int, Ge(1)]
"""Type of a parameter that is a whole number from 1 on."""
NonNegativeInt = Annotated[int, Ge(0)]
"""Type of a parameter that is a whole number from 0 on."""
PositiveFloat = Annotated[float, Gt(0)]
"""Type of a parameter that is a number above 0."""
NonNegativeFloat = Annotated[float, Ge(0)]
"""Type of a parameter that is a number from 0 on."""
ADDED = {"added": True}
"""`metadata` of the field of a parameter that there was not always: at its default it is in no key and no record, so
that what was made without it keeps its key."""


def told(plugin: Any) -> dict[str, Any]:
    """All parameters of a plugin by name, as records and keys hold them."""
    unsaid = {f.name for f in fields(plugin) if f.metadata.get("added") and getattr(plugin, f.name) == f.default}
    return {name: value for name, value in asdict(plugin).items() if name not in unsaid}


class ParameterError(SuiteError):
    """Parameters of a plugin are invalid; `problems` are (parameter, what is wrong with it)."""

    def __init__(self, plugin: str, problems: list[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{plugin}: {key}: {problem}" for key, problem in problems))
        self.problems = problems


def create(cls: type[T], parameters: Mapping[str, Any], name: str) -> T:
    """An instance of a plugin's dataclass; ParameterError lists every unknown, mistyped or out-of-range parameter.

    Types are strict: "3" is no number and 1.5 no count.
    """
    known = _adapters(cls)  # type: ignore[arg-type]
    problems = []
    values = {}
    for key, value in parameters.items():
        if key not in known:
            problems.append((key, f"unknown parameter of {name}; {did_you_mean(key, known)}"))
            continue
        try:
            values[key] = known[key].validate_python(value)
        except ValidationError as error:
            messages = dict.fromkeys(e["msg"][0].lower() + e["msg"][1:] for e in error.errors())
            problems.append((key, f"{', or '.join(messages)}, not {value!r}"))
    if problems:
        raise ParameterError(name, problems)
    made = cls(**values)
    # of a default nobody has looked: JSON, and so keys and records, have no infinity
    numbers = {f.name: getattr(made, f.name) for f in fields(cls)}  # type: ignore[arg-type]
    endless = {key: value for key, value in numbers.items() if isinstance(value, float) and not isfinite(value)}
    if endless:
        raise ParameterError(name, [(key, f"expected a finite number, not {value}") for key, value in endless.items()])
    return made


def undeclared(cls: type) -> str:
    """What a plugin's class has that looks like a parameter and is none, with the remedy; "" where there is nothing.

    A dataclass has those parameters alone that are annotated, in classes that are dataclasses themselves: it passes
    over all else without a word.
    """
    known = {f.name: f.type for f in fields(cls)}  # type: ignore[arg-type]
    for base in cls.__mro__:
        if base is object or base.__module__.partition(".")[0] == "pabench":
            continue
        noted = inspect.get_annotations(base)
        typed = [name for name, what in noted.items() if "ClassVar" not in str(what)]
        # one that adds to a class of another kind may have what it likes
        if typed and is_dataclass(base) and "__dataclass_fields__" not in vars(base):
            remedy = f"write @dataclass(frozen=True, kw_only=True) above class {base.__name__}"
            return f"{base.__name__}.{typed[0]} is no parameter yet: {remedy}"
        for name, value in vars(base).items():
            if name in known and name not in noted and not hasattr(value, "__get__"):
                remedy = f"write {name}: {_type(known[name])} = {value!r}"
                return f"{base.__name__}.{name} changes no parameter, since it has no type: {remedy}"
    return ""


def _type(of: Any) -> str:
    return of if isinstance(of, str) else getattr(of, "__name__", str(of))


@cache
def _adapters(cls: type) -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(cls, include_extras=True)
    strict = ConfigDict(strict=True)
    return {f.name: TypeAdapter(hints[f.name], config=strict) for f in fields(cls) if f.init}  # type: ignore[arg-type]
