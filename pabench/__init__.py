"""pabench: fair comparison of pruning-at-initialization criteria.

The library for people with their own training loop: `score`, `prune`, `apply`, `shuffle`, `measure`, `Masks`. Nothing
heavy is imported until one of them is used.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pabench.library import prune as prune
    from pabench.library import score as score
    from pabench.library_measure import measure as measure
    from pabench.masking import Masks as Masks
    from pabench.masking import apply as apply
    from pabench.shuffling import shuffle as shuffle

try:
    __version__ = version("pabench")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"

__all__ = ["Masks", "apply", "measure", "prune", "score", "shuffle"]
_HOME = {
    "Masks": "masking",
    "apply": "masking",
    "measure": "library_measure",
    "prune": "library",
    "score": "library",
    "shuffle": "shuffling",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"pabench.{_HOME[name]}"), name)
    raise AttributeError(f"module 'pabench' has no attribute {name!r}")
