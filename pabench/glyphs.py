"""Outlines of the letters in a page's figures: with them the page's script writes PDFs that need no font."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from pathlib import Path

TEXT = re.compile(r"<text([^>]*)>([^<]*)</text>")
FIGURE = re.compile(r'<svg[^>]*class="figure".*?</svg>', re.S)
BOLD = re.compile(r'font-weight="(?:600|700|bold)"')
FACES = {"regular": "DejaVuSans.ttf", "bold": "DejaVuSans-Bold.ttf"}
Outlines = dict[str, dict[str, tuple[int, str]]]


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
    font.set_size(1000, 72)
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
