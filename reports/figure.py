"""seaborn and matplotlib figures as inline SVG that follows the page: its fonts, light and dark, no style attribute."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG, RendererSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.ticker import FuncFormatter, LogLocator

from pabench.report.frame import criteria_of, reference_lines
from pabench.statistics.intervals import Interval
from pabench.store.files import replace
from pabench.store.quality import TOP1, Quality
from pabench.suite.digest import digest

INK = "#010203"
"""Colour of all text and axes; becomes `currentColor`."""
QUIET = "#040506"
"""Colour of grid lines; becomes the page's own."""
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#a0522d", "#7a6fd0")
"""After Okabe & Ito (2008), for any colour vision and for light and dark ground."""
GREY = "#868e96"
RANDOM = ("random", *(f"random (allocation={rule})" for rule in ("erk", "uniform", "er", "balanced", "lamp")))
"""What is grey: random pruning, however its layers are sized."""
OWN = (
    *("magnitude", "snip", "grasp", "synflow", "force", "iter_snip", "ntk_sap", "prospr"),
    *("phew", "px", "fisher", "fts", "hutchinson", "hts", "grad_norm", "npb", "widetopo", "synflow_l2"),
)
"""The built-in criteria: each has a look of its own on all pages. Most studies have the first: they share no colour."""
LINES = ("magnitude_after_training", "learning_rate_rewinding", "gradual_magnitude", "small_dense")
"""The built-in reference lines."""
ALIKE = 88
"""Places from one to the next of equal colour and marker."""
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


FILES: dict[str, Any] = {"grid.color": "#d9dde2", "pdf.fonttype": 42, "svg.fonttype": "path"}
"""What is otherwise in a file than on the page, for letters that every printer has."""
MARK = "mark:"
SQUARES = "squares"
"""The gid of what lies under all squares of a `Grid`, where that is no image."""
UNDATED: dict[str, Any] = {"Date": None, "Creator": None}
END = "</svg>"
KEYS_ACROSS = 3
WIDTH = 4.1
"""Inches of a panel: three stand side by side, and one fits a phone."""
WIDE = 4.5 * 72
"""Points: a wider drawing is scrolled on a phone, as its letters would be too small."""


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
class Key:
    """An entry of a legend: what it is called, and how it is drawn; `line` False: as points alone."""

    name: str
    look: Look
    line: bool = True

    @property
    def swatch(self) -> Markup:
        """A small drawing of it, with matplotlib's own marker."""
        color = "currentColor" if self.look.color == INK else self.look.color
        dashes = f' stroke-dasharray="{" ".join(f"{1.4 * d:g}" for d in self.look.dashes)}"' if self.look.dashes else ""
        line = f'<path d="M0 6H28" stroke="{color}" stroke-width="1.8"{dashes}/>' if self.line else ""
        point = f'<path d="{_outline(self.look.marker)}" fill="{color}" stroke="{color}"/>' if self.look.marker else ""
        return Markup(
            f'<svg class="swatch" viewBox="0 0 28 12" width="28" height="12" aria-hidden="true">{line}{point}</svg>'
        )

    @property
    def handle(self) -> Line2D:
        """What a legend of matplotlib shows it by."""
        style: dict[str, Any] = {"color": self.look.color, "marker": self.look.marker or None, "markersize": 5}
        line = self.look.line if self.line else "none"
        return Line2D([], [], linestyle=line, label=legend_text(short(self.name)), **style)


@dataclass(frozen=True)
class Grid:
    """What the squares of a heat map or the bins of a histogram say, from the top left: the names of its rows and
    columns, and a text for each."""

    rows: Sequence[str]
    columns: Sequence[str]
    texts: Sequence[Sequence[str]]


class Plate:
    """One figure for panels of the same size and frame, as a film has one background for all of its pictures.

    What differs from panel to panel is `animated`, as matplotlib calls it, and not drawn without a plate. The rest is
    laid out and drawn for the first.
    """

    def __init__(self) -> None:
        self._figure: Figure | None = None
        self._frame, self._prefix = "", ""

    def drawn(self, paint: Callable[[Figure], None], size: tuple[float, float], prefix: str) -> tuple[bytes, str]:
        """What a panel of this size in inches shows alone, as SVG, and what it shares, as elements of its page."""
        if self._figure is None:
            self._figure, self._prefix = Figure(figsize=size, layout="constrained"), prefix
            paint(self._figure)
            whole = _inline(_svg(self._figure), f"{prefix}-frame", {})
            self._frame = whole[whole.index(">") + 1 : whole.rindex("<")]
            self._figure.set_layout_engine("none")  # everything stays where it is
        else:
            paint(self._figure)
        buffer = StringIO()
        renderer = RendererSVG(*(72 * self._figure.get_size_inches()), buffer, metadata=UNDATED)
        for artist in self._figure.findobj(lambda artist: artist.get_animated()):
            artist.draw(renderer)
        renderer.finalize()
        return buffer.getvalue().encode(), self._frame.replace(self._prefix, prefix)


@dataclass(frozen=True)
class Panel:
    """One drawing of a figure, in inches at 96 pixels; the page shrinks what is too wide.

    `name` tells its ids and its file from others', `label` is read aloud. What `paint` gives a `mark` as its gid has a
    tooltip, and goes with its entry of the legend; of a heat map each square of its `grid`. Panels of one `plate` paint
    on one figure, and each changes what is `animated` there.
    """

    paint: Callable[[Figure], None]
    width: float
    height: float
    name: str
    label: str
    grid: Grid | None = None
    plate: Plate | None = None

    @property
    def svg(self) -> Markup:
        """As inline SVG that follows the page."""
        prefix, size, shared = f"f{digest(self.name)[:7]}", (self.width, self.height), ""
        with mpl.rc_context(sns.axes_style("ticks") | RC):
            if self.plate:
                data, shared = self.plate.drawn(self.paint, size, prefix)
            else:
                figure = Figure(figsize=size, layout="constrained")
                self.paint(figure)
                data = _svg(figure)
        told = {"aria-label": self.label}
        if self.grid:
            told["data-grid"] = json.dumps([self.grid.rows, self.grid.columns, self.grid.texts], separators=(",", ":"))
        own = _inline(data, prefix, told)
        return Markup(own.removesuffix(END) + shared + END)

    def save(self, folder: Path, keys: Sequence[Key]) -> list[Path]:
        """Write it as PDF and SVG, with its legend below it; returns where they are."""
        rows = math.ceil(len(keys) / KEYS_ACROSS)
        made = []
        with mpl.rc_context(sns.axes_style("ticks") | RC | FILES):
            figure = Figure(figsize=(self.width, self.height + 0.25 * rows), layout="constrained")
            self.paint(figure)
            if keys:
                figure.legend(handles=[key.handle for key in keys], loc="outside lower center", ncols=KEYS_ACROSS)
            for artist in figure.findobj(lambda artist: artist.get_gid() is not None):
                artist.set_gid(None)  # tooltips are the page's
            dates: dict[str, dict[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
            for kind, none in dates.items():
                buffer = BytesIO()
                # tight, as a legend of long names is wider than its panel
                figure.savefig(
                    buffer, format=kind, bbox_inches="tight", pad_inches=0.03, metadata={"Creator": None, **none}
                )
                made.append(folder / f"{slug(self.name)}.{kind}")
                replace(made[-1], buffer.getvalue())
        return made


@dataclass(frozen=True)
class Drawn:
    """A figure: its panels side by side with one legend, the sentences under it, and its numbers for whoever cannot see
    it or wants them exactly. `of` is the dataset and model that it shows; "" for all."""

    title: str
    panels: tuple[Panel, ...]
    notes: tuple[str, ...]
    numbers: Tabled | None = None
    keys: tuple[Key, ...] = ()
    of: str = ""

    def save(self, folder: Path) -> list[Path]:
        """Write each panel into a folder, as PDF and SVG; returns where they are."""
        return [path for panel in self.panels for path in panel.save(folder, self.keys)]


def slug(text: str) -> str:
    """
    >>> slug("accuracy-cifar10 · resnet20")
    'accuracy-cifar10-resnet20'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower())


def mark(series: str, told: str = "") -> str:
    """The gid of what a figure draws for an entry of its legend (`series`), with the text of its tooltip."""
    return MARK + json.dumps([series, told])


def _outline(marker: str) -> str:
    """The path of a marker of matplotlib in the middle of a swatch."""
    style = MarkerStyle(marker)
    shape = style.get_path().transformed(style.get_transform())
    lines = [[f"{14 + 8 * x:.1f} {6 - 8 * y:.1f}" for x, y in line] for line in shape.to_polygons(closed_only=False)]
    return "".join(f"M{'L'.join(points)}" for points in lines)


def looks(criteria: Sequence[str], beside: Collection[str] = ()) -> dict[str, Look]:
    """A look for each criterion, the same on all pages where no two of them claim one; random pruning is grey.

    Reference lines (`beside`) have the colour of the text, as the dense baseline.
    """
    grey = [name for name in criteria if re.split("[ @]", name)[0] == "random"]
    others = [name for name in criteria if name not in grey and name not in beside]
    found = {
        name: Look(COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])
        for name, i in _places(others, OWN).items()
    }
    lines = _places([name for name in criteria if name in beside], LINES)
    found |= {name: Look(INK, MARKERS[-1 - i % 4], DASHES[1 + i % 5]) for name, i in lines.items()}
    for name in grey:
        i = RANDOM.index(name) if name in RANDOM else len(RANDOM)
        found[name] = Look(GREY, "x+*1234"[i], DASHES[(2 + i) % len(DASHES)])
    return {name: found[name] for name in criteria}


def _places(names: Sequence[str], own: Sequence[str]) -> dict[str, int]:
    """A number for each name: its place in `own`; a variant's is that of its criterion, where that is not there itself;
    any other has one by its hash, or the next free one."""
    places: dict[str, int] = {}
    for name in sorted(names, key=lambda name: name not in own):
        base = re.split("[ @]", name)[0]
        place = own.index(base) if base in own else -1
        if place < 0 or place in places.values():
            place = len(own) + int(digest(name)[:8], 16) % (ALIKE - len(own))
        while place in places.values():
            place += 1
        places[name] = place
    return places


def looks_of(frame: pd.DataFrame) -> dict[str, Look]:
    """Those of the criteria and reference lines of a study."""
    return looks(criteria_of(frame), reference_lines(frame))


def legend_text(name: str) -> str:
    """A name as matplotlib shows it whole: a leading underscore would hide the entry."""
    return f"\u200b{name}" if name.startswith("_") else name


def short(name: str, length: int = 34) -> str:
    """A name that leaves room for the figure."""
    return name if len(name) <= length else f"{name[: length - 1]}…"


def with_limits(mean: Interval, quality: Quality = TOP1) -> str:
    """Of an interval in points, as its quality is told.

    >>> with_limits(Interval(90.0, 89.5, 90.5, 3, "t")), with_limits(Interval(90.0, None, None, 1, "none"))
    ('90.00 [89.50, 90.50]', '90.00')
    """
    limits = f" [{quality.text(mean.low)}, {quality.text(mean.high)}]" if mean.low is not None else ""
    return quality.text(mean.mean) + limits


def in_unit(axes: Any, quality: Quality) -> None:
    """The ticks of a vertical axis in points are told in the unit of their quality."""
    if quality is not TOP1:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * quality.point:g}".replace("-", "−")))


def log_axis(axes: Any, ticks: LogLocator, text: Callable[[float], str], label: str) -> None:
    """A horizontal axis on a logarithmic scale, with ticks where `ticks` says and none between them."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axes.minorticks_off()
    axes.set_xlabel(label)


def _svg(figure: Figure) -> bytes:
    """A figure as SVG. Not by `savefig`, which draws one with a layout twice: once for the places of things, once to be
    seen."""
    buffer = BytesIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata=UNDATED)
    return buffer.getvalue()


def _inline(data: bytes, prefix: str, told: Mapping[str, str]) -> str:
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
    _shrink(root)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    width = float(root.attrib["viewBox"].split()[2])
    root.attrib |= {
        "role": "img",
        **told,
        "class": "figure wide" if width > WIDE else "figure",
        "width": f"{width * 96 / 72:.0f}",
    }
    text = ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
    text = re.sub(r">\s+<", "><", text.replace(" />", "/>"))
    return text.replace(INK, "currentColor").replace(QUIET, "var(--grid)")


def _shrink(root: ElementTree.Element) -> None:
    """Leave out what draws nothing and names nothing: half of what matplotlib writes."""
    written = [value for element in root.iter() for key, value in element.attrib.items() if key != "id"]
    named = {name for value in written for name in re.findall(r"^#(.+)|url\(#([^)]+)\)", value) for name in name}
    for element in root.iter():
        if element.attrib.get("id") not in named:
            element.attrib.pop("id", None)
        for key in ("d", "x", "y", "transform", "width", "height"):
            if key in element.attrib:
                element.attrib[key] = _rounded(element.attrib[key])
        if element.attrib.get("transform", "").startswith("rotate(-0 "):
            del element.attrib["transform"]
    _unwrap(root)


def _rounded(numbers: str) -> str:
    """Coordinates to a hundredth of a point, and their spaces once."""
    short = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), numbers)
    return re.sub(r" *([MLQCZz]) *", r"\1", re.sub(r"\s+", " ", short)).strip()


def _unwrap(element: ElementTree.Element) -> None:
    """Take the children of groups that say nothing out of them, and away what is neither filled nor stroked."""
    children: list[ElementTree.Element] = []
    for child in element:
        _unwrap(child)
        unseen = child.tag == "path" and child.attrib.get("fill") == "none" and "stroke" not in child.attrib
        if child.tag == "g" and not child.attrib:
            children += list(child)
        elif not ((unseen and "id" not in child.attrib) or (child.tag == "defs" and not len(child))):
            children.append(child)
    element[:] = children


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
    if (name := element.attrib.get("id", "")).startswith(MARK):
        series, told = json.loads(name.removeprefix(MARK))
        del element.attrib["id"]
        element.attrib |= {"data-series": series, **({"data-tip": told} if told else {})}
    if element.attrib.get("id") == SQUARES:
        element.attrib["class"] = element.attrib.pop("id")
    if "id" in element.attrib:
        element.attrib["id"] = f"{prefix}-{element.attrib['id']}"
    if target := element.attrib.pop(f"{XLINK}href", None):
        element.attrib["href"] = f"#{prefix}-{target[1:]}" if target.startswith("#") else target
    for key, value in element.attrib.items():
        element.attrib[key] = re.sub(r"url\(#", f"url(#{prefix}-", value)
