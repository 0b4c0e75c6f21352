"""Records to one self-contained HTML file: no network, no plugin of a study, the same bytes for the same records."""

from __future__ import annotations

import base64
import contextlib
import gc
import gzip
import hashlib
import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pabench import registry
from pabench.errors import RefusedError
from pabench.report import apart
from pabench.report.folders import read
from pabench.report.frame import strata
from pabench.report.halves import in_two
from pabench.report.section import Section, templates
from pabench.report.study import Study
from pabench.store import files as store_files
from pabench.words import plain

TEMPLATES = Path(str(files("pabench_reports"))) / "templates"
NAME = "report.html"
SCRIPTS = ("page", "cells", "figures", "exports", "detail", "table")
"""Files of the page's one script, in this order: later ones use the names of earlier ones."""

DRAWING = re.compile(r'<div class="drawing" data-of="([^"]*)">(.*?)</div>', re.S)


@dataclass(frozen=True)
class Rendered:
    """A section's HTML, or why there is none: a broken section never costs the others."""

    name: str
    title: str
    html: str = ""
    problem: str = ""


def write(folder: Path, out: Path | None = None) -> Path:
    """Render the study in a results folder to `out` (default: report.html in it); returns where it is.

    MissingError: the folder holds no study. OSError: `out` cannot be written.
    """
    return write_study(read(folder), folder / NAME if out is None else out)


def write_study(study: Study, out: Path) -> Path:
    """Render a study to `out`; returns where it is. OSError: it cannot be written. RefusedError: it is no page now."""
    _refuse_other(out)
    text = render(study)
    store_files.make_folders(out.parent)
    store_files.replace(out, text.encode())
    return out


def _refuse_other(out: Path) -> None:
    """A page takes the place of a page alone: not of a suite or a manifest whose name was given by mistake."""
    if out.is_dir():
        raise RefusedError(f"{out}: is a folder; name a file, as in -o {out / NAME}")
    with contextlib.suppress(OSError), out.open("rb") as file:
        there = file.read(64).lstrip().lower()
        if there and not there.startswith(b"<!doctype html"):
            raise RefusedError(f"{out}: is there and no page; give -o the name of a new file")


def render(study: Study, more: Sequence[Rendered] = ()) -> str:
    """The page of a study, every section of the registry in its order, and `more` behind them."""
    name = plain(study.manifest.get("title") or study.manifest["name"])
    models = [title for title, _ in strata(study.plain)]
    own = [section for section in sections(study) if section.html or section.problem]
    return page(name, [*own, *more], models)


def page(name: str, sections: Sequence[Rendered], models: Sequence[str] = ()) -> str:
    """A page of sections with its style, its script and the policy that allows them; of several `models` a reader sees
    one at a time.

    A section's HTML has no inline style and no handler: the policy blocks both.
    """
    found = tucked(sections, models)
    return filled(
        "page.html.j2",
        shell(("style",), SCRIPTS),
        heading=name,
        site="pabench",
        models=models,
        drawings=found.drawings,
        sections=found.sections,
    )


@dataclass(frozen=True)
class Shell:
    """What every page has around its own: its style, its one script, and the policy that allows them alone."""

    style: Markup
    script: Markup
    policy: str


@cache
def shell(styles: Sequence[str], scripts: Sequence[str]) -> Shell:
    """That of these files of the templates, in this order."""
    style = "\n".join((TEMPLATES / f"{name}.css").read_text(encoding="utf-8") for name in styles)
    parts = [(TEMPLATES / f"{name}.js").read_text(encoding="utf-8") for name in scripts]
    # one script in a function of its own, so that nothing on the page is global
    script = "\n".join(['"use strict";', "(() => {", *parts, "})();\n"])
    policy = (
        f"default-src 'none'; img-src data:; script-src '{policy_hash(script)}'; style-src '{policy_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return Shell(Markup(style), Markup(script), policy)


def filled(template: str, around: Shell, **values: Any) -> str:
    """A page of the templates, which all extend `shell.html.j2`."""
    return templates(TEMPLATES).get_template(template).render(shell=around, **values)


def section_html(name: str, study: Study) -> str:
    """The HTML of one section of a page; "" where it has nothing to say. What it raises is the caller's."""
    return registry.plugin("sections", name)().render(study) or ""


def sections(study: Study) -> list[Rendered]:
    """What every section makes of a study, in their order; "" where one has nothing to say. Those of other
    distributions are made in processes apart."""
    own = _in_order()
    groups = [[section for section in own if section.boards], *([section] for section in own if not section.boards)]
    made = chain.from_iterable(in_two([partial(_rendered, group, study) for group in groups]))
    placed: list[tuple[float, str, Rendered]] = [
        (section.order, section.name, one) for section, one in zip(chain(*groups), made, strict=True)
    ]
    for one in _of_others(study):
        other = Rendered(plain(one.name), plain(one.title), html=Markup(one.html), problem=plain(one.problem))
        placed.append((one.order, one.name, other))
    broken = registry.at_hand("sections").broken
    rendered = [made for _, _, made in sorted(placed, key=lambda one: one[:2])]
    return rendered + [Rendered(plain(b.origin), plain(b.origin), problem=plain(b.reason)) for b in broken]


def save_figures(study: Study, folder: Path) -> tuple[list[Path], list[str]]:
    """Write what the sections of a page draw, as PDF and SVG; returns the files, and why a section's are missing."""
    store_files.make_folders(folder)
    written, problems = list[Path](), list[str]()
    for section in _in_order():
        try:
            for heading, part in _parts(section, study):
                place = folder / slug(heading)
                place.mkdir(exist_ok=True)
                written += [path for picture in section.figures(part) for path in picture.save(place)]
        except Exception as error:
            problems.append(f"{section.name}: {registry.complaint(error)}")
    for one in _of_others(study, folder):
        written += one.files
        problems += [f"{plain(one.name)}: {plain(one.problem)}"] * bool(one.problem)
    return written, problems


def _of_others(study: Study, folder: Path | None = None) -> list[apart.Made]:
    return [one for source in registry.offered("sections") for one in apart.made(source, study, folder)]


def _in_order() -> list[Section]:
    """The sections that come with pabench."""
    classes = registry.at_hand("sections").classes.values()
    return [cls() for cls in sorted(classes, key=lambda cls: (cls.order, cls.name))]  # type: ignore[attr-defined]


def _rendered(sections: Sequence[Section], study: Study) -> list[Rendered]:
    return [_render(section, study) for section in sections]


def _render(section: Section, study: Study) -> Rendered:
    try:
        parts = _parts(section, study)
        made = [(heading, _of_part(section.render(part), number)) for number, (heading, part) in enumerate(parts)]
        gc.collect(1)  # a figure is full of cycles, and a page has a hundred
    except Exception as error:
        return Rendered(section.name, section.title, problem=registry.complaint(error))
    headings = {
        heading: Markup('<h3 class="training">Training: {}</h3>').format(heading) for heading, _ in made if heading
    }
    rendered = Markup("\n").join(headings.get(heading, Markup()) + Markup(one) for heading, one in made if one)
    return Rendered(section.name, section.title, html=rendered)


OF_FIGURE = re.compile(r'((?:\bid="|\bhref="#|url\(#)f[0-9a-f]{7})-')
"""The names that parts of a drawing have and are referred to by: they begin with a hash of the figure's name."""


def _of_part(html: str | None, number: int) -> str:
    """A section's HTML with names that no other training's drawing has."""
    # a plain string: the pattern would put pieces of marked-up text together as text to be escaped
    return OF_FIGURE.sub(rf"\g<1>{number}-", str(html)) if html and number else html or ""


def _parts(section: Section, study: Study) -> list[tuple[str, Study]]:
    """What a section is made of, each with its heading: of several trainings it sees what its `seen` says."""
    several = study.trainings if len(study.trainings) > 1 else ()
    if section.seen == "all" or not several:
        return [("", study)]
    if section.seen == "first":
        return [("", study.under(several[0]))]
    return [(training, study.under(training)) for training in several]


def slug(label: str) -> str:
    """A label as the name of a folder.

    >>> slug("rigl (every=2, layers=free)")
    'rigl-every-2-layers-free'
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")


def policy_hash(text: str) -> str:
    """What a Content-Security-Policy calls an inline script or style by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@dataclass(frozen=True)
class Tucked:
    """Sections in which the drawings of all models but the first are left out, and these: gzip and base64 of a list."""

    sections: list[Rendered]
    drawings: str


def tucked(sections: Sequence[Rendered], models: Sequence[str]) -> Tucked:
    """Put away the drawings that nobody sees before choosing another model: a study of 28 has 200 of them."""
    kept: list[str] = []

    def put_away(found: re.Match[str]) -> str:
        if html.unescape(found[1]) == models[0]:
            return found[0]
        kept.append(found[2])
        return f'<div class="drawing" data-of="{found[1]}" data-drawing="{len(kept) - 1}"></div>'

    if len(models) > 1:
        sections = [replace(one, html=Markup(DRAWING.sub(put_away, one.html))) for one in sections]
    data = json.dumps(kept, separators=(",", ":")).encode()
    return Tucked(list(sections), base64.b64encode(gzip.compress(data, mtime=0)).decode() if kept else "")
