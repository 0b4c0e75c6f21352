"""The datasets of a site: where each comes from, under which licence, and how it is cited, as far as that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pabench.leaderboard.boards import Published
from pabench.suite.provenance import KNOWN, Provenance
from pabench.suite.specs import DatasetSpec
from pabench.words import plain

UNKNOWN = Provenance("", "not known to pabench", "", "")


@dataclass(frozen=True)
class Source:
    """A dataset as the site calls it. `provenance` is that of the public dataset of its name, or, where `by_title`, of
    the one that its title names: nobody has compared the images."""

    label: str
    coding: str
    fingerprint: str
    provenance: Provenance
    by_title: bool

    @property
    def told(self) -> str:
        """Where it comes from, in one line."""
        known = self.provenance
        named = [
            f"{known.title} by its title" if self.by_title else known.title,
            f"licence: {known.licence}",
            known.cited,
        ]
        return "; ".join(filter(None, named))


def source(spec: DatasetSpec) -> Source:
    """Where a dataset comes from."""
    named = KNOWN.get(spec.public, UNKNOWN)
    by_title = bool(spec.public) and spec.name not in KNOWN
    return Source(plain(spec.label), plain(spec.coding), spec.fingerprint, named, by_title)


def datasets(studies: Sequence[Published]) -> list[Source]:
    """Those of these studies, each content under each label once."""
    found: dict[tuple[str, str], DatasetSpec] = {}
    for study in studies:
        for cell in study.study.cells.values():
            found.setdefault((cell.dataset.label, cell.dataset.fingerprint), cell.dataset)
    return [source(spec) for spec in found.values()]
