"""Cells that several of a page's studies have a result of: which one stands on the page, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pabench.report.frame import title
from pabench.report.join import Joint
from pabench.store.quality import points_of
from pabench.store.store import outcome
from pabench.suite.cell import STATUSES


@dataclass(frozen=True)
class Twice:
    """A cell with a result in several studies, that of the study `label` is kept; `same` but for what may differ.

    `why` says what it has before the `others`.
    """

    title: str
    label: str
    others: tuple[str, ...]
    same: bool
    top1: tuple[float | None, ...]
    why: str


def twice(joint: Joint) -> Iterator[Twice]:
    """Those of the cells that are on the page, in the order of its frame."""
    for row in joint.frame.itertuples():
        have = [part for part in joint.parts if row.key in part.records and row.key not in part.strays]
        if len(have) > 1:
            have.sort(key=lambda part: part.label != row.study)  # the one that is kept before the others
            records = [part.records[row.key] for part in have]
            yield Twice(
                title=title(row),
                label=have[0].label,
                others=tuple(part.label for part in have[1:]),
                same=len(set(map(outcome, records))) == 1,
                top1=tuple(points_of(record["result"]) if record.get("result") else None for record in records),
                why=_why(records),
            )


def _why(records: Sequence[Mapping[str, Any]]) -> str:
    """What the first of these has before the others (`report.frame.chosen`)."""
    kept = records[0]
    rivals = [record for record in records[1:] if record["status"] == kept["status"]]
    if not rivals:
        return "the only one that finished" if kept["status"] == STATUSES[0] else "the only one that was run"
    if any(record["created"] == kept["created"] for record in rivals):
        return "the first by name"
    if len(records) == 2:
        return "the earlier"
    return "the earliest" if len(rivals) == len(records) - 1 else "the earliest that finished"
