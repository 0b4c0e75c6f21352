"""`--set recipe.epochs=2`: one value of a suite replaced before the suite is validated."""

from __future__ import annotations

from typing import Any

from pabench.yamlfile import read
from pabench.yamltree import Path, Tree, dotted, shown


def override(tree: Tree, assignment: str) -> None:
    """Apply `a.b.0.c=VALUE` to a tree; the value is YAML, list items are counted from 0.

    Mappings that are missing on the way are made, and an entry given by its bare name becomes `{name: ...}`.
    """
    dots, equals, text = assignment.partition("=")
    keys = dots.strip().split(".")
    if not equals or not text.strip() or not all(keys):
        tree.find_override(assignment, 'expected KEY=VALUE, as in --set recipe.epochs=2; an empty text is ""')
        return
    value = Tree(file="value")
    read(text, value)
    for _, line in value.findings:
        tree.find_override(assignment, line)
    if value.findings:
        return
    path: Path = ()
    holder = tree.value
    for key in keys[:-1]:
        path = (*path, _step(tree, assignment, holder, path, key))
        if path[-1] is None:
            return
        holder = _opened(tree, holder, path)
    last = _step(tree, assignment, holder, path, keys[-1])
    if last is not None:
        holder[last] = value.value
        tree.overridden.append((*path, last))
        tree.refused = {known for known in tree.refused if known[: len(path) + 1] != (*path, last)}


def _step(tree: Tree, assignment: str, holder: Any, path: Path, key: str) -> Any:
    """The key or index by which `holder` is entered, or None after a finding."""
    if isinstance(holder, dict):
        return key
    if not isinstance(holder, list):
        tree.find_override(assignment, f"{dotted(path)} is {shown(holder)}, which has no {key!r} inside")
        return None
    if key.isascii() and key.isdigit() and len(key) < 10 and int(key) < len(holder):
        return int(key)
    tree.find_override(
        assignment, f"{dotted(path)} is a list of {len(holder)}; expected an index from 0 to {len(holder) - 1}"
    )
    return None


def _opened(tree: Tree, holder: Any, path: Path) -> Any:
    """What stands at a path, made a mapping where it is missing or a bare name."""
    key: Any = path[-1]
    if isinstance(holder, dict) and key not in holder:
        holder[key] = {}
        tree.overridden.append(path)
    elif isinstance(holder, list) and isinstance(holder[key], str):
        holder[key] = {"name": holder[key]}
    return holder[key]
