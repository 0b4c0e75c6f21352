"""What a verification says, and where levels 3 and 4 look."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pabench.leaderboard.verification import sampling
from pabench.leaderboard.verification.rerun import Where
from pabench.leaderboard.verification.verify import verify
from pabench.store.envelope import unseal

from ...forgery import Forgery

INLINE = {"engine": "inline"}
TRUSTED = Where(trust=("steep",))
HUGE = 10**400


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


def hostile(forgery, code: str) -> Path:
    """The submission with this code at the head of the file of steep, everything else derived from it."""
    forgery.source("steep", "from dataclasses import dataclass", f"{code}\nfrom dataclasses import dataclass")
    return forgery.listing()


def said(forged: Forgery, level: int = 2) -> list[str]:
    """What the last level that was reached says of a forgery with its means and its list in order."""
    forged.means()
    found = verify(forged.listing(), level, seed=1, where=TRUSTED)
    return [str(flaw) for flaw in found.levels[-1].flaws]


def one(found: list[str], *parts: str) -> bool:
    return any(all(part in flaw for part in parts) for flaw in found)


def of(name: str, how: Callable[[dict[str, Any]], None], seed: int | None = None) -> Callable[[dict[str, Any]], None]:
    """A change of the criterion in cells of one criterion (and seed) alone."""

    def change(cell: dict[str, Any]) -> None:
        rule = cell["criterion"]
        if rule and rule["name"] == name and seed in (None, cell["seed"]):
            how(rule)

    return change


def suite(forged: Forgery, old: str, new: str) -> None:
    forged.study(lambda s: s.update(suite=s["suite"].replace(old, new)))


def restate(forged: Forgery, path: Path, how: Callable[[dict[str, Any]], None]) -> None:
    """Alter a receipt in the record, in its own file and in the header of the mask alike."""
    receipt = json.loads(json.dumps(unseal(path.read_bytes())["receipt"]))
    how(receipt)
    header = {k: v for k, v in receipt.items() if k not in ("scores", "score_histogram", "gradient_norm", "mask")}
    forged.mask(path, lambda flat: None, **header)
    later = {k: v for k, v in receipt.items() if k in ("scores", "score_histogram", "gradient_norm")}
    forged.both(path, lambda found: found["receipt"].update(later))


def zeros(receipt: dict[str, Any]) -> None:
    """All scores of the first two layers are 0: 19,200 and 30,000 of 50,200."""
    for layer in receipt["layers"][:2]:
        layer["zero_scores"] = layer["total"]
    receipt.update(zero_scores=sum(layer["zero_scores"] for layer in receipt["layers"]), score_histogram={})
