"""The one door for people who write plugins: everything a criterion, a metric, a dataset or a section needs.

A name is looked up when it is first used, so that a report section, which needs no torch, loads none. What is not
listed here is the inside of pabench and may change without notice.
"""

import ast
from importlib import import_module
from importlib.resources import files
from typing import Any

_STUB = ast.parse((files("pabench") / "plugins.pyi").read_text(encoding="utf-8"))
_IMPORTS = [node for node in _STUB.body if isinstance(node, ast.ImportFrom)]
_HOME = {alias.name: str(node.module) for node in _IMPORTS for alias in node.names}
"""The module that defines each name: one list for us, for editors and for type checkers."""
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'pabench.plugins' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
