"""seaborn and matplotlib figures as inline SVG that follows the page: its fonts, light and dark, no style attribute."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from pabench.report.frame import pruned, reference_lines
from pabench.statistics.intervals import Interval
from pabench.words import number

INK = "#010203"
"""Colour of all text and axes; becomes `currentColor`."""
QUIET = "#040506"
"""Colour of grid lines; becomes the page's own."""
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#a0522d", "#7a6fd0")
"""After Okabe & Ito (2008), for any colour vision and for light and dark ground."""
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p", "h", "<", ">")
INTERVAL = "95 % t interval of the mean"
"""What the bars of every figure are; those of accuracies end at 0 and 100."""
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (1.5, 1.5), (5, 1.5, 1.5, 1.5), (8, 2), (3, 1, 1, 1, 1, 1))

SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
RC: dict[str, Any] = {
    **{f"{part}.color": INK for part in ("text", "xtick", "ytick")},
    **{f"axes.{part}": INK for part in ("edgecolor", "labelcolor", "titlecolor")},
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "font.size": 9.5,
    "grid.color": QUIET,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "pabench",
    "text.parse_math": False,
    "text.usetex": False,
}


@dataclass(frozen=True)
class Look:
    """How a criterion is drawn everywhere on the page."""

    color: str
    marker: str
    dashes: tuple[float, ...]

    @property
    def line(self) -> tuple[float, tuple[float, ...] | None]:
        """matplotlib's line style."""
        return (0, self.dashes or None)


@dataclass(frozen=True)
class Tabled:
    """A figure's numbers as a table: the headings, and lines of a name and as many texts as headings follow it."""

    heads: tuple[str, ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Drawn:
    """A figure, the sentences under it, and its numbers for whoever cannot see it or wants them exactly."""

    title: str
    svg: Markup
    notes: tuple[str, ...]
    numbers: Tabled | None = None


def looks(criteria: Sequence[str], beside: Collection[str] = ()) -> dict[str, Look]:
    """A look for each criterion, by its place in the study; `random` is grey and dotted.

    Reference lines (`beside`) have the colour of the text, as the dense baseline, and take no colour from a criterion.
    """
    others = [name for name in criteria if name != "random" and name not in beside]
    found = {
        name: Look(COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])
        for i, name in enumerate(others)
    }
    lines = [name for name in criteria if name in beside]
    found |= {name: Look(INK, MARKERS[-1 - i % 4], DASHES[1 + i % 5]) for i, name in enumerate(lines)}
    return {name: found.get(name, Look("#868e96", "x", (1.5, 1.5))) for name in criteria}


def looks_of(frame: pd.DataFrame) -> dict[str, Look]:
    """Those of the criteria and reference lines of a study."""
    return looks(list(pruned(frame)["criterion"].unique()), reference_lines(frame))


def legend_text(name: str) -> str:
    """A name as matplotlib shows it whole: a leading underscore would hide the entry."""
    return f"\u200b{name}" if name.startswith("_") else name


def short(name: str, length: int = 34) -> str:
    """A name that leaves room for the figure."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def with_limits(mean: Interval) -> str:
    """
    >>> with_limits(Interval(90.0, 89.5, 90.5, 3, "t")), with_limits(Interval(90.0, None, None, 1, "none"))
    ('90.00 [89.50, 90.50]', '90.00')
    """
    return number(mean.mean) + (f" [{number(mean.low)}, {number(mean.high)}]" if mean.low is not None else "")


def log_axis(axes: Any, ticks: LogLocator, text: Callable[[float], str], label: str) -> None:
    """A horizontal axis on a logarithmic scale, with ticks where `ticks` says and none between them."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axes.minorticks_off()
    axes.set_xlabel(label)


def svg(paint: Callable[[Figure], None], *, width: float, height: float, name: str, label: str) -> Markup:
    """What `paint` draws, as inline SVG. `name` keeps its ids apart from other figures', `label` is read aloud.

    Sizes in inches at 96 pixels; the page shrinks what is too wide.
    """
    with mpl.rc_context(sns.axes_style("ticks") | RC):
        figure = Figure(figsize=(width, height), layout="constrained")
        canvas = FigureCanvasSVG(figure)
        paint(figure)
        buffer = BytesIO()
        # not `savefig`, which draws a figure with a layout twice: once for the places of things, once to be seen
        canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    return Markup(_inline(buffer.getvalue(), re.sub(r"[^a-z0-9]+", "-", name.lower()), label))


def _inline(data: bytes, prefix: str, label: str) -> str:
    root = ElementTree.fromstring(data)
    for child in [x for x in root if x.tag == f"{SVG}metadata"]:
        root.remove(child)
    for definitions in list(root.iter(f"{SVG}defs")):
        for style in definitions.findall(f"{SVG}style"):
            definitions.remove(style)
    for element in root.iter():
        _own_style(element)
        _own_ids(element, prefix)
        element.tag = element.tag.removeprefix(SVG)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    width = float(root.attrib["viewBox"].split()[2])
    root.attrib |= {"role": "img", "aria-label": label, "class": "figure", "width": f"{width * 96 / 72:.0f}"}
    text = ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
    text = re.sub(r">\s+<", "><", text)
    return text.replace(INK, "currentColor").replace(QUIET, "var(--grid)")


def _own_style(element: ElementTree.Element) -> None:
    """Style attributes, which the page's policy blocks, become presentation attributes; the page chooses the font."""
    for declaration in element.attrib.pop("style", "").split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font":
            size = re.search(r"([\d.]+)px", value)
            element.attrib["font-size"] = size.group(1) if size else "10"
            if "bold" in value or "700" in value:
                element.attrib["font-weight"] = "600"
        elif key == "font-size":
            element.attrib[key] = value.removesuffix("px")
        elif key and key not in ("font-family", "-inkscape-stroke"):
            element.attrib[key] = value


def _own_ids(element: ElementTree.Element, prefix: str) -> None:
    if "id" in element.attrib:
        element.attrib["id"] = f"{prefix}-{element.attrib['id']}"
    if target := element.attrib.pop(f"{XLINK}href", None):
        element.attrib["href"] = f"#{prefix}-{target[1:]}" if target.startswith("#") else target
    for key, value in element.attrib.items():
        element.attrib[key] = re.sub(r"url\(#", f"url(#{prefix}-", value)
