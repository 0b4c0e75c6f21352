"""Records to one self-contained HTML file: no network, no plugin of a study, the same bytes for the same records."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from pabench import registry
from pabench.report.folders import read
from pabench.report.section import Section, script_json, templates
from pabench.report.study import Study
from pabench.store.files import replace
from pabench.words import plain

TEMPLATES = Path(str(files("pabench_reports"))) / "templates"
NAME = "report.html"
SCRIPTS = ("page", "figures", "pdf", "cells", "exports", "detail", "table")
"""Files of the page's one script, in this order: later ones use the names of earlier ones."""


# what the letters of figures are found by: all that matplotlib writes, after `figure` has made it the page's
TEXT = re.compile(r"<text([^>]*)>([^<]*)</text>")
FIGURE = re.compile(r'<svg[^>]*class="figure".*?</svg>', re.S)
BOLD = re.compile(r'font-weight="(?:600|700|bold)"')
FACES = {"regular": "DejaVuSans.ttf", "bold": "DejaVuSans-Bold.ttf"}
Outlines = dict[str, dict[str, tuple[int, str]]]


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
    """Render a study to `out`; returns where it is. OSError: it cannot be written."""
    text = render(study)
    out.parent.mkdir(parents=True, exist_ok=True)
    replace(out, text.encode())
    return out


def render(study: Study) -> str:
    """The page of a study, every section of the registry in its order."""
    name = plain(study.manifest.get("title") or study.manifest["name"])
    return page(name, [section for section in sections(study) if section.html or section.problem])


def page(name: str, sections: Sequence[Rendered]) -> str:
    """A page of sections with its style, its script and the policy that allows them.

    A section's HTML has no inline style and no handler: the policy blocks both.
    """
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    parts = [(TEMPLATES / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    # one script in a function of its own, so that nothing on the page is global
    script = "\n".join(['"use strict";', "(() => {", *parts, "})();\n"])
    policy = (
        f"default-src 'none'; img-src data:; script-src '{policy_hash(script)}'; style-src '{policy_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        templates(TEMPLATES)
        .get_template("page.html.j2")
        .render(
            name=name,
            policy=policy,
            style=Markup(style),
            script=Markup(script),
            glyphs=script_json(glyphs(section.html for section in sections)),
            sections=sections,
        )
    )


def sections(study: Study) -> list[Rendered]:
    """What every section of the registry makes of a study, in their order; "" where one has nothing to say."""
    group = registry.group("sections")
    classes = sorted(group.classes.values(), key=lambda cls: (cls.order, cls.name))  # type: ignore[attr-defined]
    rendered = [_render(cls(), study) for cls in classes]
    return rendered + [Rendered(plain(b.origin), plain(b.origin), problem=plain(b.reason)) for b in group.broken]


def _render(section: Section, study: Study) -> Rendered:
    try:
        rendered = section.render(study)
    except Exception as error:
        return Rendered(section.name, section.title, problem=registry.complaint(error))
    return Rendered(section.name, section.title, html=Markup(rendered) if rendered else "")


def policy_hash(text: str) -> str:
    """What a Content-Security-Policy calls an inline script or style by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def glyphs(pages: Iterable[str]) -> Outlines:
    """By face and character: advance and path (M, L, Q, C, Z) in thousandths of the font size, y upwards.

    Of the characters in the figures alone; the face is the one that matplotlib laid the texts out with. A character
    that it lacks has the outline of its empty box.
    """
    wanted: dict[str, set[str]] = {face: set() for face in FACES}
    for page in pages:
        for figure in FIGURE.findall(page):
            for attributes, text in TEXT.findall(figure):
                wanted["bold" if BOLD.search(attributes) else "regular"] |= set(html.unescape(text))
    return {face: _outlines(file, wanted[face]) for face, file in FACES.items() if wanted[face]}


def _outlines(file: str, characters: set[str]) -> dict[str, tuple[int, str]]:
    import matplotlib as mpl
    from matplotlib.ft2font import FT2Font, LoadFlags

    font = FT2Font(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / file))
    font.set_size(1000, 72)  # 1000 points of 1/72 inch at 72 dots an inch: one unit is a thousandth of the size
    found = {}
    for character in sorted(characters):
        glyph = font.load_char(ord(character), flags=LoadFlags.NO_HINTING)
        found[character] = (round(glyph.linearHoriAdvance / 65536), _path(*font.get_path()))
    return found


def _path(vertices, codes) -> str:
    """An outline in the words of SVG; a curve's points follow one another, its command stands before the first."""
    words, at = {1: ("M", 1), 2: ("L", 1), 3: ("Q", 2), 4: ("C", 3), 79: ("Z", 0)}, 0
    parts = []
    while at < len(codes):
        letter, points = words[int(codes[at])]
        numbers = [f"{round(float(v))}" for point in vertices[at : at + points] for v in point]
        parts.append(letter + " ".join(numbers))
        at += max(1, points)
    return "".join(parts)
