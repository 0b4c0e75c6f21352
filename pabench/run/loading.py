"""A suite in Python, without running it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pabench.suite import grid
from pabench.suite.suite import draft, find

if TYPE_CHECKING:
    from pabench.run.session import Session


def load_suite(suite: str | Path, *, overrides: Sequence[str] = (), device: str = "auto", yes: bool = False) -> Session:
    """A validated suite, by its file or the name of one that ships, with its `cells`; nothing runs.

    `overrides` are those of `--set`: `recipe.epochs=2`; `yes` goes ahead with more than 10,000 cells. `gaps` says which
    data is missing; its cells have no fingerprint, so their keys are not those of a run. SuiteError: all that is wrong
    with the suite, with its lines.
    """
    look(str(suite), overrides, yes=yes)
    from pabench.run.session import Options, Session

    return Session.open(Options(suite=str(suite), overrides=overrides, device=device, yes=yes))


def look(suite: str, overrides: Sequence[str], *, yes: bool) -> None:
    """SuiteError where nothing of a suite can be read, or it has more cells than somebody means who does not say so;
    before anything is imported that takes its time."""
    drafted = draft(find(suite), overrides)
    if not yes:
        grid.refuse_many(drafted)
