"""`pabench doctor`: a checkup in words."""

from __future__ import annotations

from collections.abc import Sequence

from pabench.cli.conformance import aligned
from pabench.diagnostics.checkup import Checkup, Row
from pabench.diagnostics.remedy import Treatment, criterion_entry, model_entry
from pabench.networks.kinds import INCLUDED
from pabench.store.verdict import HEALTHY, some
from pabench.words import count, percentage

UNSEEN = "a later one may fail; -c NAME looks at all of them, for two minutes at most"


def describe(found: Checkup) -> str:
    """The checkup in lines, for people."""
    images = " x ".join(map(str, found.shape))
    total = sum(found.weights.values())
    layers = count(len(found.weights), "layer")
    lines = [f"{model_entry(found.model)}: {found.family}, {total:,} prunable weights in {layers}"]
    lines += [f"{images} pixels, {found.classes} classes, scored in {found.dtype}", "", *_table(found.rows)]
    why = [(row.name, row.before.finding.detail) for row in found.rows if row.before.finding.detail]
    if why:
        lines += ["", "why", *(f"  {name}: {detail}" for name, detail in why)]
    if found.suite:
        lines += ["", "remedy, for a suite (tried: the last column)", *(f"  {line}" for line in found.suite)]
    lines += _unseen(found.rows)
    left = [row.name for row in found.rows if row.after.finding.verdict != HEALTHY]
    if left:
        lines += ["", f"no remedy makes these healthy: {', '.join(left)}; leave them out, or read their flags"]
    lines += ["", "not prunable", *_unprunable(found)]
    if found.by_run != found.model:
        lines += [
            "",
            f"`pabench run` builds {model_entry(found.by_run)} where the suite says {model_entry(found.model)}",
        ]
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> list[str]:
    head = ("criterion", "verdict", "zero scores", "not finite", "dead layers", "saturated", "with the remedy")
    body = [(criterion_entry(r.name, r.before.given), *_cells(r.before), _after(r)) for r in rows]
    return aligned([head, *body]).splitlines()


def _cells(treatment: Treatment) -> tuple[str, str, str, str, str]:
    found = treatment.finding
    if found.reason:
        return found.verdict, "-", "-", "-", "-"
    dead = f"{len(found.dead)} of {found.layers}"
    saturated = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.flat.items()) or "-"
    return found.verdict, percentage(found.zeros, found.total), str(found.non_finite), dead, saturated


def _after(row: Row) -> str:
    if not row.better:
        return ""
    verdict, zeros, infinite, dead, _ = _cells(row.after)
    return f"{verdict}: {zeros} zero, {infinite} not finite, {dead} dead"


def _unseen(rows: Sequence[Row]) -> list[str]:
    """The criteria whose rounds were not all looked at."""
    shown = [row.after.finding if row.better else row.before.finding for row in rows]
    unseen = [
        f"{row.name} ({found.seen} of {found.rounds})"
        for row, found in zip(rows, shown, strict=True)
        if found.seen < found.rounds and not found.reason and not found.non_finite
    ]
    if not unseen:
        return []
    return ["", f"rounds that were looked at: {', '.join(unseen)}; {UNSEEN}"]


def _unprunable(found: Checkup) -> list[str]:
    lines = []
    dense = {kind: sum(sizes.values()) for kind, sizes in found.dense.items()}
    weights = sum(dense.values()) + sum(found.weights.values())
    for kind, sizes in found.unprunable.items():
        line = f"  {kind}: {sum(sizes.values()):,} numbers in {len(sizes)} ({some(sizes, 3)})"
        share = f", {percentage(dense[kind], weights)} of all weights" if kind in dense else ""
        lines.append(line + share + (f"; prunable with --include {kind}" if kind in INCLUDED else ""))
    if found.standardised:
        lines.append(
            f"  standardised before use, so that a pruned weight is not 0 there: {some(found.standardised, 3)}"
        )
    return lines or ["  nothing else has parameters"]
