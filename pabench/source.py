"""What the built-in criteria say of themselves, read from their files without importing them: no torch, no plugin."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

CONTROL = "Control"
"""The base class of what trains another network in place of a pruned one (`pabench.control`)."""
READ = ("name", "paper", "trains", "reference_line", "variants")


@dataclass(frozen=True)
class Declared:
    """A built-in criterion: the SHA-256 of its file, and what its class declares. `paper` is `arXiv:1810.02340` or an
    address."""

    source: str
    paper: str = ""
    trains: bool = False
    reference_line: str = ""
    control: bool = False
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@cache
def declared() -> dict[str, Declared]:
    """The built-in criteria by name."""
    classes: dict[str, tuple[ast.ClassDef, str]] = {}
    for path in sorted(Path(str(files("pabench_criteria"))).glob("*.py")):
        data = path.read_bytes()
        bodies = (node for node in ast.parse(data).body if isinstance(node, ast.ClassDef))
        classes |= {node.name: (node, digest_of(data)) for node in bodies}
    found = {}
    for node, source in classes.values():
        # a class without a name of its own is the base of some that have one
        if "name" in _stated(node):
            entries = _inherited(node, classes)
            name = entries.pop("name")
            found[name] = Declared(source, **entries)
    return found


def is_built_in(name: str) -> bool:
    """Whether a criterion of this name comes with pabench, of this version or of another."""
    return name.partition("@")[0] in declared()


def is_built_in_source(sha256: str) -> bool:
    """Whether this is a file of a built-in criterion, as it is here."""
    return any(one.source == sha256 for one in declared().values())


def digest_of(data: bytes) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()


def _inherited(node: ast.ClassDef, classes: Mapping[str, tuple[ast.ClassDef, str]]) -> dict[str, Any]:
    """What a class and its bases among `classes` state, its own word before theirs, and whether it is a `control`."""
    entries: dict[str, Any] = {}
    for base in node.bases:
        name = base.id if isinstance(base, ast.Name) else ""
        if name == CONTROL:
            entries["control"] = True
        elif name in classes:
            entries |= _inherited(classes[name][0], classes)
    return entries | _stated(node)


def _stated(node: ast.ClassDef) -> dict[str, Any]:
    """The plain values that a class body gives to the names in `READ`."""
    found = {}
    for line in node.body:
        if not isinstance(line, ast.Assign | ast.AnnAssign) or line.value is None:
            continue
        target = line.targets[0] if isinstance(line, ast.Assign) else line.target
        if isinstance(target, ast.Name) and target.id in READ:
            found[target.id] = ast.literal_eval(line.value)
    return found
