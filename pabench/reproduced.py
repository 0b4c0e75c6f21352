"""Level 4: results are reproduced. Sampled settings are trained again with fresh seeds, and their accuracies agree."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pabench.cell import Cell
from pabench.ended import trained_again
from pabench.errors import MissingError, PluginError
from pabench.foreign import Flaw
from pabench.record import MACHINE
from pabench.replication import LEVEL as ALPHA
from pabench.replication import MOST_DETECTABLE, POWER, Agreement, agreements, enough
from pabench.rerun import Rerun, Where, rerun, why
from pabench.sampling import ended, identified, sample, settings
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
    without = ended(found, count, seed, training=True)
    everything = [*(cell for cells in again.values() for cell in cells), *without]
    failed, told = [], []
    try:
        with rerun(found.foreign, everything, where, training=True) as made:
            for cell in without:
                wrong, outcome = trained_again(found, cell, made, where)
                failed += wrong
                told.append({**identified(cell), "outcome": outcome, "ended": True})
            wrong, values = _accuracies(found, groups, again, made)
            notes = list(made.notes)
    except MissingError as error:
        return [Flaw(LEVEL, "criteria", "all that its cells need", str(error), unable=True)], [], []
    except PluginError as error:
        return [Flaw(LEVEL, "criteria", "code that can be run", str(error))], [], []
    if wrong:
        return [*failed, *wrong], told, notes
    flaws, outcomes, more = _judged(groups, values)
    return [*failed, *flaws], [*outcomes, *told], [*notes, *more, f"fresh seeds: {', '.join(map(str, seeds))}"]


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
            record = made.record(cell)
            if record is None or record["status"] != "ok":
                unable = record is not None and record["kind"] in MACHINE
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
        expected = "at least two fresh seeds: --fresh-seeds 2 or more"
        unable = Flaw(LEVEL, "records", expected, str(error), unable=True)
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
            expected = f"a test that finds {MOST_DETECTABLE:g} points with probability {POWER:g}; {_remedy(judged)}"
            least = f"one that finds {agreement.detectable:.1f} points at best"
            flaws.append(Flaw(LEVEL, file, expected, least, "result.top1", title, unable=True))
    worst = max(agreement.detectable for agreement in judged.values())
    return flaws, outcomes, [f"a true difference of {worst:.1f} points would be found with probability {POWER:g}"]


def _remedy(judged: Mapping[str, Agreement]) -> str:
    """How many fresh seeds would tell, as far as those that were trained can say how far seeds lie apart."""
    wanted = enough(judged.values())
    if wanted:
        return f"take --fresh-seeds {wanted} (by the spread of these)"
    return "with so few reported seeds no number of fresh ones is enough; submit more seeds"
