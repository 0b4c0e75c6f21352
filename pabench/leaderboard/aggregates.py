"""What a submission says of itself in figures: means over seeds, recomputed by whoever checks it."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pabench.store.quality import points_of
from pabench.store.record import labels
from pabench.suite.cell import STATUSES, Cell

TOLERANCE = 1e-9
"""Between two computations of one mean: another order of addition, no other number."""


def aggregates(cells: Iterable[Cell], records: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each dataset, model, criterion, ablation and sparsity, in the order of the cells: how many cells
    ended how, and mean and sample standard deviation of top-1 over those that finished (None where there are none); on
    regression data of 100 R², a hundredth being a point."""
    groups: dict[tuple[tuple[str, Any], ...], list[Mapping[str, Any]]] = defaultdict(list)
    for cell in cells:
        place = {**labels(cell), "ablation": cell.ablation, "sparsity": cell.sparsity}
        groups[tuple(place.items())].append(records.get(cell.key, {"status": "missing"}))
    rows = []
    for named, found in groups.items():
        ended = Counter(record["status"] for record in found)
        values = [points_of(record["result"]) for record in found if record["status"] == "ok"]
        mean = statistics.fmean(values) if values else None
        spread = statistics.stdev(values) if len(values) > 1 else None
        counts = {status: ended[status] for status in STATUSES}
        rows.append({**dict(named), **counts, "top1_mean": mean, "top1_sd": spread})
    return rows


def difference(claimed: Any, computed: Any) -> tuple[str, str, str] | None:
    """The first place at which two such tables differ: (where, computed, claimed)."""
    if not isinstance(claimed, list) or len(claimed) != len(computed):
        return "rows", str(len(computed)), str(len(claimed) if isinstance(claimed, list) else type(claimed).__name__)
    for said, found in zip(claimed, computed, strict=True):
        if not isinstance(said, dict) or set(said) != set(found):
            return "row", ", ".join(found), str(said)[:80]
        ablation = f" / {found['ablation']}" if found["ablation"] else ""
        train = f" / {found['train']}" if "train" in found else ""
        where = f"{found['dataset']} / {found['model']} / {found['criterion']} {found['sparsity']:g}{ablation}{train}"
        for key, value in found.items():
            if not _equal(said[key], value):
                return f"{where}: {key}", str(value), str(said[key])
    return None


def _equal(one: Any, other: Any) -> bool:
    # a whole number that no float can hold is an attack, and equal to none
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < 1e300 for x in (one, other))
    return abs(one - other) <= TOLERANCE * max(1.0, abs(other)) if numbers else one == other
