"""The datasheet of a site (Gebru et al. 2021, arXiv:1803.09010): what its data are, from the records of its studies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from pabench.leaderboard.boards import Comparable, Published, ran_with
from pabench.leaderboard.sitefiles import escaped
from pabench.report.page import TEMPLATES
from pabench.report.section import templates
from pabench.store.verdict import CALLED
from pabench.suite.cell import DENSE, PROTOCOL, STATUSES
from pabench.words import count, one_line, percent

NONE = "none"


def datasheet(
    found: Sequence[Comparable],
    studies: Sequence[Published],
    title: str,
    authors: Sequence[str],
    published: str,
    *,
    levels: Mapping[str, int],
    licence: str,
) -> str:
    """The datasheet as Markdown. `levels`: up to which each study was checked; `licence`: an SPDX identifier."""
    cells = pd.concat([study.study.frame for study in studies], ignore_index=True)
    facts = {
        "title": title,
        "published": published,
        "protocol": PROTOCOL,
        "authors": ", ".join(authors) or "its publisher, who gave no name",
        "rows": count(len(cells), "cell"),
        "number_of_studies": f"{len(studies)} {'study' if len(studies) == 1 else 'studies'}",
        "boards": f"{count(len(found), 'board')} {'is' if len(found) == 1 else 'are'}",
        "repeated": _repeated(cells),
        "datasets": _listed(_datasets(studies)),
        "models": _listed(cells["model"]),
        "criteria": _listed(cells.loc[cells["criterion"] != DENSE, "criterion"]),
        "sparsities": _listed(percent(s) for s in sorted(cells.loc[cells["criterion"] != DENSE, "sparsity"].unique())),
        "seeds": _listed(str(seed) for seed in sorted(cells["seed"].unique())),
        "ablations": _listed(name for name in cells["ablation"] if name),
        "missing": _missing(cells),
        "failures": _failures(cells),
        "flags": _flags(cells),
        "rejected": _rejected(studies),
        "licence": licence,
    }
    rows = [_row(study, levels[study.slug]) for study in studies]
    written = {name: text if name in ("published", "protocol") else _safe(text) for name, text in facts.items()}
    filled = templates(TEMPLATES).get_template("site/datasheet.md.j2").render(**written, studies=rows)
    return filled.strip() + "\n"


def _safe(text: Any) -> str:
    """A stranger's words as one line of Markdown that is nothing but text."""
    return escaped(one_line(text, most=20_000))


def _row(study: Published, level: int) -> dict[str, str]:
    """What tables say of a study."""
    frame, environments = study.study.frame, study.study.environments
    days = sorted(created[:10] for created in frame["created"] if created)
    told = {
        "name": study.slug,
        "cells": len(frame),
        **{status: int((frame["status"] == status).sum()) for status in STATUSES},
        "flagged": int(frame["flags"].map(bool).sum()),
        "level": "rejected" if study.rejected else level,
        "first": days[0] if days else "",
        "last": days[-1] if days else "",
        "versions": _listed(str(one.get("pabench", "unknown")) for one in environments),
        "environment": ran_with([study]),
    }
    return {name: _safe(value) for name, value in told.items()}


def _listed(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values)) or NONE


def _datasets(studies: Sequence[Published]) -> Iterator[str]:
    for study in studies:
        for cell in study.study.cells.values():
            yield f"{cell.dataset.label} ({cell.dataset.name}, SHA-256 {cell.dataset.fingerprint[:12]})"


def _repeated(cells: pd.DataFrame) -> str:
    several = len(cells) - cells["key"].nunique()
    return f"; {several:,} of them are there more than once, in several studies" if several else ""


def _missing(cells: pd.DataFrame) -> str:
    lacking = int((cells["status"] == "missing").sum())
    if not lacking:
        return "No cell: each has a record."
    return f"{count(lacking, 'cell')} of the grids {'has' if lacking == 1 else 'have'} no record and were not run."


def _failures(cells: pd.DataFrame) -> str:
    ended = cells[cells["status"].isin(["failed", "skipped"])]
    kinds = Counter(f"{status}: {kind}" if kind else status for status, kind in ended[["status", "kind"]].to_numpy())
    return f"Cells without a result: {_tallied(kinds)}." if kinds else "No cell failed or was skipped."


def _flags(cells: pd.DataFrame) -> str:
    flags = Counter(CALLED.get(flag, flag) for row in cells["flags"] for flag in row)
    return f"Flags of cells: {_tallied(flags)}." if flags else "No cell is flagged."


def _tallied(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({n:,})" for name, n in sorted(counts.items()))


def _rejected(studies: Sequence[Published]) -> str:
    named = [study.slug for study in studies if study.rejected]
    return f" A verification rejected {', '.join(named)}; no row of it has a badge." if named else ""
