"""Results folders: report, figures, diff, status, export."""

from __future__ import annotations

import gc
import json
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pabench.cli.arguments import AsJson, Folder
from pabench.cli.terminal import say, tell
from pabench.errors import DataError, RefusedError, SuiteError
from pabench.store.verdict import Tally
from pabench.suite.cell import STATUSES
from pabench.words import count, one_line

if TYPE_CHECKING:  # pandas
    from pabench.report.study import Study


def report(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR", readable=False, help="A results folder, or several as one study.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Default: DIR/report.html. Several folders need it."),
    ] = None,
    checklist: Annotated[
        Path | None, typer.Option(metavar="FILE.tex", help="The reviewer checklist as a LaTeX table, and no page.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the HTML report of a results folder.

    Several folders are one page of studies that were made alike.

    Exit code 4: the studies cannot stand in one table, and why; or the file is there and is no page.
    """
    # a page is made of millions of objects, few of them in cycles: to look for those took a sixth of its time
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)

    if len(folders) > 1 and not output and not checklist:
        raise SuiteError("report: several folders need -o, as in `pabench report A B -o page.html`")
    study, notes = _study(folders)
    for note in notes:
        say(f"note: {note}", error=True)
    if checklist:
        from pabench import registry
        from pabench.store.files import make_folders, replace

        section: Any = registry.plugin("sections", "checklist")
        make_folders(checklist.parent)
        replace(checklist, section().table(study).encode())
        say(f"checklist: {checklist}", error=as_json)
    page = None
    if output or not checklist:
        from pabench.report.page import NAME, write_study

        page = write_study(study, output or folders[0] / NAME)
    if page:
        say(f"report: {page}", error=as_json)
    if as_json:
        from pabench.report.conclusion import lines

        found = {"report": _text(page), "checklist": _text(checklist), "conclusion": lines(study), "left_out": notes}
        tell(found)
    if page and open_it and not webbrowser.open(page.resolve().as_uri()):
        say(f"no browser to open {page} with; open it yourself, or copy it to a machine that has one", error=True)


def _study(folders: Sequence[Path]) -> tuple[Study, list[str]]:
    """The study in a folder, or that of several, and notes on what this leaves out."""
    if len(folders) == 1:
        from pabench.report.folders import read

        return read(folders[0], meanwhile=_load), []
    from pabench.report.join import join

    joint = join(folders)
    return joint, [one.text for one in joint.left_out]


def _load() -> None:
    """What a page is made by: a second of imports, in which another process reads records."""
    from pabench import registry

    import_module("pabench.report.page")
    registry.at_hand("sections")


def _text(path: Path | None) -> str | None:
    return str(path) if path else None


def figures(
    folder: Folder,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="A folder. Default: DIR/figures.")
    ] = None,
) -> None:
    """Write the figures of the report, each as PDF and SVG."""
    from pabench.report.folders import read
    from pabench.report.page import save_figures

    written, problems = save_figures(read(folder), output or folder / "figures")
    for problem in problems:
        say(f"figures: {problem}", error=True)
    say(f"{len(written)} files: {output or folder / 'figures'}")


def diff(
    first: Annotated[Path, typer.Argument(metavar="A", readable=False, help="A results folder.")],
    second: Annotated[Path, typer.Argument(metavar="B", readable=False, help="Another one.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs: everything, no line left out.")] = False,
) -> None:
    """Tell what differs between two studies.

    In which cells, and whether it is beyond noise.

    Exit codes: 0 nothing beyond noise; 3 a change beyond noise, or one cell with two results; 4 no verdict.
    """
    from pabench.cli.difference import difference_text
    from pabench.report.difference import difference

    try:
        found = difference(first, second)
    except DataError as error:
        raise RefusedError(str(error)) from None  # its own code is 3, which here is a verdict
    say(json.dumps(found.to_json(), indent=2) if as_json else difference_text(found))
    raise typer.Exit(found.code)


def status(
    folder: Folder,
    pairing: Annotated[bool, typer.Option("--pairing", help="Prove that criteria of a block were paired.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell what became of every cell, and what is at work."""
    from pabench.report.status import counts
    from pabench.run.claims import runners

    found = {**counts(folder), "runners": [one.to_json() for one in runners(folder)]}
    if pairing:
        from pabench.report.pairings import pairings

        found["pairing"] = pairings(folder)
    say(json.dumps(found, indent=2) if as_json else status_text(found))
    raise typer.Exit(3 if found["failed"] or found.get("pairing", {}).get("unpaired") else 0)


def export(
    folder: Folder,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="A .csv, .json or .parquet file.")],
    as_json: AsJson = False,
) -> None:
    """Write one row per cell as CSV, JSON or Parquet."""
    from pabench.report.table import export as write

    cells = write(folder, output)
    if as_json:
        tell({"file": str(output), "cells": cells})
    else:
        say(f"{cells} cells: {output}")


def status_text(found: Mapping[str, Any]) -> str:
    """What became of the cells, in lines."""
    lines = [f"{found['study']}: {found['cells']} cells: {', '.join(f'{found[name]} {name}' for name in STATUSES)}"]
    if found["broken"] and found["missing"]:  # later ones may have been made in their place
        set_aside = count(found["broken"], "broken record")
        lines.append(f"  {set_aside} set aside (log.txt says why); another run computes what is missing")
    lines += [f"  from the bank {bank}: {n}" for bank, n in found["banks"].items()]
    if found["flagged"]:
        lines.append(f"  {Tally(found['flagged'], found['flags'])}")
    lines += [f"  failed: {f['cell']}: {f['why']}" for f in found["failures"]]
    lines += [line for runner in found.get("runners", ()) for line in _runner_lines(runner)]
    if pairing := found.get("pairing"):
        verdict = "\n".join(f"  {line}" for line in pairing["unpaired"]) or "  every block is paired"
        lines.append(f"pairing: {pairing['blocks']} blocks, {pairing['cells']} cells\n{verdict}")
        lines += [f"  differs by design: {apart}" for apart in pairing["apart"]]
    return "\n".join(lines)


def _runner_lines(runner: Mapping[str, Any]) -> Iterator[str]:
    """Who computes what; of a runner that is dead, that others will do it."""
    last = f"last sign of life {timedelta(seconds=round(runner['silent']))} ago"
    dead = "" if runner["alive"] else ", dead: others take its cells over"
    yield f"  run on {one_line(runner['host'])}, process {runner['pid']}: {last}{dead}"
    for task in runner["running"].values() if runner["alive"] else ():
        epoch = f": epoch {task['epoch']} of {task.get('epochs')}" if "epoch" in task else ""
        yield f"    {one_line(task['title'])}{epoch}"
