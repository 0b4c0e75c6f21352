"""Results folders: report, status, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pabench.commands.arguments import Folder

app = typer.Typer()


@app.command()
def report(
    folder: Folder,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Default: DIR/report.html.")] = None,
) -> None:
    """Write the HTML report of a results folder."""
    from pabench.report import write

    typer.echo(f"report: {write(folder, output)}")


@app.command()
def status(
    folder: Folder,
    pairing: Annotated[bool, typer.Option("--pairing", help="Prove that criteria of a block were paired.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what became of every cell."""
    from pabench.status import counts, describe, pairings

    found = {**counts(folder), **({"pairing": pairings(folder)} if pairing else {})}
    typer.echo(json.dumps(found, indent=2) if as_json else describe(found))
    raise typer.Exit(3 if found["failed"] or found.get("pairing", {}).get("unpaired") else 0)


@app.command()
def export(
    folder: Folder,
    output: Annotated[Path, typer.Option("-o", "--output", help="A .csv, .json or .parquet file.")],
) -> None:
    """Write one row per cell as CSV, JSON or Parquet."""
    from pabench.status import export as write

    typer.echo(f"{write(folder, output)} cells: {output}")
