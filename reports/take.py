"""Take it away: how to have the numbers, to name where they come from, and to make them again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pabench.report.evidence import caveat
from pabench.report.frame import pruned
from pabench.report.papers import Paper, paper
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.store.envelope import digest_of
from pabench.suite.digest import digest
from pabench.words import count, plain


@dataclass(frozen=True)
class Source:
    """A criterion, by its label: its paper, and the SHA-256 of its file."""

    criterion: str
    paper: Paper
    digests: tuple[str, ...]


class Take(Section):
    """Exports, the study's identity, citations and the command."""

    name = "take"
    title = "Cite"
    order = 90
    seen = "all"

    def render(self, study: Study) -> str | None:
        named = sources(study)
        return self.fill(
            "take.html.j2",
            identity=identity(study),
            sources=named,
            papers="\n".join(dict.fromkeys(one.paper.bibtex for one in named if one.paper.bibtex)),
            bibtex=bibtex(study.manifest, caveat(study)),
            command=plain(study.manifest.get("command", "")),
        )


def identity(study: Study) -> list[tuple[str, str]]:
    """What tells this study from every other, as (term, text); digests are SHA-256.

    That of the cells is over their sorted keys, which stand for everything that can change a result; that of the
    records over keys and SHA-256 of all finished ones.
    """
    manifest = study.manifest
    keys = sorted(study.frame["key"])
    expected = [key for key in keys if key in study.records]
    environment = manifest.get("environment", {})
    # pabench itself is told from the manifest, which always names it
    named = [n for n in ("python", "torch", "timm", "numpy") if n in environment]
    versions = ", ".join(f"{n} {plain(environment[n])}" for n in named)
    return [
        ("Study", plain(manifest["name"])),
        ("Suite", suite_digest(manifest)),
        ("Cells", f"{digest(keys)} ({count(len(keys), 'cell')})"),
        ("Records", f"{digest_of(study.records, expected)} ({len(expected)} of {len(keys)})"),
        ("Created", plain(manifest.get("created", ""))),
        ("Software", f"pabench {plain(manifest.get('pabench', '?'))}{', ' if versions else ''}{versions}"),
    ]


def suite_digest(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of the suite's text, as sha256sum gives it."""
    return hashlib.sha256(str(manifest.get("suite", "")).encode()).hexdigest()


def sources(study: Study) -> list[Source]:
    """The criteria of the study, reference lines among them, in its order."""
    found = []
    specs = [cell.criterion for cell in study.cells.values() if cell.criterion]
    names = {plain(spec.label): spec.name for spec in specs}
    for label, rows in pruned(study.plain).groupby("criterion", sort=False):
        digests = tuple(sorted({d[:16] for d in rows["source"] if d}))
        found.append(Source(str(label), paper(names.get(str(label), "")), digests))
    return found


def bibtex(manifest: Mapping[str, Any], caveat: str = "") -> str:
    """An entry for the study, with a `caveat` in its note, and one for pabench."""
    year = plain(manifest.get("created", ""))[:4] or "n.d."
    name = plain(manifest["name"])
    key = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "study"
    title = _braced(plain(manifest.get("title") or name))
    version = _braced(plain(manifest.get("pabench", "")))
    note = f"Suite {_braced(name)}, SHA-256 {suite_digest(manifest)[:16]}; pabench {version}"
    note += f"; {_braced(caveat)}" if caveat else ""
    return (
        f"@misc{{{key},\n  title = {{{title}}},\n  howpublished = {{Results of a pabench study}},\n"
        f"  note = {{{note}}},\n  year = {{{_braced(year)}}}\n}}\n"
        f"@software{{pabench,\n  title = {{pabench: fair comparison of pruning-at-initialization criteria}},\n"
        f"  version = {{{version}}}\n}}\n"
    )


def _braced(text: str) -> str:
    """Text inside a BibTeX field."""
    escapes = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(escapes.get(c, f"\\{c}" if c in "$&#_%" else c) for c in text)
