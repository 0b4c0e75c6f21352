"""The interface of a report section, and the study it sees."""

from __future__ import annotations

import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pabench import wording
from pabench.cell import Cell
from pabench.measurement import Measurements, MetricSpec


@dataclass(frozen=True)
class Study:
    """A study as its results folder tells it.

    `manifest` is study.json. `frame` has one row per expected cell, in the order of the study, whatever became of it
    (`pabench.frame`). `records` are the finished cells by key. `strays` are keys of records that no expected cell has.
    `metrics` are those the study asked for, `measured` their numbers; those of single cells are columns of the frame.
    """

    manifest: Mapping[str, Any]
    frame: pd.DataFrame
    records: Mapping[str, Mapping[str, Any]]
    strays: tuple[str, ...] = ()
    metrics: tuple[MetricSpec, ...] = ()
    measured: Measurements = field(default_factory=Measurements)

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """By key, in the order of the frame; what an older schema does not have is at its default."""
        return {cell.key: cell for cell in map(Cell.from_json, self.manifest["cells"])}

    @property
    def environments(self) -> list[Mapping[str, Any]]:
        """Those of the records; the study's own where there are none."""
        found = [record.get("environment") or {} for record in self.records.values()]
        return found or [self.manifest.get("environment") or {}]

    def columns(self, metric: str) -> list[str]:
        """The frame's columns with the numbers of a metric."""
        return [name for name in self.frame.columns if name == metric or name.startswith(f"{metric}.")]

    @property
    def plain(self) -> pd.DataFrame:
        """The rows of `frame` that are no ablation: what criteria are compared by."""
        return self.frame[self.frame["ablation"] == ""]


class Section(ABC):
    """One part of the page, in a file of its own. It sees records and nothing else, and imports no torch.

    `order` places it: built-in sections are at 10, 20, ... 90. `name` is its anchor.
    """

    kind: ClassVar[str] = "sections"
    name: ClassVar[str]
    title: ClassVar[str]
    order: ClassVar[int]

    @abstractmethod
    def render(self, study: Study) -> str | None:
        """The section's HTML without its heading; None where the study has nothing for it."""

    def fill(self, template: str, **values: Any) -> Markup:
        """A jinja2 template of the folder `templates` beside this class's file, with every value escaped."""
        folder = Path(inspect.getfile(type(self))).parent / "templates"
        return Markup(templates(folder).get_template(template).render(values))


@cache
def templates(folder: Path) -> Environment:
    """Templates of a folder: values are escaped, a name that is not given is an error."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(wording.FILTERS)
    return environment


def script_json(value: Any) -> Markup:
    """JSON that can stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
