"""`--set recipe.epochs=2`: one value of a suite replaced before the suite is validated."""

from __future__ import annotations

from typing import Any

from pabench.suite.yaml import MAX_DEPTH, Path, Place, Tree, dotted, printable, read, shown


class _Refused(Exception):
    """The assignment cannot be applied, and why."""


def override(tree: Tree, assignment: str, number: int) -> None:
    """Apply `a.b.0.c=VALUE`, the suite's n-th override, to a tree; the value is YAML, list items are counted from 0.

    `a.b.+=VALUE` puts one at the end of a list.
    Mappings that are missing on the way are made, and an entry given by its bare name becomes `{name: ...}`.
    """
    dots, _, text = assignment.partition("=")
    try:
        _assign(tree, dots.strip().split("."), text, number)
    except _Refused as refused:
        for problem in refused.args:
            tree.findings.append((Place(number, 0, 0), printable(f"--set {dots.strip()}: {problem}")))


def _assign(tree: Tree, keys: list[str], text: str, number: int) -> None:
    if not text.strip() or not all(keys):
        raise _Refused('expected KEY=VALUE, as in --set recipe.epochs=2; an empty text is ""')
    if len(keys) > MAX_DEPTH:
        raise _Refused(f"nested deeper than {MAX_DEPTH} levels")
    value = Tree(file="value")
    read(text, value)
    if value.findings:
        raise _Refused(*(line for _, line in value.findings))
    holder, path = tree.value, Path()
    for key in keys[:-1]:
        step = _step(holder, path, key)
        path = (*path, step)
        if isinstance(holder, dict) and step not in holder:
            holder[step] = {}
            tree.places[path] = Place(number, 0, 0)
        elif isinstance(holder, list) and isinstance(holder[step], str):
            holder[step] = {"name": holder[step]}
        holder = holder[step]
    if keys[-1] == "+" and isinstance(holder, list):
        holder.append(None)
        keys = [*keys[:-1], str(len(holder) - 1)]
    last = _step(holder, path, keys[-1])
    holder[last] = value.value
    tree.overridden((*path, last), number)


def _step(holder: Any, path: Path, key: str) -> Any:
    """The key or index by which `holder`, which stands at `path`, is entered."""
    if isinstance(holder, dict):
        return key
    if not isinstance(holder, list):
        raise _Refused(f"{dotted(path)} is {shown(holder)}, which has no {key!r} inside")
    if key.isascii() and key.isdigit() and len(key) < 10 and int(key) < len(holder):
        return int(key)
    raise _Refused(
        f"{dotted(path)} is a list of {len(holder)}; expected an index from 0 to {len(holder) - 1}, or + at the end"
    )
