"""The interface of a report section, and the study it sees."""

from __future__ import annotations

import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pabench import words
from pabench.report.study import Study


class Picture(Protocol):
    """A figure that can be written to files."""

    def save(self, folder: Path) -> list[Path]:
        """Write it into a folder, as PDF and SVG; returns where it is."""


class Section(ABC):
    """One part of the page, in a file of its own. It sees records and nothing else, and imports no torch.

    `order` places it: built-in sections are at 10, 20, ... 90. `name` is its anchor.
    """

    kind: ClassVar[str] = "sections"
    name: ClassVar[str]
    title: ClassVar[str]
    order: ClassVar[int]
    boards: ClassVar[bool] = False
    """Whether it looks at `study.boards`, which take a while: one process makes them, and renders those that do."""
    seen: ClassVar[Literal["each", "first", "all"]] = "each"
    """Of a study with several trainings: `each` by itself, which is what compares criteria; the `first`, for what is of
    masks and the same in all of them; `all` at once, for what lists and counts."""

    @abstractmethod
    def render(self, study: Study) -> str | None:
        """The section's HTML without its heading; None where the study has nothing for it."""

    def figures(self, study: Study) -> Sequence[Picture]:
        """What the section draws, for `pabench figures`; none by default."""
        return ()

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
    environment.filters.update(words.FILTERS)
    return environment


def script_json(value: Any) -> Markup:
    """JSON that can stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
