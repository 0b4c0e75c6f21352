"""Level 4: results are reproduced. Sampled settings are trained again with fresh seeds, and their accuracies agree."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from pabench.cell import Cell
from pabench.errors import MissingError
from pabench.flaw import Flaw
from pabench.rederived import identified
from pabench.replication import LEVEL as ALPHA
from pabench.replication import MOST_DETECTABLE, POWER, agreements
from pabench.rerun import Rerun, Where, rerun, why
from pabench.sampling import sample, settings
from pabench.wellformed import Wellformed

LEVEL = 4


def check(
    found: Wellformed, count: int, seed: int, fresh: int, where: Where
) -> tuple[list[Flaw], list[dict[str, Any]], list[str]]:
    """Flaws, what came of each sampled setting, and notes. `fresh`: trainings of each setting."""
    groups = sample(settings(found.cells.values(), found.records), count, seed)
    if not groups:
        return [Flaw(LEVEL, "records", "finished cells of a criterion", "none", unable=True)], [], []
    seeds = _fresh_seeds(found, fresh, seed)
    again = {group[0].key: [replace(group[0], seed=one) for one in seeds] for group in groups}
    try:
        with rerun(found.foreign, [c for cells in again.values() for c in cells], where, training=True) as made:
            failed, values = _accuracies(found, groups, again, made)
            notes = list(made.notes)
    except MissingError as error:
        return [Flaw(LEVEL, "criteria", "all that its cells need", str(error), unable=True)], [], []
    if failed or not values:
        return failed, [], notes
    flaws, outcomes, more = _judged(groups, values)
    return flaws, outcomes, [*notes, *more, f"fresh seeds: {', '.join(map(str, seeds))}"]


def _fresh_seeds(found: Wellformed, count: int, seed: int) -> list[int]:
    """Seeds that no cell of the study has."""
    draw, taken = random.Random(f"fresh {seed}"), {cell.seed for cell in found.cells.values()}
    seeds: list[int] = []
    while len(seeds) < count:
        one = draw.randrange(1_000, 2**31)
        if one not in taken:
            taken.add(one)
            seeds.append(one)
    return seeds


def _accuracies(
    found: Wellformed, groups: list[list[Cell]], again: dict[str, list[Cell]], made: Rerun
) -> tuple[list[Flaw], dict[str, tuple[list[float], list[float]]]]:
    """(reported, fresh) top-1 of each setting, and the cells that gave none."""
    flaws, values = [], {}
    for group in groups:
        first = group[0]
        fresh = []
        for cell in again[first.key]:
            record = made.store.get("records", made.cells[cell.key].key)
            if record is None or record["status"] != "ok":
                unable = record is not None and record["kind"] in ("data", "oom", "io", "timeout")
                flaws.append(Flaw(LEVEL, "fresh seeds", "a result", why(record), "top1", cell.title, unable))
            else:
                fresh.append(record["result"]["top1"])
        values[first.key] = ([found.records[cell.key]["result"]["top1"] for cell in group], fresh)
    return flaws, values


def _judged(
    groups: list[list[Cell]], values: dict[str, tuple[list[float], list[float]]]
) -> tuple[list[Flaw], list[dict[str, Any]], list[str]]:
    try:
        judged = agreements(values)
    except ValueError as error:
        unable = Flaw(LEVEL, "records", "at least two seeds of a setting, reported or fresh", str(error), unable=True)
        return [unable], [], []
    flaws, outcomes = [], []
    for group in groups:
        cell, agreement = group[0], judged[group[0].key]
        title = cell.title.rpartition(" / seed ")[0]
        told = (
            f"fresh minus reported {agreement.difference:+.2f} points, 99 % interval "
            f"[{agreement.low:+.2f}, {agreement.high:+.2f}], n = {len(agreement.fresh)} and {len(agreement.reported)}"
        )
        numbers: dict[str, Any] = {
            "difference": agreement.difference,
            "low": agreement.low,
            "high": agreement.high,
            "p": agreement.p,
        }
        numbers |= {"reported": list(agreement.reported), "fresh": list(agreement.fresh)}
        numbers |= {"detectable": agreement.detectable}
        outcomes.append({**identified(cell), "title": title, "outcome": told, **numbers})
        file = f"records/{cell.key}.json"
        if not agreement.agrees:
            expected = f"no difference that is significant at {ALPHA:g} (t test, Holm over {len(groups)} settings)"
            flaws.append(Flaw(LEVEL, file, expected, f"{told}, p = {agreement.p:.2g}", "result.top1", title))
        elif agreement.detectable > MOST_DETECTABLE:
            expected = f"a test that finds {MOST_DETECTABLE:g} points with probability {POWER:g}; take more fresh seeds"
            least = f"one that finds {agreement.detectable:.1f} points at best"
            flaws.append(Flaw(LEVEL, file, expected, least, "result.top1", title, unable=True))
    worst = max(agreement.detectable for agreement in judged.values())
    return flaws, outcomes, [f"a true difference of {worst:.1f} points would be found with probability {POWER:g}"]
