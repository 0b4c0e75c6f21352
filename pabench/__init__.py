"""pabench: fair comparison of pruning-at-initialization criteria.

The library, for people with their own training loop: `score`, `prune`, `apply`, `remove`, `compact`, `shuffle`,
`measure`, `Masks`; and `load_suite` and `load` for suites and results. Nothing heavy is imported until one of them is
used.
Plugins are written with `pabench.plugins`; everything else is inside and may change without notice.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pabench.diagnostics.measure import measure as measure
    from pabench.errors import (
        DeclinedError as DeclinedError,
        DegenerateWarning as DegenerateWarning,
        DenseWarning as DenseWarning,
    )
    from pabench.report.table import load as load
    from pabench.run.session import load_suite as load_suite
    from pabench.scoring.apply import apply as apply, remove as remove
    from pabench.scoring.library import compact as compact, prune as prune, score as score
    from pabench.scoring.masks import Masks as Masks
    from pabench.scoring.shuffling import shuffle as shuffle

try:
    __version__ = version("pabench")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"

_HOME = {
    "DeclinedError": "errors",
    "DegenerateWarning": "errors",
    "DenseWarning": "errors",
    "Masks": "scoring.masks",
    "apply": "scoring.apply",
    "compact": "scoring.library",
    "load": "report.table",
    "load_suite": "run.session",
    "measure": "diagnostics.measure",
    "prune": "scoring.library",
    "remove": "scoring.apply",
    "score": "scoring.library",
    "shuffle": "scoring.shuffling",
}
__all__ = [
    *(
        "DeclinedError",
        "DegenerateWarning",
        "DenseWarning",
        "Masks",
        "__version__",
        "apply",
        "compact",
        "load",
        "load_suite",
        "measure",
        "prune",
        "remove",
    ),
    *("score", "shuffle"),
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"pabench.{_HOME[name]}"), name)
    raise AttributeError(f"module 'pabench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
