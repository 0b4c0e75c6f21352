"""What the built-in criteria say of themselves, read from their files without importing them: no torch, no plugin."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pabench.sourcefile import digest_of

CONTROL = "Control"
"""The base class of what trains another network in place of a pruned one (`pabench.control`)."""
READ = ("name", "trains", "reference_line", "variants")


@dataclass(frozen=True)
class Declared:
    """A built-in criterion: the SHA-256 of its file, and what its class declares."""

    source: str
    trains: bool = False
    reference_line: str = ""
    control: bool = False
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@cache
def declared() -> dict[str, Declared]:
    """The built-in criteria by name."""
    folder = Path(str(files("pabench_criteria")))
    classes: dict[str, tuple[ast.ClassDef, str]] = {}
    for path in sorted(folder.glob("*.py")):
        data = path.read_bytes()
        for node in ast.parse(data).body:
            if isinstance(node, ast.ClassDef):
                classes[node.name] = (node, digest_of(data))
    found = {}
    for node, source in classes.values():
        own = _stated(node)
        if isinstance(own.get("name"), str):
            entries, control = _inherited(node, classes)
            found[own["name"]] = Declared(
                source=source,
                trains=bool(entries.get("trains", False)),
                reference_line=str(entries.get("reference_line", "")),
                control=control,
                variants=dict(entries.get("variants", {})),
            )
    return found


def _inherited(node: ast.ClassDef, classes: Mapping[str, tuple[ast.ClassDef, str]]) -> tuple[dict[str, Any], bool]:
    """What a class and its bases among `classes` state, its own word before theirs, and whether it is a control."""
    entries: dict[str, Any] = {}
    control = False
    for base in node.bases:
        name = base.id if isinstance(base, ast.Name) else ""
        control = control or name == CONTROL
        if name in classes:
            more, inner = _inherited(classes[name][0], classes)
            entries, control = {**entries, **more}, control or inner
    return {**entries, **_stated(node)}, control


def _stated(node: ast.ClassDef) -> dict[str, Any]:
    """The plain values that a class body gives to the names in `READ`."""
    found = {}
    for line in node.body:
        target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
        value = getattr(line, "value", None)
        if isinstance(target, ast.Name) and target.id in READ and value is not None:
            found[target.id] = ast.literal_eval(value)
    return found
