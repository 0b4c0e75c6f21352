"""Where built-in criteria come from, read from their files: a report loads no plugin and no torch."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def papers() -> dict[str, str]:
    """The paper of each built-in criterion by its name, as `arXiv:1810.02340` or an address."""
    spec = find_spec("pabench_criteria")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = sorted(path for folder in folders for path in Path(folder).glob("*.py"))
    found = {}
    for path in files:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                texts = _texts(node)
                if {"name", "paper"} <= set(texts):
                    found[texts["name"]] = texts["paper"]
    return found


def _texts(node: ast.ClassDef) -> dict[str, str]:
    """The class attributes that are plain texts."""
    return {
        one.targets[0].id: one.value.value
        for one in node.body
        if isinstance(one, ast.Assign)
        and isinstance(one.targets[0], ast.Name)
        and isinstance(one.value, ast.Constant)
        and isinstance(one.value.value, str)
    }
