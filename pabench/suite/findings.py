"""What pydantic finds in a suite, told in the words of a suite."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import islice
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pabench.errors import close
from pabench.suite.yaml import MAX_FINDINGS, Path, Tree, dotted, shown

BRANCHES = ("<mapping>", "<word>", "<list>", "<count>")
_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_type": "a number",
    "int_type": "a whole number",
    "model_type": "a mapping",
    "string_type": "text",
    "tuple_type": "a list",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def add_findings(tree: Tree, error: ValidationError, models: Mapping[str, type[BaseModel]]) -> None:
    """Add every finding of a validation to the tree it was about; `models` holds the model of each dotted path."""
    for found in islice(error.errors(include_url=False), MAX_FINDINGS):
        path = _path(found)
        if found["type"] == "too_short" and found["input"]:
            continue  # pydantic counts the valid items only, and the invalid ones have findings of their own
        if found["type"] == "missing":
            example = _model(path, models).model_fields[str(path[-1])].examples
            tree.find(path, f"missing; add `{path[-1]}: {_flow((example or ['...'])[0])}`")
        elif found["type"] == "extra_forbidden":
            known = list(_model(path, models).model_fields)
            guess = _guess(path[-1], known) or _elsewhere(str(path[-1]), models) or f"known: {', '.join(known)}"
            tree.find(path, f"unknown key; {guess}")
        else:
            tree.find(path, _problem(found))


def add_duplicates(tree: Tree, kind: str) -> None:
    """Items that a list of the suite names twice, whatever way they are written."""
    items = tree.value.get(kind)
    seen: dict[str, int] = {}
    for i, item in enumerate(items if isinstance(items, list) else []):
        value: Any = {"name": item} if isinstance(item, str) else item
        key = json.dumps(float(value) if type(value) is int and kind == "sparsities" else value, sort_keys=True)
        if key in seen:
            tree.find((kind, i), f"the same as {kind}.{seen[key]}; remove one")
        seen.setdefault(key, i)


def _problem(found: ErrorDetails) -> str:
    kind, value, context = found["type"], found["input"], found.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"must be {words} {context[bound]:g}, not {shown(value)}"
    if kind == "literal_error":
        choices = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        guess = _guess(value, choices)
        choices += ["a mapping"] if found["loc"][-1] == "<word>" else []
        return f"expected {' or '.join(filter(None, choices))}, not {shown(value)}{guess and '; ' + guess}"
    if kind == "too_long":
        return f"{len(value):,} entries; at most {context['max_length']:,} are taken"
    if kind == "too_short":
        return "an empty list; name at least one"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, not {shown(value)}{_remedy(kind, value)}"
    return f"{found['msg']}, not {shown(value)}"


def _remedy(kind: str, value: Any) -> str:
    if kind in ("int_type", "float_type") and isinstance(value, str):
        return _of_number(value.strip(), whole=kind == "int_type")
    if kind == "int_type" and isinstance(value, float):
        return "; round it"
    if kind == "tuple_type" and not isinstance(value, dict | None):
        return "; put it in [ ]"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return "; put it in quotes"
    return ""


def _of_number(text: str, *, whole: bool) -> str:
    """What to do about a text where a number is expected, or a `whole` one.

    >>> [_of_number(text, whole=False) for text in ("0.9", "90%", "1_000", "32k", "nan")]
    ['; remove the quotes', '; write 0.9', '; write 1000', '', '']
    """
    plain = text.replace("_", "").removesuffix("%").strip()
    try:
        number = float(plain)
    except ValueError:
        return ""
    if not math.isfinite(number) or (whole and text.endswith("%")):
        return ""
    if text.endswith("%"):
        return f"; write {number / 100:g}"
    return f"; write {plain}" if "_" in text else "; remove the quotes"


def _model(path: Path, models: Mapping[str, type[BaseModel]]) -> type[BaseModel]:
    """The model whose key the last of a path is."""
    return models[dotted(part for part in path[:-1] if isinstance(part, str))]


def _elsewhere(key: str, models: Mapping[str, type[BaseModel]]) -> str:
    """Where a key belongs that stands at a wrong place."""
    where = [dots for dots in ("", "recipe", "scoring") if dots in models and key in models[dots].model_fields]
    return f"it belongs {f'into {where[0]}' if where[0] else 'on the first level'}" if where else ""


def _flow(value: Any) -> str:
    """A value in YAML, on one line.

    >>> _flow({"epochs": 10, "step": [80, 120]})
    '{epochs: 10, step: [80, 120]}'
    """
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_flow(inner)}' for key, inner in value.items())}}}"
    return f"[{', '.join(map(_flow, value))}]" if isinstance(value, list) else str(value)


def _guess(value: Any, known: list[str]) -> str:
    return "".join(f'did you mean "{one}"?' for one in close(str(value), known))


def _path(found: ErrorDetails) -> Path:
    """The path of a finding, without the tags by which pydantic names the branch it took (`BRANCHES`)."""
    *parts, last = found["loc"]
    path = tuple(part for part in parts if part not in BRANCHES)
    return path if last in BRANCHES and found["type"] != "extra_forbidden" else (*path, last)
