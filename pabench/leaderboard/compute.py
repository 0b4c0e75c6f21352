"""What a study took: hours of processors, summed from its records and receipts, and an estimate of their energy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pabench.report.study import Study
from pabench.words import seconds

Seconds = dict[str, dict[str, float]]
PARTS = ("scoring", "training", "evaluation")
KINDS = {"cpu": "CPU core", "gpu": "GPU"}
MOST_THREADS = 4096
"""A record may say anything; no machine has more cores."""


@dataclass(frozen=True)
class Watts:
    """What a busy CPU core and a busy GPU draw, where nobody says it of the machine: the values that Green Algorithms
    takes for an unknown one (Lannelongue et al. 2021, doi:10.1002/advs.202100707)."""

    cpu: float = 12.0
    gpu: float = 200.0


UNKNOWN = Watts()


@dataclass(frozen=True)
class Compute:
    """`trainings` that ended with a result, and seconds by kind of processor (`KINDS`) and by `PARTS`.

    Those of a CPU are seconds times threads. Scoring is all that making masks takes; of training and evaluation setting
    up is not counted, nor are the check before training, metrics, attempts that failed, and the `banked` cells, which
    another study computed.
    """

    trainings: int = 0
    seconds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    banked: int = 0

    def hours(self, kind: str, part: str = "") -> float:
        """Of all parts, or of one."""
        spent = self.seconds.get(kind, {})
        return (spent.get(part, 0.0) if part else sum(spent.values())) / 3600

    def kwh(self, watts: Watts) -> float:
        """Hours times watts: idle machines, memory and cooling are not in it."""
        return sum(self.hours(kind) * getattr(watts, kind) for kind in KINDS) / 1000

    @property
    def told(self) -> str:
        """Time of each kind of processor, and for what.

        >>> Compute(39, {"cpu": {"training": 5400, "scoring": 36}}).told
        '1 h 30 min of CPU cores (scoring 36.0 s, training 1 h 30 min)'
        """
        lines = []
        for kind, spent in self.seconds.items():
            parts = ", ".join(f"{part} {seconds(spent[part])}" for part in PARTS if spent.get(part))
            lines.append(f"{seconds(sum(spent.values()))} of {KINDS[kind]}s ({parts})")
        return "; ".join(lines) or "no time is told"

    def to_json(self, watts: Watts) -> dict[str, Any]:
        """For programs: hours, and the estimate of the energy."""
        hours = {
            KINDS[kind].lower().replace(" ", "_"): {part: round(self.hours(kind, part), 6) for part in PARTS}
            for kind in self.seconds
        }
        return {"trainings": self.trainings, "hours": hours, "kwh": round(self.kwh(watts), 6), "banked": self.banked}


NOTHING = Compute()


def compute(study: Study, receipts: Mapping[str, Mapping[str, Any]]) -> Compute:
    """Of a study with its receipts by pruning key. A mask under which several cells are trained is scored once."""
    took: Seconds = defaultdict(lambda: defaultdict(float))
    trainings, banked = 0, 0
    environments: dict[str, Mapping[str, Any]] = {}
    elsewhere = set()
    for key, cell in study.cells.items():
        record = study.records.get(key)
        if record is not None and "bank" in record:
            banked += 1
            elsewhere.add(cell.pruning_key)
            continue
        environment = record["environment"] if record else study.manifest.get("environment") or {}
        environments.setdefault(cell.pruning_key, environment)
        if record is None:
            continue
        trainings += record["status"] == "ok"
        _add(took, environment, "training", record["cost"].get("training_seconds"))
        _add(took, environment, "evaluation", record["cost"].get("evaluation_seconds"))
    for key, environment in environments.items():
        if key in receipts and key not in elsewhere:
            cost = receipts[key]["cost"]
            # receipts of before say only what a scoring takes, which those of one criterion have in common
            _add(took, environment, "scoring", cost.get("pruning_seconds") or cost.get("scoring_seconds"))
    return Compute(trainings, _by_kind(took), banked)


def total(found: Iterable[Compute]) -> Compute:
    """Of several studies."""
    took: Seconds = defaultdict(lambda: defaultdict(float))
    found = list(found)
    for one in found:
        for kind, parts in one.seconds.items():
            for part, spent in parts.items():
                took[kind][part] += spent
    trainings, banked = sum(one.trainings for one in found), sum(one.banked for one in found)
    return Compute(trainings, _by_kind(took), banked)


def _by_kind(took: Seconds) -> Seconds:
    return {kind: dict(took[kind]) for kind in KINDS if kind in took}


def _add(took: Seconds, environment: Mapping[str, Any], part: str, spent: float | None) -> None:
    if not spent:
        return
    on_cpu = str(environment.get("device", "cpu")).startswith("cpu")
    threads = environment.get("threads")
    cores = threads if on_cpu and type(threads) is int and 0 < threads <= MOST_THREADS else 1
    took["cpu" if on_cpu else "gpu"][part] += spent * cores
