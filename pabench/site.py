"""The pages and tables of a leaderboard site, as bytes by path: nothing is written here, and no date is in them."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd
from markupsafe import Markup

from pabench import sitefile
from pabench.board import REFERENCE, Board, Standing, board, caveats
from pabench.comparable import Badge, Comparable, Published, boards, on_all, together
from pabench.frame import DENSE
from pabench.report import TEMPLATES, render
from pabench.section import templates
from pabench.statistics import Interval, interval_text, mean_interval
from pabench.wording import count, plain

V1 = "data/v1"
LEGEND = tuple(Badge(level, "") for level in range(3))


@dataclass(frozen=True)
class Shown:
    """A board as a page shows it. `suffix` tells boards of one title apart; `best` are those not separable from the
    first; `studies` and `badges` are by criterion."""

    slug: str
    title: str
    board: Board
    caption: str
    dense: Interval | None = None
    overall: bool = False
    suffix: str = ""
    remarks: tuple[str, ...] = ()
    studies: Mapping[str, list[str]] = field(default_factory=dict)
    badges: Mapping[str, Badge] = field(default_factory=dict)
    members: tuple[str, ...] = ()

    @property
    def best(self) -> list[str]:
        ranked = self.board.ranked
        letters = set(ranked[0].letters) if ranked else set()
        return [standing.criterion for standing in ranked if letters & set(standing.letters)]


def pages(studies: Sequence[Published], title: str, authors: Sequence[str]) -> dict[str, bytes]:
    """Every file of the site but the submissions themselves and the manifest."""
    found = boards(studies)
    shown = [_shown(one, found) for one in found]
    overall = _overall(found) if len(found) > 1 and len(on_all(found)) > 1 else None
    style = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "site/site.css"))
    script = (TEMPLATES / "site/sort.js").read_text(encoding="utf-8")
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:"
    common = {
        "site": title,
        "style": Markup(style),
        "script": Markup(script),
        "policy": f"{policy}; base-uri 'none'; form-action 'none'",
        "reference": REFERENCE,
        "interval_text": interval_text,
    }
    files = {
        "index.html": _page(
            "index", common, "", title, boards=shown, overall=overall, studies=_listed(studies), legend=LEGEND
        )
    }
    for comparable, one in zip(found, shown, strict=True):
        files[f"boards/{one.slug}.html"] = _page(
            "board",
            common,
            "../",
            one.title,
            shown=one,
            apart=[(other.slug, why) for other, why in comparable.apart],
            facts=_facts(comparable),
            badges=[(s.criterion, one.badges[s.criterion]) for s in _standings(one.board)],
        )
        rows = [_row(standing, one) for standing in _standings(one.board)]
        files[f"{V1}/boards/{one.slug}.csv"] = sitefile.table(pd.DataFrame([_flat(row) for row in rows]))
        files[f"{V1}/boards/{one.slug}.json"] = sitefile.document({"board": one.slug, "title": one.title, "rows": rows})
    for study in studies:
        files[f"studies/{study.slug}/index.html"] = render(study.study).encode()
        frame = study.study.frame.assign(flags=study.study.frame["flags"].map("; ".join))
        files[f"{V1}/cells/{study.slug}.csv"] = sitefile.table(frame)
        files[f"{V1}/cells/{study.slug}.json"] = frame.to_json(orient="records", indent=1).encode() + b"\n"
        if study.verified:
            files[f"{V1}/verifications/{study.slug}.json"] = sitefile.document(study.verified)
    files[f"{V1}/boards.json"] = sitefile.document([_told(*pair) for pair in zip(shown, found, strict=True)])
    files[f"{V1}/studies.json"] = sitefile.document(_listed(studies))
    links = [(f"{one.title}{f' ({one.suffix})' if one.suffix else ''}", f"boards/{one.slug}.html") for one in shown]
    files["CITATION.cff"] = sitefile.citation(title, authors, studies)
    files["README.md"] = sitefile.readme(title, links)
    files[".nojekyll"] = b""
    return files


def _shown(comparable: Comparable, found: Sequence[Comparable]) -> Shown:
    frame, badges = comparable.frame, comparable.badges
    made = board(frame)
    dense = frame.loc[(frame["criterion"] == DENSE) & frame["top1"].notna(), "top1"]
    several = sum(other.title == comparable.title for other in found) > 1
    names = {s.criterion for s in _standings(made)}
    contributed = {name: [s.slug for s in comparable.studies.get(name, [])] for name in names}
    return Shown(
        slug=comparable.slug,
        title=comparable.title,
        board=made,
        caption=_caption(made),
        dense=mean_interval(dense) if len(dense) else None,
        suffix=f"{count(comparable.cell.recipe.epochs, 'epoch')}, {comparable.slug.rpartition('-')[2]}"
        if several
        else "",
        remarks=tuple(comparable.remarks),
        studies=contributed,
        badges={name: badges.get(name, Badge()) for name in names},
        members=tuple(study.slug for study in comparable.members),
    )


def _overall(found: Sequence[Comparable]) -> Shown:
    made = board(together(found))
    names: dict[str, dict[str, None]] = {}
    for comparable in found:
        for name, members in comparable.studies.items():
            names.setdefault(name, {}).update(dict.fromkeys(study.slug for study in members))
    caption = (
        f"The criteria that are on all {len(found)} boards. {_caption(made)} Each board counts the same, and is "
        "compared within itself."
    )
    return Shown(
        slug="all",
        title="Over all boards",
        board=made,
        caption=caption,
        overall=True,
        studies={s.criterion: list(names.get(s.criterion, {})) for s in _standings(made)},
    )


def _caption(made: Board) -> str:
    if not made.ranked:
        return "No block and sparsity is finished by every criterion: there is no ranking yet."
    told = [
        f"Mean rank over {made.tasks} of {made.all_tasks} tasks (block and sparsity), {count(made.blocks, 'block')}."
    ]
    return " ".join([*told, *caveats(made)])


def _standings(made: Board) -> tuple[Standing, ...]:
    return made.beside + made.ranked + made.unranked


def _row(standing: Standing, shown: Shown) -> dict[str, Any]:
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
        **{status: standing.count(status) for status in ("ok", "failed", "skipped", "missing")},
        "checked": badge.name,
        "checked_detail": badge.detail,
        "studies": shown.studies[standing.criterion],
    }


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a table: intervals in columns of their own."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if key == "top1":
            for sparsity, interval in value.items():
                flat |= {f"top1_{sparsity}{'' if k == 'mean' else f'_{k}'}": v for k, v in interval.items()}
        elif key.startswith("difference"):
            flat |= {f"{key}_{k}": v for k, v in (value or {}).items()}
        else:
            flat[key] = " ".join(value) if isinstance(value, list) else value
    return flat


def _facts(comparable: Comparable) -> list[tuple[str, str]]:
    cell = comparable.cell
    recipe = ", ".join(f"{k} {_word(v)}" for k, v in asdict(cell.recipe).items())
    facts = [("protocol", cell.protocol), ("dataset", f"{cell.dataset.label} ({cell.dataset.name})")]
    facts += [("dataset content", cell.dataset.fingerprint)]
    facts += [("dataset parameters", _words(cell.dataset.identity()["args"]))] if cell.dataset.args else []
    facts += [("model", cell.model.label), ("scores in", cell.scoring.dtype), ("recipe", recipe)]
    seeds = sorted({int(seed) for seed in comparable.frame["seed"]})
    facts += [("sparsities", ", ".join(f"{s:g}" for s in comparable.sparsities)), ("seeds", ", ".join(map(str, seeds)))]
    return [(name, plain(value)) for name, value in facts]


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {_word(v)}" for k, v in values.items() if v not in ("", [], None)) or "none"


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_words(value)})"
    return " ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)


def _listed(studies: Sequence[Published]) -> list[dict[str, Any]]:
    found = []
    for study in studies:
        statuses = Counter(study.study.frame["status"])
        other = ", ".join(f"{statuses[s]} {s}" for s in ("failed", "skipped", "missing") if statuses[s])
        environments = {
            f"torch {plain(r['environment'].get('torch', '?'))}, {plain(r['environment'].get('device', '?'))}"
            for r in study.study.records.values()
        }
        levels = (study.verified or {}).get("levels", [])
        passed = max((level["level"] for level in levels if level["passed"]), default=2)
        sampled = {level["level"]: len(level["outcomes"]) for level in levels if level["level"] > 2}
        detail = ", ".join(f"{n} sampled at level {level}" for level, n in sampled.items())
        found.append(
            {
                "slug": study.slug,
                "title": study.title,
                "digest": study.digest,
                "cells": len(study.study.frame),
                "ok": statuses["ok"],
                "other": other,
                "level": max(2, passed),
                "detail": detail,
                "environment": "; ".join(sorted(environments)),
                "verified": bool(study.verified),
                "rejected": study.rejected,
            }
        )
    return found


def _told(shown: Shown, comparable: Comparable) -> dict[str, Any]:
    return {
        "slug": shown.slug,
        "title": shown.title,
        "sparsities": list(comparable.sparsities),
        "blocks": shown.board.blocks,
        "criteria": [standing.criterion for standing in shown.board.ranked],
        "best": shown.best,
        "studies": list(shown.members),
        "apart": {other.slug: why for other, why in comparable.apart},
        "facts": dict(_facts(comparable)),
    }


def _page(name: str, common: Mapping[str, Any], root: str, title: str, **values: Any) -> bytes:
    template = templates(TEMPLATES / "site").get_template(f"{name}.html.j2")
    return template.render(**common, root=root, title=title, **values).encode() + b"\n"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
