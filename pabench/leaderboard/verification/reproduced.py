"""Level 4: results are reproduced. Sampled settings are trained again with fresh seeds, and their accuracies agree.

Each setting (dataset, model, criterion, sparsity) has reported and fresh accuracies of independent seeds. They are
compared by a two-sample t test whose standard deviation is that of the fresh ones, pooled over all settings that are
looked at: with two or three seeds each, no setting alone knows its own. The reported ones have no part in it, or a
submitter could hide a lie behind a noisy second row. P values are Holm-corrected over the settings.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from pabench.leaderboard.verification.folder import Flaw
from pabench.leaderboard.verification.level import Level, Recheck
from pabench.leaderboard.verification.rederived import tried_again
from pabench.leaderboard.verification.rerun import Where, excused, rerun, why
from pabench.leaderboard.verification.sampling import ended, sample, settings
from pabench.leaderboard.verification.wellformed import Wellformed
from pabench.statistics.intervals import holm
from pabench.statistics.power import TTest
from pabench.store.quality import points_of
from pabench.suite.cell import Cell

LEVEL = 4
ALPHA = 0.01
"""How often an honest submission is turned down, over all settings together."""
POWER = 0.8
MOST_DETECTABLE = 10.0
"""Points of accuracy: a test that misses a larger difference one time in five proves nothing, and is not passed."""
MOST_SEEDS = 1000
FIRST_SEED = 1_000
"""Fresh seeds are no small numbers, which people take for their own."""
Accuracies = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""(reported, fresh) of each setting, by the key of its first cell."""


def check(found: Wellformed, count: int, seed: int, fresh: int, where: Where) -> Level:
    """`fresh` trainings of each sampled setting, and of cells whose training failed. MissingError, PluginError: see
    `rerun`."""
    groups = sample(settings(found.cells.values(), found.records), count, seed)
    if not groups:
        return Level(LEVEL, (Flaw(LEVEL, "records", "finished cells of a criterion", "none", unable=True),))
    seeds = _fresh_seeds(found, fresh, seed)
    again = [(group, [replace(group[0], seed=one) for one in seeds]) for group in groups]
    without = ended(found, count, seed, training=True)
    every = [cell for _, cells in again for cell in cells]
    like = [found.records[cell.key] for group in groups for cell in group]
    with rerun(found.foreign, [*every, *without], where, training=True, like=like) as made:
        failed = [tried_again(LEVEL, found, cell, made, where) for cell in without]
        records = {cell.key: made.record(cell) for cell in every}
        notes = list(made.notes)
    trained = {key: record for key, record in records.items() if record and record["status"] == "ok"}
    if lost := [_lost(cell, records[cell.key]) for cell in every if cell.key not in trained]:
        return Level.of(LEVEL, failed, notes, *lost)
    values = {group[0].key: (_top1(group, found.records), _top1(cells, trained)) for group, cells in again}
    told = f"fresh seeds: {', '.join(map(str, seeds))}"
    try:
        judged = agreements(values)
    except ValueError as error:
        expected = "at least two fresh seeds: --fresh-seeds 2 or more"
        unable = Flaw(LEVEL, "records", expected, str(error), unable=True)
        return Level.of(LEVEL, failed, [*notes, told], unable)
    worst = max(agreement.detectable for agreement in judged.values())
    found_at = f"a true difference of {worst:.1f} points would be found with probability {POWER:g}"
    settled = [_judged(group[0], judged) for group in groups]
    return Level.of(LEVEL, [*settled, *failed], [*notes, found_at, told])


def _fresh_seeds(found: Wellformed, count: int, seed: int) -> list[int]:
    """Seeds that no cell of the study has."""
    draw, taken = random.Random(f"fresh {seed}"), {cell.seed for cell in found.cells.values()}
    seeds: dict[int, None] = {}
    while len(seeds) < count:
        one = draw.randrange(FIRST_SEED, 2**31)
        if one not in taken:
            seeds[one] = None
    return list(seeds)


def _top1(cells: Iterable[Cell], records: Mapping[str, Mapping[str, Any]]) -> list[float]:
    """In points: of regression data 100 R²."""
    return [points_of(records[cell.key]["result"]) for cell in cells]


def _lost(cell: Cell, record: Mapping[str, Any] | None) -> Flaw:
    """A fresh cell that gave no accuracy."""
    return Flaw(LEVEL, "fresh seeds", "a result", why(record), "top1", cell.title, excused(record))


# --- the test ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Agreement:
    """One setting. `difference` is fresh minus reported with its `low` and `high` of the same test (not corrected);
    `p` is corrected; `detectable`: the smallest true difference that the test finds with probability `POWER`."""

    difference: float
    low: float
    high: float
    p: float
    reported: tuple[float, ...]
    fresh: tuple[float, ...]
    detectable: float

    @property
    def agrees(self) -> bool:
        return self.p >= ALPHA


def agreements(settings: Accuracies) -> dict[str, Agreement]:
    """The agreement of each setting: (reported, fresh) accuracies, each of at least one seed.

    ValueError: no setting has two fresh values, so that nothing is known of the spread of seeds.
    """
    freedom = sum(len(fresh) - 1 for _, fresh in settings.values())
    if not settings or freedom < 1:
        raise ValueError("no setting with two fresh seeds: nothing is known of their spread")
    spread = _spread([fresh for _, fresh in settings.values()])
    least = TTest(freedom, ALPHA / len(settings)).detectable(POWER)
    found = []
    for reported, fresh in settings.values():
        error = spread * math.sqrt(1 / len(reported) + 1 / len(fresh))
        difference = float(np.mean(fresh) - np.mean(reported))
        half = float(stats.t.ppf(1 - ALPHA / 2, freedom)) * error
        # without any spread means agree that differ by the rounding of a sum alone
        p = float(2 * stats.t.sf(abs(difference) / error, freedom)) if error else float(abs(difference) < 1e-9)
        low, high = difference - half, difference + half
        found.append(Agreement(difference, low, high, p, tuple(reported), tuple(fresh), least * error))
    corrected = holm([agreement.p for agreement in found])
    agreed = (replace(agreement, p=p) for agreement, p in zip(found, corrected, strict=True))
    return dict(zip(settings, agreed, strict=True))


def enough(found: Iterable[Agreement]) -> int | None:
    """The fewest fresh seeds of each setting with which all would find `MOST_DETECTABLE` points, if seeds differ as
    much as these; None where no number does, as the reported means are too uncertain themselves."""
    found = list(found)
    spread, reported = _spread([one.fresh for one in found]), min(len(one.reported) for one in found)

    def tells(seeds: int) -> bool:
        error = spread * math.sqrt(1 / reported + 1 / seeds)
        return TTest(len(found) * (seeds - 1), ALPHA / len(found)).detectable(POWER) * error <= MOST_DETECTABLE

    counts = range(2, MOST_SEEDS + 1)
    first = bisect_left(counts, True, key=tells)  # with more seeds a test never finds less
    return counts[first] if first < len(counts) else None


def _spread(samples: Sequence[Sequence[float]]) -> float:
    """The standard deviation within samples, pooled over them."""
    squares = sum(len(values) * float(np.var(values)) for values in samples)
    return math.sqrt(squares / sum(len(values) - 1 for values in samples))


def _judged(cell: Cell, judged: Mapping[str, Agreement]) -> Recheck:
    """The setting of a cell: what the test says of it, in words and in numbers."""
    agreement = judged[cell.key]
    title = cell.title.rpartition(" / seed ")[0]
    told = (
        f"fresh minus reported {agreement.difference:+.2f} points, 99 % interval "
        f"[{agreement.low:+.2f}, {agreement.high:+.2f}], n = {len(agreement.fresh)} and {len(agreement.reported)}"
    )
    expected = there = ""
    if not agreement.agrees:
        expected = f"no difference that is significant at {ALPHA:g} (t test, Holm over {len(judged)} settings)"
        there = f"{told}, p = {agreement.p:.2g}"
    elif agreement.detectable > MOST_DETECTABLE:
        expected = f"a test that finds {MOST_DETECTABLE:g} points with probability {POWER:g}; {_remedy(judged)}"
        there = f"one that finds {agreement.detectable:.1f} points at best"
    flaw = Flaw(LEVEL, f"records/{cell.key}.json", expected, there, "result.top1", title, unable=agreement.agrees)
    return Recheck(cell, told, [flaw] if there else [], more={"title": title, **asdict(agreement)})


def _remedy(judged: Mapping[str, Agreement]) -> str:
    """How many fresh seeds would tell, as far as those that were trained can say how far seeds lie apart."""
    wanted = enough(judged.values())
    if wanted:
        return f"take --fresh-seeds {wanted} (by the spread of these)"
    return "with so few reported seeds no number of fresh ones is enough; submit more seeds"
