"""What a verification says, and where levels 3 and 4 look."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pabench.leaderboard.verification import sampling
from pabench.leaderboard.verification.rerun import Where
from pabench.leaderboard.verification.verify import verify

INLINE = {"engine": "inline"}
TRUSTED = Where(trust=("steep",))


def flaws(folder: Path, level: int = 2) -> list[str]:
    """What the last level that was reached says."""
    return [str(flaw) for flaw in verify(folder, level).levels[-1].flaws]


def swap(flat: np.ndarray) -> None:
    """Two weights of the last layer change places: all counts stay."""
    last = flat[-1000:]
    kept, pruned = np.flatnonzero(last)[0], np.flatnonzero(~last)[0]
    last[kept], last[pruned] = False, True


def sampled(monkeypatch, *paths: Path) -> None:
    """Level 3 looks at the cells of these records."""
    keys = [path.stem for path in paths]
    monkeypatch.setattr(
        "pabench.leaderboard.verification.rederived.masked", lambda cells, *_: [c for c in cells if c.key in keys]
    )


def looked_at(monkeypatch, *names: str) -> None:
    """Levels 3 and 4 look at these criteria: fewer processes, and none where no code of a stranger is needed."""
    for module, function in (("rederived", sampling.masked), ("reproduced", sampling.settings)):

        def some(cells, *rest, function=function):
            return function([c for c in cells if c.criterion and c.criterion.name in names], *rest)

        monkeypatch.setattr(f"pabench.leaderboard.verification.{module}.{function.__name__}", some)
