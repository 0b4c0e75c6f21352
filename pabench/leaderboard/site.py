"""The pages and tables of a leaderboard site, as bytes by path: nothing is written here, and no date is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pandas as pd
from markupsafe import Markup

from pabench.errors import DataError
from pabench.leaderboard.boards import (
    Badge,
    Comparable,
    Published,
    caption,
    of_one_training,
    on_all,
    ran_with,
    together,
)
from pabench.leaderboard.sitefiles import citation, readme, table
from pabench.leaderboard.submission import document
from pabench.report.page import TEMPLATES, policy_hash, render
from pabench.report.section import templates
from pabench.statistics.board import REFERENCE, Standing, board
from pabench.statistics.intervals import interval_text
from pabench.statistics.outcomes import Rate, collapses
from pabench.suite.cell import STATUSES
from pabench.words import plain

V1 = "data/v1"
UNFORESEEN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What computing with figures raises that are in range one by one and make no sense together."""


def pages(
    studies: Sequence[Published], found: Sequence[Comparable], title: str, authors: Sequence[str]
) -> dict[str, bytes]:
    """Every file of the site but the submissions themselves and the manifest, from studies and their boards."""
    style = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "site/site.css"))
    script = (TEMPLATES / "site/sort.js").read_text(encoding="utf-8")
    policy = f"default-src 'none'; style-src '{policy_hash(style)}'; script-src '{policy_hash(script)}'; img-src data:"
    common = {
        "site": title,
        "style": Markup(style),
        "script": Markup(script),
        "policy": f"{policy}; base-uri 'none'; form-action 'none'",
        "reference": REFERENCE,
        "interval_text": interval_text,
        "legend": [Badge(level, "") for level in range(3)],
    }
    listed = [_listed(study) for study in studies]
    index = {"boards": found, "overall": _overall(found), "studies": listed}
    files = {"index.html": _page("index", common, "", title, **index)}
    for one in found:
        files |= _board_files(one, common)
    for study in studies:
        with named_in_errors(study.slug):
            files |= _study_files(study)
    files[f"{V1}/boards.json"] = document([_told(one) for one in found])
    files[f"{V1}/studies.json"] = document(listed)
    links = [(f"{one.title}{f' ({one.suffix})' if one.suffix else ''}", f"boards/{one.slug}.html") for one in found]
    files["CITATION.cff"] = citation(title, authors, studies)
    files["README.md"] = readme(title, links)
    files[".nojekyll"] = b""  # GitHub Pages would leave out what its generator takes for its own
    return files


@contextmanager
def named_in_errors(name: str) -> Iterator[None]:
    """What no check foresaw in a stranger's results is an error that names them, and no traceback."""
    try:
        yield
    except UNFORESEEN as error:
        raise DataError(
            f"{name}: cannot be shown ({type(error).__name__}: {plain(error)[:200]}), although nothing is found wrong "
            "with it; leave it out, and report this"
        ) from error


def _board_files(shown: Comparable, common: Mapping[str, Any]) -> dict[str, bytes]:
    page = _page("board", common, "../", shown.title, shown=shown, facts=_facts(shown))
    rows = [_row(standing, shown) for standing in shown.board.lines]
    return {
        f"boards/{shown.slug}.html": page,
        f"{V1}/boards/{shown.slug}.csv": table(_flat(rows)),
        f"{V1}/boards/{shown.slug}.json": document({"board": shown.slug, "title": shown.title, "rows": rows}),
    }


def _study_files(study: Published) -> dict[str, bytes]:
    frame = study.study.frame.assign(flags=study.study.frame["flags"].map("; ".join))
    files = {
        f"studies/{study.slug}/index.html": render(study.study).encode(),
        f"{V1}/cells/{study.slug}.csv": table(frame),
        f"{V1}/cells/{study.slug}.json": frame.to_json(orient="records", indent=1).encode() + b"\n",
    }
    if study.verified:
        files[f"{V1}/verifications/{study.slug}.json"] = document(study.verified)
    return files


def _overall(found: Sequence[Comparable]) -> dict[str, Any] | None:
    """What is on all boards as a table of its own, which has neither badges nor a dense baseline."""
    every, found = len(found), of_one_training(found)
    names = on_all(found)
    if len(found) < 2 or len(names) < 2:
        return None
    made = board(together(found))
    return {
        "overall": True,
        "slug": "all",
        "title": "Over all boards"
        if every == len(found)
        else f"Over all boards of training {found[0].cell.train.label}",
        "board": made,
        "caption": f"The criteria that are on all {len(found)} boards. {caption(made)} Each board counts the same, and "
        "is compared within itself.",
        "remarks": (),
        "dense": None,
        "studies": {name: dict.fromkeys(slug for one in found for slug in one.studies[name]) for name in names},
    }


def _row(standing: Standing, shown: Comparable) -> dict[str, Any]:
    """A row of a board for programs."""
    badge = shown.badges[standing.criterion]
    return {
        "criterion": standing.criterion,
        "note": standing.note,
        "rank_low": standing.ranks[0] if standing.ranks else None,
        "rank_high": standing.ranks[1] if standing.ranks else None,
        "group": standing.letters,
        "mean_rank": standing.mean_rank,
        f"difference_to_{REFERENCE}": asdict(standing.difference) if standing.difference else None,
        "top1": {f"{s:g}": asdict(interval) for s, interval in standing.means.items()},
        "failed_blocks": _rate(standing.failed),
        "collapsed": {f"{s:g}": _rate(collapses(of)) for s, of in _finished(standing)},
        **{status: standing.count(status) for status in STATUSES},
        "checked": badge.name,
        "checked_detail": badge.detail,
        "studies": shown.studies[standing.criterion],
    }


def _finished(standing: Standing) -> Iterator[tuple[float, pd.DataFrame]]:
    """The cells of each sparsity at which any is finished."""
    for sparsity in standing.means:
        yield sparsity, standing.cells[standing.cells["sparsity"] == sparsity]


def _rate(rate: Rate) -> dict[str, Any]:
    """A count with the exact interval of its share."""
    return {"count": rate.count, "n": rate.n, "low": rate.interval.low, "high": rate.interval.high}


def _flat(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The same for a table: intervals in columns of their own, a mean without its name."""
    flat = pd.json_normalize([{**row, "studies": " ".join(row["studies"])} for row in rows], sep="_")
    # nested entries are put behind all others, and one that is null leaves a column without a value
    columns = [column for key in rows[0] for column in flat if column == key or column.startswith(f"{key}_")]
    flat = flat[list(dict.fromkeys(columns))].drop(columns=f"difference_to_{REFERENCE}", errors="ignore")
    return flat.rename(columns=lambda name: name.removesuffix("_mean") if name.startswith("top1_") else name)


def _facts(shown: Comparable) -> list[tuple[str, str]]:
    cell = shown.cell
    recipe = ", ".join(f"{k} {_word(v)}" for k, v in asdict(cell.recipe).items())
    facts = [("protocol", cell.protocol), ("dataset", f"{cell.dataset.label} ({cell.dataset.name})")]
    facts += [("dataset content", cell.dataset.fingerprint)]
    facts += [("dataset parameters", _words(cell.dataset.identity()["args"]))] if cell.dataset.args else []
    facts += [("model", cell.model.label), ("scores in", cell.scoring.asked), ("recipe", recipe)]
    facts += [("prunable besides", ", ".join(cell.scoring.include))] if cell.scoring.include else []
    facts += [("scoring images at once", str(cell.scoring.batch))] if cell.scoring.batch else []
    seeds = sorted({int(seed) for seed in shown.frame["seed"]})
    facts += [("sparsities", ", ".join(f"{s:g}" for s in shown.sparsities)), ("seeds", ", ".join(map(str, seeds)))]
    return [(name, plain(value)) for name, value in facts]


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {_word(v)}" for k, v in values.items() if v not in ("", [], None)) or "none"


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_words(value)})"
    return " ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)


def _listed(study: Published) -> dict[str, Any]:
    """A study for programs, and for the table of the front page."""
    statuses = Counter(study.study.frame["status"])
    levels = (study.verified or {}).get("levels", [])
    sampled = [level for level in levels if level["level"] > 2]
    return {
        "slug": study.slug,
        "title": study.title,
        "digest": study.digest,
        "cells": len(study.study.frame),
        "ok": statuses["ok"],
        "other": ", ".join(f"{statuses[s]} {s}" for s in STATUSES[1:] if statuses[s]),
        # no study is on the site that has not passed two levels
        "level": max([2, *(level["level"] for level in levels if level["passed"])]),
        "detail": ", ".join(f"{len(level['outcomes'])} sampled at level {level['level']}" for level in sampled),
        "environment": ran_with([study]),
        "verified": bool(study.verified),
        "rejected": study.rejected,
    }


def _told(shown: Comparable) -> dict[str, Any]:
    """A board in the list for programs."""
    return {
        "slug": shown.slug,
        "title": shown.title,
        "sparsities": list(shown.sparsities),
        "blocks": shown.board.blocks,
        "criteria": [standing.criterion for standing in shown.board.ranked],
        "best": shown.best,
        "studies": [study.slug for study in shown.members],
        "apart": {other.slug: why for other, why in shown.apart},
        "facts": dict(_facts(shown)),
    }


def _page(name: str, common: Mapping[str, Any], root: str, title: str, **values: Any) -> bytes:
    template = templates(TEMPLATES / "site").get_template(f"{name}.html.j2")
    return template.render(**common, root=root, title=title, **values).encode() + b"\n"
