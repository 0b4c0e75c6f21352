"""Verification of a submission, level by level, and the record of it that a publisher takes badges from.

1 well-formed, 2 consistent, 3 masks re-derived, 4 reproduced. Levels 1 and 2 load no plugin and no torch.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pabench.errors import MissingError, PluginError, RefusedError
from pabench.leaderboard.verification import consistent, wellformed
from pabench.leaderboard.verification.certificate import KIND, refuse_target
from pabench.leaderboard.verification.folder import Flaw, read
from pabench.leaderboard.verification.level import Level
from pabench.leaderboard.verification.wellformed import Wellformed
from pabench.store import files
from pabench.store.envelope import seal
from pabench.store.record import now
from pabench.words import count, plain

if TYPE_CHECKING:
    from pabench.leaderboard.verification.rerun import Where


REJECTED, UNABLE = RefusedError.exit_code, MissingError.exit_code


@dataclass(frozen=True)
class Verification:
    """A submission that was looked at: its `digest`, and the levels, up to the first that did not pass or the one that
    was `asked` for."""

    folder: Path
    found: Wellformed
    levels: tuple[Level, ...]
    seed: int
    asked: int
    environment: Mapping[str, Any] = field(default_factory=dict)
    trusted: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        return self.found.foreign.digest

    @property
    def passed(self) -> int:
        """The highest level that passed, with all below it."""
        return max((level.number for level in self.levels if level.passed), default=0)

    @property
    def exit_code(self) -> int:
        """0 every level that was asked for passed; 4 rejected; 5 nothing is proved wrong, but one was not checked."""
        if any(not flaw.unable for level in self.levels for flaw in level.flaws):
            return REJECTED
        return 0 if self.passed == self.asked else UNABLE

    def to_json(self) -> dict[str, Any]:
        from pabench import __version__

        study = self.found.foreign.study or {}
        return {
            "schema": 1,
            "kind": KIND,
            "study": plain(study.get("name", "")),
            "digest": self.digest,
            "passed": self.passed,
            "seed": self.seed,
            "trusted": list(self.trusted),
            "levels": [level.to_json() for level in self.levels],
            "environment": dict(self.environment),
            "pabench": __version__,
        }


def verify(
    folder: Path,
    level: int = 2,
    *,
    sample: int = 0,
    seed: int | None = None,
    fresh: int = 3,
    where: Where | None = None,
) -> Verification:
    """Look at a submission up to a level; a level is only reached when those below it passed.

    `seed` picks the cells of levels 3 and 4: by default an unforeseeable one, so that nobody knows which cells to
    forge. `sample` is how many (0: one of each criterion on each model), `fresh` how many trainings of each setting.
    """
    seed = secrets.randbelow(2**31) if seed is None else seed
    found = wellformed.check(read(folder))
    levels = [Level(1, tuple(found.flaws), tuple(_remarks(found)))]
    if level >= 2 and levels[-1].passed:
        levels.append(Level(2, tuple(consistent.check(found)), tuple(_uncounted(found))))
    if level < 3 or not levels[-1].passed:
        return Verification(folder, found, tuple(levels), seed, level)
    from pabench.leaderboard.verification import rederived, reproduced
    from pabench.leaderboard.verification.rerun import Where

    where = where or Where()
    levels.append(_run(3, partial(rederived.check, found, sample, seed, where)))
    if level >= 4 and levels[-1].passed:
        levels.append(_run(4, partial(reproduced.check, found, sample, seed, fresh, where)))
    return Verification(folder, found, tuple(levels), seed, level, where.environment(), where.trust)


def _run(number: int, check: Callable[[], Level]) -> Level:
    """A level that runs code; where that is not to be had, or cannot be run, it says so."""
    try:
        return check()
    except MissingError as error:
        return Level(number, (Flaw(number, "criteria", "all that its cells need", str(error), unable=True),))
    except PluginError as error:
        return Level(number, (Flaw(number, "criteria", "code that can be run", str(error)),))


def record(verification: Verification, path: Path) -> None:
    """Write what was found, for `pabench publish --verified`. SuiteError: see `certificate.refuse_target`."""
    refuse_target(verification.folder, path)
    files.replace(path, seal({**verification.to_json(), "created": now()}))


def _remarks(found: Wellformed) -> list[str]:
    remarks = []
    if not found.foreign.is_submission:
        remarks.append("a results folder, not a submission: there is no list of its files to check them against")
    if found.missing:
        remarks.append(f"incomplete: {len(found.missing)} of {len(found.cells)} cells have no record")
    banked = sum("bank" in record for record in found.records.values())
    if banked:
        remarks.append(f"{count(banked, 'cell')} of a results bank")
    return remarks


def _uncounted(found: Wellformed) -> list[str]:
    """Pruned cells whose FLOPs level 2 cannot compute."""
    pruned = [record for _, record in found.finished if (record["receipt"] or {}).get("mask")]
    n = sum(record["result"]["flops"].get("layers") is None for record in pruned)
    text = f"FLOPs of {count(n, 'cell')} not computed: their records do not say what each layer takes; level 3 does it"
    return [text] if n else []
