"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A suite file, or the name of one that ships.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Change a key: recipe.epochs=2, datasets.0.path=/data.")]
Plugin = Annotated[list[Path] | None, typer.Option("--plugin", help="A file with criteria, datasets or metrics.")]
