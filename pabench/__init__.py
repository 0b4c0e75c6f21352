"""pabench: fair comparison of pruning-at-initialization criteria.

The library for people with their own training loop: `score`, `prune`, `apply`, `shuffle`, `measure`, `Masks`. Nothing
heavy is imported until one of them is used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pabench.diagnostics.measure import measure as measure
    from pabench.scoring.library import prune as prune
    from pabench.scoring.library import score as score
    from pabench.scoring.masks import Masks as Masks
    from pabench.scoring.masks import apply as apply
    from pabench.scoring.shuffling import shuffle as shuffle

try:
    __version__ = version("pabench")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"

__all__ = ["Masks", "apply", "measure", "prune", "score", "shuffle"]
_HOME = {
    "Masks": "scoring.masks",
    "apply": "scoring.masks",
    "measure": "library_measure",
    "prune": "scoring.library",
    "score": "scoring.library",
    "shuffle": "scoring.shuffling",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"pabench.{_HOME[name]}"), name)
    raise AttributeError(f"module 'pabench' has no attribute {name!r}")
