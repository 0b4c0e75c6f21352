"""The critical-difference diagram: names on a line of mean ranks, bars over those that are not separable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from pabench.statistics.ranktest import Friedman
from pabench.words import number

from .figure import INK, Look, Panel, legend_text, short

WIDTH, LEFT, RIGHT = 8.0, 2.4, 5.6
"""Inches: the figure, and where the line of ranks begins and ends; names stand outside."""
ROW, BAR, TOP = 0.27, 0.12, 0.75


def diagram(found: Friedman, looks: Mapping[str, Look], title: str) -> Panel:
    """The diagram of Demsar (2006): the best at the left, half of the names on either side, none over another."""
    order = sorted(found.ranks, key=lambda name: (found.ranks[name], name))
    bars = _rows([(found.ranks[group[0]], found.ranks[group[-1]]) for group in found.groups])
    first = TOP + 0.3 + BAR * (1 + max((row for row, _, _ in bars), default=-1))
    half = (len(order) + 1) // 2
    height = first + ROW * half + 0.05

    def paint(figure: Figure) -> None:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(height, 0)
        _scale(axes, found)
        for row, low, high in bars:
            ends, y = [_at(low, found) - 0.05, _at(high, found) + 0.05], TOP + 0.2 + BAR * row
            axes.plot(ends, [y, y], color=INK, linewidth=4, solid_capstyle="round")
        for place, name in enumerate(order):
            # the worse half from the bottom up, so that no line to a name crosses another
            row = place if place < half else len(order) - 1 - place
            _name(axes, name, found, looks[name], first + ROW * row, on_left=place < half)

    ranks = ", ".join(f"{name} {number(found.ranks[name])}" for name in order)
    alike = "; ".join(" and ".join(group) for group in found.groups) or "none"
    label = f"Critical-difference diagram of {found.k} criteria, {title}: {ranks}; cannot be told apart: {alike}"
    return Panel(paint, WIDTH, height, f"ranks-{title}", label)


def _at(rank: float, found: Friedman) -> float:
    """Where a rank is on the line."""
    return LEFT + (RIGHT - LEFT) * (rank - 1) / (found.k - 1)


def _name(axes, name: str, found: Friedman, look: Look, y: float, *, on_left: bool) -> None:
    """A criterion's mark on the line, its name at a side, and what joins them."""
    edge, toward, align = (LEFT - 0.15, -0.1, "right") if on_left else (RIGHT + 0.15, 0.1, "left")
    x = _at(found.ranks[name], found)
    axes.plot([x, x, edge], [TOP, y, y], color=INK, linewidth=0.8)
    axes.plot([x], [TOP], color=look.color, marker=look.marker, markersize=6, zorder=3)
    text = f"{legend_text(short(name, 26))}  {number(found.ranks[name])}"
    axes.text(edge + toward, y, text, ha=align, va="center")


def _scale(axes, found: Friedman) -> None:
    """The line of ranks with its ticks, and the critical difference over it where it fits."""
    axes.plot([LEFT, RIGHT], [TOP, TOP], color=INK, linewidth=1)
    for rank in range(1, found.k + 1):
        axes.plot([_at(rank, found)] * 2, [TOP - 0.07, TOP], color=INK, linewidth=1)
        axes.text(_at(rank, found), TOP - 0.11, f"{rank}", ha="center", va="bottom")
    words = f"critical difference {number(found.critical)}"
    if not found.reachable:
        axes.text(LEFT, 0.2, f"{words}: longer than the line", ha="left", va="center")
        return
    end = _at(1 + found.critical, found)
    axes.plot([LEFT, LEFT, LEFT, end, end, end], [0.14, 0.26, 0.2, 0.2, 0.14, 0.26], color=INK, linewidth=1)
    axes.text(end + 0.1, 0.2, words, ha="left", va="center")


def _rows(spans: Sequence[tuple[float, float]]) -> list[tuple[int, float, float]]:
    """Spans with the first row in which each touches no other."""
    rows: list[list[tuple[float, float]]] = []
    placed = []
    for low, high in spans:
        row = next((i for i, taken in enumerate(rows) if all(low > end or high < start for start, end in taken)), None)
        if row is None:
            row = len(rows)
            rows.append([])
        rows[row].append((low, high))
        placed.append((row, low, high))
    return placed
