"""The road to a leaderboard: submit, verify, publish."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pabench.cli import completion
from pabench.cli.arguments import AsJson, Folder, Plugin, assigned, datasets
from pabench.cli.terminal import say, steps, tell
from pabench.errors import SuiteError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pabench.leaderboard.compute import Watts
    from pabench.leaderboard.verification.verify import Verification


SHOWN = 20
"""Flaws that a person is shown: one lie may be found in every file."""


def submit(
    folder: Folder,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="A folder that is new or empty.")],
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Go ahead although some cells were not run.")
    ] = False,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Make a submission of a results folder.

    Records, masks, sources and hashes; nothing of your machine.
    """
    from pabench.leaderboard.submission import submit as make
    from pabench.words import size

    made = make(folder, output, incomplete=incomplete, plugins=plugin or ())
    for note in made.notes:
        say(f"note: {note}", error=True)
    if as_json:
        tell({**asdict(made), "folder": str(made.folder), "notes": list(made.notes)})
        return
    missing = f", {made.missing} of them without a record" if made.missing else ""
    say(f"submission: {made.folder} ({made.cells} cells{missing}, {size(made.bytes)})")
    say(f"digest: {made.digest}")


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A submission, or a results folder.")],
    level: Annotated[
        int,
        typer.Option(min=1, max=4, metavar="N", help="How far to check: 1 form, 2 consistency, 3 masks, 4 trainings."),
    ] = 2,
    sample: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            show_default=False,
            help="How many cells levels 3 and 4 compute again. Default: one of each criterion.",
        ),
    ] = 0,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Chooses the cells of levels 3 and 4. Default: another choice each time."
        ),
    ] = None,
    fresh: Annotated[
        int,
        typer.Option(
            "--fresh-seeds", min=1, metavar="N", help="Level 4: how many new seeds each setting is trained with."
        ),
    ] = 3,
    trust: Annotated[
        list[str] | None,
        typer.Option("--trust", metavar="NAME", help="A criterion whose own code may be run; may be repeated."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="NAME=DIR", help="Where a dataset lies: cifar10=/data/cifar10."),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="DEVICE",
            autocompletion=completion.devices,
            help="For levels 3 and 4: auto, cpu, cuda, cuda:1, mps.",
        ),
    ] = "auto",
    engine: Annotated[str, typer.Option(metavar="NAME", help="processes, or inline for debugging.")] = "processes",
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the result for `pabench publish --verified`.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check somebody's results, and tell exactly what is wrong.

    Exit codes: 0 passed; 4 rejected; 5 a level could not be checked here.
    """
    from pabench.leaderboard.verification import certificate, verify as levels

    if engine not in ("processes", "inline"):
        raise SuiteError(f"--engine {engine}: expected processes or inline")
    paths = datasets(data)
    if record:
        certificate.refuse_target(folder, record)  # before what may take hours
    where = None
    if level > 2:
        from pabench.leaderboard.verification.rerun import Where
        from pabench.training.environment import pick_device

        where = Where(tuple(trust or ()), paths, pick_device(device), engine)
    with steps() if level > 2 else nullcontext() as told:
        where = replace(where, told=told) if where and told else where
        found = levels.verify(folder, level, sample=sample, seed=seed, fresh=fresh, where=where)
    say(json.dumps(found.to_json(), indent=2) if as_json else "\n".join(_lines(found)))
    if record:
        levels.record(found, record)
        say(f"record: {record}", error=as_json)
    raise typer.Exit(found.exit_code)


def publish(
    folders: Annotated[
        list[str],
        typer.Argument(metavar="DIR", help="Submissions or results folders; NAME=DIR calls a study by another name."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The site's folder; an earlier site is updated.")
    ],
    verified: Annotated[
        list[Path] | None,
        typer.Option("--verified", metavar="FILE", help="What `verify --record` wrote, or a folder of it."),
    ] = None,
    title: Annotated[
        str, typer.Option(metavar="TEXT", help="Of the site.")
    ] = "Pruning at initialization: leaderboards",
    author: Annotated[
        list[str] | None, typer.Option("--author", metavar="NAME", help="For the citation; may be repeated.")
    ] = None,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Take results folders of which some cells were not run.")
    ] = False,
    masks: Annotated[bool, typer.Option("--masks/--no-masks", help="Whether masks are part of the site.")] = True,
    claims: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What `claims --json` wrote: its table, judged again, is on the site."),
    ] = None,
    licence: Annotated[
        str, typer.Option(metavar="NAME", help="Of results and figures, as https://spdx.org/licenses names it.")
    ] = "CC-BY-4.0",
    watts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=N", help="What a busy processor draws, for the estimate of energy: cpu=12 a core, gpu=200."
        ),
    ] = None,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Write a static leaderboard site: boards, study pages, data.

    Each folder is verified again first (levels 1 and 2).
    """
    from pabench.leaderboard.publish import publish as make
    from pabench.words import size

    made = make(
        folders,
        output,
        verified=verified or (),
        title=title,
        authors=author or (),
        plugins=plugin or (),
        incomplete=incomplete,
        masks=masks,
        claims=claims,
        licence=licence,
        watts=_watts(watts or ()),
    )
    for note in made.notes:
        say(f"note: {note}", error=True)
    if as_json:
        index = str(made.folder / "index.html")
        tell({**asdict(made), "folder": str(made.folder), "index": index, "notes": list(made.notes)})
        return
    say(f"site: {made.folder / 'index.html'} ({made.files} files, {size(made.bytes)})")
    say(f"changed: {made.changed}, removed: {made.removed}")


def _watts(given: Sequence[str]) -> Watts:
    from pabench.leaderboard.compute import Watts

    said = assigned("--watts", given, "cpu=12", form="KIND=N")
    for kind, text in said.items():
        if kind not in ("cpu", "gpu"):
            raise SuiteError(f"--watts {kind}={text}: {did_you_mean(kind, ('cpu', 'gpu'))}")
        if not re.fullmatch(r"\d{1,5}(\.\d+)?", text) or not float(text):
            raise SuiteError(f"--watts {kind}={text}: expected a number of watts above 0, as --watts {kind}=12")
    return Watts(**{kind: float(text) for kind, text in said.items()})


def _lines(found: Verification) -> list[str]:
    """What a person reads."""
    from pabench.leaderboard.verification.level import NAMES
    from pabench.words import count, plain

    study, records = found.found.foreign.study or {}, found.found.records.values()
    statuses = [record["status"] for record in records]
    counted = {status: statuses.count(status) for status in ("ok", "failed", "skipped")}
    ended = ", ".join(f"{n} {status}" for status, n in counted.items() if n)
    kind = "submission" if found.found.foreign.is_submission else "results folder"
    lines = [f"{plain(study.get('name', found.folder))}: {kind}, digest {found.digest}"]
    lines += [f"  {count(len(found.found.cells), 'cell')}: {ended or 'no record'}, {len(found.found.missing)} missing"]
    for level in found.levels:
        unable = all(flaw.unable for flaw in level.flaws)
        verdict = "passed" if level.passed else "could not be checked" if unable else "FAILED"
        lines.append(f"level {level.number}, {NAMES[level.number]}: {verdict}")
        lines += [f"  {plain(o['title'])}: {o['outcome']}" for o in level.outcomes]
        lines += [f"  {flaw}" for flaw in level.flaws[:SHOWN]]
        lines += [f"  and {len(level.flaws) - SHOWN} more (--json has all)"] * (len(level.flaws) > SHOWN)
        lines += [f"  note: {plain(note)}" for note in level.notes]
    return lines
