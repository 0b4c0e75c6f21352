"""Suites: run, plan, validate, schema, fetch."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pabench.cli import completion
from pabench.cli.arguments import (
    AsJson,
    CriteriaOfSuite,
    Device,
    Plugin,
    Seeds,
    Set,
    SuiteName,
    overrides as overriding,
    plugin_files,
)
from pabench.cli.terminal import aside, ended_by_ctrl_c, say, tell
from pabench.errors import SuiteError

if TYPE_CHECKING:
    from pabench.run.session import Session


def run(
    suite: SuiteName,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", readable=False, help="Default: results/SUITE."),
    ] = None,
    criterion: CriteriaOfSuite = None,
    seeds: Seeds = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "-j",
            "--jobs",
            min=1,
            metavar="N",
            help="Cells at once. Default: one per core, up to 4 a GPU, all on a cluster.",
        ),
    ] = None,
    device: Device = "auto",
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.engines,
            help="processes, inline for debugging, ray or slurm (docs/cluster.md).",
        ),
    ] = "processes",
    engine_arg: Annotated[
        list[str] | None,
        typer.Option("--engine-arg", metavar="KEY=VALUE", help="For the engine: partition=gpu, time=2:00:00."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Cells that agree: criterion=snip, sparsity=0.9,0.95, seed=0."),
    ] = None,
    overrides: Set = None,
    plugin: Plugin = None,
    bank: Annotated[
        list[Path] | None,
        typer.Option(
            "--bank", metavar="DIR", help="Take finished cells from a results folder, a submission or a site."
        ),
    ] = None,
    retry: Annotated[str, typer.Option(metavar="failed", help="Run failed cells again: --retry failed.")] = "",
    log: Annotated[
        list[str] | None,
        typer.Option("--log", metavar="NAME", help="Tell a tracker of each epoch: tensorboard, wandb, mlflow."),
    ] = None,
    masks_only: Annotated[
        bool, typer.Option("--masks-only", help="Make and measure the masks, and train nothing.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the grid, what is done and an estimate.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Go ahead with more than 10,000 cells.")] = False,
    allow_env_drift: Annotated[
        bool, typer.Option("--allow-env-drift", help="Go on in a folder begun with other versions or hardware.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a suite, or go on where it stopped. Writes one record a cell, and a report.

    Exit codes: 0 all cells ok; 2 invalid suite; 3 some cells failed; 4 refused; 5 data, device or plugin missing;
    75 and 130 stopped, resumable.
    """
    if retry not in ("", "failed"):
        raise SuiteError(f"--retry {retry}: expected `--retry failed`")
    overrides, plugin = _changed(suite, overrides, criterion, seeds, plugin)
    from pabench.run.loading import look

    look(suite, overrides, yes=yes)
    with ended_by_ctrl_c():
        from pabench.cli import forecast, running
        from pabench.run.session import Options, Session

    options = Options(
        suite=suite,
        output=output,
        jobs=jobs,
        device=device,
        engine=engine,
        engine_args=engine_arg,
        only=only,
        overrides=overrides,
        plugins=plugin,
        retry=retry == "failed",
        masks_only=masks_only,
        yes=yes,
        allow_env_drift=allow_env_drift,
        banks=bank,
        log=log,
    )
    with aside(as_json):
        session = Session.open(options)
        if dry_run:
            code, told = forecast.dry_run(session)
        else:
            shown: dict[str, Any] = {}
            code = running.carry_out(session, shown)
            told = running.outcome(session, code, shown) if as_json else {}
    if as_json:
        tell(told)
    raise typer.Exit(code)


def plan(
    suite: SuiteName,
    mde: Annotated[
        float, typer.Option(metavar="POINTS", help="A true difference to be found, in points of top-1.")
    ] = 0.5,
    power: Annotated[float, typer.Option(metavar="P", help="The chance to find it.")] = 0.8,
    alpha: Annotated[float, typer.Option(metavar="P", help="The level of the test, two-sided.")] = 0.05,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", readable=False, help="The study's folder. Default: results/SUITE."
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A results folder to take spread and times from. Default: the study's own."),
    ] = None,
    criterion: CriteriaOfSuite = None,
    seeds: Seeds = None,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", min=1, metavar="N", help="Cells at once, as in run.")
    ] = None,
    device: Device = "auto",
    overrides: Set = None,
    plugin: Plugin = None,
    yes: Annotated[bool, typer.Option("--yes", help="Go ahead with more than 10,000 cells.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell the cost of a suite, and what it can show. Nothing is run."""
    overrides, plugin = _changed(suite, overrides, criterion, seeds, plugin)
    from pabench.run.loading import look

    look(suite, overrides, yes=yes)
    from pabench.cli.forecast import describe
    from pabench.cli.running import tell_data
    from pabench.run.outlook import Wish, outlook

    with ended_by_ctrl_c():
        from pabench.run.session import Options, Session

    wish = Wish(mde, power, alpha)
    session = Session.open(
        Options(suite=suite, output=output, jobs=jobs, device=device, overrides=overrides, plugins=plugin, yes=yes)
    )
    found = outlook(session, wish, records)
    say(json.dumps(asdict(found), indent=2) if as_json else describe(found))
    raise typer.Exit(tell_data(session, "missing data"))


def validate(
    suite: SuiteName,
    criterion: CriteriaOfSuite = None,
    seeds: Seeds = None,
    overrides: Set = None,
    plugin: Plugin = None,
    yes: Annotated[bool, typer.Option("--yes", help="Go ahead with more than 10,000 cells.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a suite without running it: every error, with its line."""
    try:
        session = _validated(suite, *_changed(suite, overrides, criterion, seeds, plugin), yes=yes)
    except SuiteError as error:
        if not as_json:
            raise
        tell({"suite": suite, "valid": False, "cells": None, "findings": str(error).splitlines(), "missing": []})
        raise typer.Exit(error.exit_code) from None
    from pabench.cli.running import tell_data

    if as_json:
        missing = [*session.gaps, *session.broken]
        tell(
            {
                "suite": str(session.path),
                "valid": True,
                "cells": len(session.cells),
                "findings": [],
                "missing": missing,
            }
        )
    else:
        say(f"{session.path}: valid, {len(session.cells)} cells")
    raise typer.Exit(tell_data(session, "missing data"))


def _validated(suite: str, overrides: list[str], plugin: list[Path], *, yes: bool) -> Session:
    from pabench.run.loading import look

    look(suite, overrides, yes=yes)
    with ended_by_ctrl_c():
        from pabench.run.session import Options, Session

    return Session.open(Options(suite=suite, overrides=overrides, plugins=plugin, yes=yes))


def _changed(
    suite: str, given: list[str] | None, criteria: list[str] | None, seeds: int | None, plugin: list[Path] | None
) -> tuple[list[str], list[Path]]:
    """The overrides and the plugin files that options of a command make of a suite."""
    from pabench import registry
    from pabench.suite.suite import find

    beside = registry.drop_ins(find(suite), ()) if criteria else ()
    return overriding(given, criteria, seeds), plugin_files(plugin, criteria, beside)


def schema() -> None:
    """Print the JSON Schema of suites, for editors."""
    from pabench.suite.suite import json_schema

    say(json.dumps(json_schema(), indent=2))


def fetch(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", autocompletion=completion.datasets, help="cifar10, cifar100, mnist, fashion_mnist, svhn."
        ),
    ],
    path: Annotated[str, typer.Option(metavar="DIR", help="Where to. Default: $PABENCH_DATA, or the cache.")] = "",
) -> None:
    """Download a dataset and check it."""
    from pabench import registry
    from pabench.parameters import create

    found: Any = create(registry.plugin("datasets", dataset), {"path": path}, dataset)
    if found.missing():
        found.fetch()
    say(f"{dataset}: {found.folder} (sha256 {found.fingerprint()[:16]}...)")
