"""The pages and tables of a leaderboard site, as bytes by path: nothing is written here."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from pabench.errors import DataError
from pabench.leaderboard import croissant
from pabench.leaderboard.boards import (
    LEVELS,
    Badge,
    Comparable,
    Published,
    caption,
    of_each_network,
    of_one_training,
    on_all,
    ran_with,
    together,
)
from pabench.leaderboard.claims import Judged
from pabench.leaderboard.compute import UNKNOWN, Watts, total
from pabench.leaderboard.datasets import datasets, source
from pabench.leaderboard.datasheet import datasheet
from pabench.leaderboard.limits import limits
from pabench.leaderboard.markdown import rendered
from pabench.leaderboard.origins import Origin, offered, origins
from pabench.leaderboard.sitefiles import citation, readme, table
from pabench.leaderboard.submission import document
from pabench.report.frame import quality
from pabench.report.page import TEMPLATES, Rendered, filled, render, section_html, shell
from pabench.report.section import templates
from pabench.statistics.board import REFERENCE, Standing, board
from pabench.statistics.intervals import interval_text
from pabench.statistics.outcomes import Rate, collapses
from pabench.suite.cell import PROTOCOL, STATUSES
from pabench.suite.specs import Recipe
from pabench.words import percent, plain

V1 = "data/v1"
LICENCE, CODE_LICENCE = "CC-BY-4.0", "Apache-2.0"
"""Of results and figures, where nobody says another, and of pabench, which made the pages."""
UNFORESEEN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What computing with figures raises that are in range one by one and make no sense together."""


@dataclass(frozen=True)
class About:
    """What its publisher says of a site: a title, authors, the `licence` of results and figures (an SPDX identifier),
    what a busy processor draws, and claims of papers with what was found of them."""

    title: str
    authors: Sequence[str] = ()
    licence: str = LICENCE
    watts: Watts = UNKNOWN
    claims: Sequence[Judged] = ()


def pages(
    studies: Sequence[Published],
    found: Sequence[Comparable],
    about: About,
    published: str,
    *,
    tables: Mapping[str, bytes],
) -> dict[str, bytes]:
    """The pages and tables about boards, from studies and their boards, and what says what all data are.

    `published` is the date that they bear; `tables` are those of the studies (`of_studies`).
    """
    common = {
        "shell": shell(("style", "site/site"), ("page", "figures", "site/site")),
        "site": about.title,
        "about": about,
        "published": published,
        "newest": max((one.newest for one in found), default=""),
        "reference": REFERENCE,
        "protocol": PROTOCOL,
        "interval_text": interval_text,
        "legend": [Badge(level, "") for level in range(len(LEVELS))],
    }
    listed = [_listed(study, about) for study in studies]
    rows = [(one, origins(one)) for one in found]
    claims = [_claim(one) for one in about.claims]
    values = {
        "limits": limits(found),
        "claims": claims,
        "studies": listed,
        "compute": total(study.compute for study in studies),
        "datasets": datasets(studies),
        "code_licence": CODE_LICENCE,
    }
    files = {"index.html": _page("index", common, "", about.title, **_index(rows), **values)}
    if claims:
        table = templates(TEMPLATES).get_template("claims.html.j2").render(claims=about.claims)
        files["claims.html"] = _page("claims", common, "", "Claims of papers", table=Markup(table))
        files[f"{V1}/claims.json"] = document([one.to_json() for one in about.claims])
    for one, lines in rows:
        files |= _board_files(one, lines, common)
    files[f"{V1}/boards.json"] = document([_told(one) for one in found])
    files[f"{V1}/studies.json"] = document(listed)
    links = [(f"{one.title}{f' ({one.suffix})' if one.suffix else ''}", f"boards/{one.slug}.html") for one in found]
    files["CITATION.cff"] = citation(about.title, about.authors, studies, about.licence)
    files["README.md"] = readme(about.title, links)
    told = studies, about.title, about.authors, published
    files[croissant.NAME] = document(croissant.croissant({**tables, **files}, *told, licence=about.licence))
    levels = {study["slug"]: study["level"] for study in listed}
    texts = {PROTOCOL: rules(), "datasheet": datasheet(found, *told, levels=levels, licence=about.licence)}
    for name, text in texts.items():
        files |= {f"{name}.md": text.encode(), f"{name}.html": _text_page(f"{name}.md", text, common)}
    files[".nojekyll"] = b""  # GitHub Pages would leave out what its generator takes for its own
    return files


def rules() -> str:
    """The definition of the protocol, as Markdown."""
    return (TEMPLATES / "site" / f"{PROTOCOL}.md").read_text(encoding="utf-8")


def _text_page(source: str, text: str, common: Mapping[str, Any]) -> bytes:
    heading, html = rendered(text)
    return _page("text", common, "", heading, text=html, source=source)


def of_studies(studies: Sequence[Published], about: About) -> dict[str, bytes]:
    """The page and the tables of each study."""
    files: dict[str, bytes] = {}
    for study in studies:
        with named_in_errors(study.slug):
            files |= _study_files(study, about)
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


def _index(told: Sequence[tuple[Comparable, Mapping[str, Origin]]]) -> dict[str, Any]:
    """What the front page shows: the boards, all their results as one list, and what a reader can filter it by."""
    boards = [one for one, _ in told]
    cells = [one.cell for one in boards]
    sparsities = sorted({s for one in boards for s in one.sparsities})
    return {
        "boards": boards,
        "overall": _overall(boards),
        "results": [line for one, lines in told for line in _results(one, lines)],
        "menus": [
            ("dataset", list(dict.fromkeys(plain(cell.dataset.label) for cell in cells))),
            ("model", list(dict.fromkeys(plain(cell.model.label) for cell in cells))),
            ("sparsity", [percent(s) for s in sparsities]),
            ("kind", offered({k: v for _, lines in told for k, v in lines.items()})),
        ],
    }


def _results(board: Comparable, lines: Mapping[str, Origin]) -> Iterator[dict[str, Any]]:
    """Each criterion at each sparsity."""
    for standing in board.board.lines:
        for sparsity, top1 in standing.means.items():
            origin = lines[standing.criterion]
            yield {"board": board, "standing": standing, "sparsity": sparsity, "top1": top1, "origin": origin}


def _board_files(shown: Comparable, lines: Mapping[str, Origin], common: Mapping[str, Any]) -> dict[str, bytes]:
    values = {
        "shown": shown,
        "origins": lines,
        "figure": Markup(section_html("accuracy", shown.study)),
        "rejected": [study for study in shown.members if study.rejected],
        "facts": _facts(shown),
        "suite": _suite(shown.members[0]),
        "menus": [("sparsity", [percent(s) for s in shown.sparsities]), ("kind", offered(lines))],
    }
    rows = [_row(standing, shown) for standing in shown.board.lines]
    return {
        f"boards/{shown.slug}.html": _page("board", common, "../", shown.title, **values),
        f"{V1}/boards/{shown.slug}.csv": table(_flat(rows)),
        f"{V1}/boards/{shown.slug}.json": document({"board": shown.slug, "title": shown.title, "rows": rows}),
    }


def _suite(study: Published) -> str:
    """Its suite, as `pabench run` in the folder of the site is told it."""
    changes = [f"--set {shlex.quote(str(one))}" for one in study.study.manifest.get("overrides", ())]
    return plain(" ".join([f"{V1}/suites/{study.slug}.yaml", *changes]))


def _study_files(study: Published, about: About) -> dict[str, bytes]:
    frame = study.study.frame.assign(flags=study.study.frame["flags"].map("; ".join))
    files = {
        f"studies/{study.slug}/index.html": render(study.study, [_terms(study, about)]).encode(),
        f"{V1}/suites/{study.slug}.yaml": str(study.study.manifest.get("suite", "")).encode(),
        f"{V1}/cells/{study.slug}.csv": table(frame),
        f"{V1}/cells/{study.slug}.json": frame.to_json(orient="records", indent=1).encode() + b"\n",
    }
    if study.verified:
        files[f"{V1}/verifications/{study.slug}.json"] = document(study.verified)
    return files


def _overall(found: Sequence[Comparable]) -> dict[str, Any] | None:
    """What is on all boards as a table of its own, which has no dense baseline; of each network on one."""
    every, trained = len(found), of_one_training(found)
    found = of_each_network(trained)
    names = on_all(found)
    if len(found) < 2 or len(names) < 2:
        return None
    frame = together(found)
    made = board(frame)
    chosen = "" if len(found) == len(trained) else ", of each dataset and network the one with the most seeds"
    return {
        "overall": True,
        "quality": quality(frame),
        "slug": "all",
        "title": "Over all boards"
        if every == len(trained)
        else f"Over all boards of training {found[0].cell.train.label}",
        "board": made,
        "caption": f"The criteria that are on all {len(found)} boards{chosen}. {caption(made)} Each board counts the "
        "same, and criteria are compared within boards.",
        "remarks": (),
        "dense": None,
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
    facts = [("protocol", cell.protocol), ("dataset", f"{cell.dataset.label} ({cell.dataset.name})")]
    facts += [("dataset content", cell.dataset.fingerprint)]
    facts += [("dataset from", source(cell.dataset).told)]
    facts += [("images encoded as", cell.dataset.coding)] if cell.dataset.coding else []
    facts += [("dataset parameters", _words(cell.dataset.identity()["args"]))] if cell.dataset.args else []
    facts += [("model", cell.model.label), ("scores in", cell.scoring.asked), ("recipe", _recipe(cell.recipe))]
    facts += [("prunable besides", ", ".join(cell.scoring.include))] if cell.scoring.include else []
    facts += [("scoring images at once", str(cell.scoring.batch))] if cell.scoring.batch else []
    seeds = sorted({int(seed) for seed in shown.frame["seed"]})
    facts += [("sparsities", ", ".join(map(percent, shown.sparsities))), ("seeds", ", ".join(map(str, seeds)))]
    return [(name, plain(value)) for name, value in facts if value]


def _recipe(recipe: Recipe) -> str:
    """A recipe in words: what is switched off in it, or has no effect, is left out."""
    told = asdict(recipe)
    if recipe.schedule != "step":
        del told["milestones"], told["gamma"]
    return _words({"learning_rate" if name == "lr" else name: value for name, value in told.items()})


def _words(values: Mapping[str, Any]) -> str:
    """
    >>> _words({"train_per_class": 300, "size": 0, "flip": True, "augment": {"crop": 4, "cutout": 0}})
    'train per class 300, flip, augment (crop 4)'
    """
    return ", ".join(_word(name.replace("_", " "), value) for name, value in values.items() if _is_on(value))


def _is_on(value: Any) -> bool:
    return any(value.values()) if isinstance(value, Mapping) else bool(value)


def _word(name: str, value: Any) -> str:
    if value is True:
        return name
    if isinstance(value, Mapping):
        return f"{name} ({_words(value)})"
    return f"{name} {' '.join(map(str, value)) if isinstance(value, list | tuple) else value}"


def _terms(study: Published, about: About) -> Rendered:
    """What the site says of a study besides its report."""
    template = templates(TEMPLATES).get_template("site/terms.html.j2")
    values = {"about": about, "compute": study.compute, "datasets": datasets([study]), "code_licence": CODE_LICENCE}
    return Rendered("terms", "Compute, data and licence", Markup(template.render(root="../../", **values)))


def _claim(one: Judged) -> dict[str, Any]:
    """A claim for the table of the front page, with the first test that its state rests on."""
    deciding = [found for found in one.findings if found.verdict == one.state] or one.findings
    return {"judged": one, "said": deciding[0].said if deciding else "", "more": len(one.findings) - 1}


def _listed(study: Published, about: About) -> dict[str, Any]:
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
        "compute": {"told": study.compute.told, **study.compute.to_json(about.watts)},
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


def _page(name: str, common: Mapping[str, Any], root: str, heading: str, **values: Any) -> bytes:
    around = {**common, "root": root, "heading": heading}
    return filled(f"site/{name}.html.j2", around.pop("shell"), **around, **values).encode() + b"\n"
