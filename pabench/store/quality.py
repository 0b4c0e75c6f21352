"""The number of a result that criteria are compared by: top-1 accuracy, or R² where targets are numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pabench.words import number


@dataclass(frozen=True)
class Quality:
    """How a quality is called and told. Higher is better.

    `name` is its key in a result and in a curve. Statistics count in points: one is `point` of it, so that a percent of
    accuracy and a hundredth of R² are told apart alike. `head` is a column of it, `axis` the axis of a figure.
    """

    name: str
    title: str
    head: str
    axis: str
    unit: str
    point: float
    digits: int

    def text(self, points: float | None) -> str:
        """A value that statistics hold in points, in its own unit, without the sign of the unit.

        >>> TOP1.text(93.456), R2.text(93.456), R2.text(-20)
        ('93.46', '0.9346', '−0.2000')
        """
        return number(points if points is None else points * self.point, self.digits)

    def told(self, value: float) -> str:
        """A value as a result holds it.

        >>> TOP1.told(93.456), R2.told(0.93456)
        ('93.46 %', 'R² 0.9346')
        """
        return f"{number(value, self.digits)} %" if self is TOP1 else f"{self.title} {number(value, self.digits)}"


TOP1 = Quality("top1", "top-1", "top-1 %", "top-1 accuracy, %", " %", 1.0, 2)
R2 = Quality("r2", "R²", "R²", "R²", "", 0.01, 4)
"""1 - MSE / variance of the targets: 1 is exact, 0 is as good as their mean, and it may be negative."""
QUALITIES = {quality.name: quality for quality in (TOP1, R2)}


def quality_of(result: Mapping[str, Any]) -> Quality:
    """What a result, or anything else with the number in it, is compared by; top-1 where it has neither."""
    return R2 if R2.name in result else TOP1


def value_of(result: Mapping[str, Any]) -> float:
    """The number that a result is compared by, in its own unit."""
    return float(result[quality_of(result).name])


def told(result: Mapping[str, Any]) -> str:
    """The quality of a result in words.

    >>> told({"top1": 93.456}), told({"r2": 0.93456})
    ('93.46 %', 'R² 0.9346')
    """
    return quality_of(result).told(value_of(result))


def points_of(result: Mapping[str, Any]) -> float:
    """The same in points."""
    quality = quality_of(result)
    value = float(result[quality.name])
    return value if quality is TOP1 else value / quality.point
