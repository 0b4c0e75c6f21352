"""Suites: run, plan, validate, schema, fetch."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from pabench.cli.arguments import AsJson, Device, Plugin, Set, SuiteName
from pabench.cli.terminal import say
from pabench.errors import SuiteError


def run(
    suite: SuiteName,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", readable=False, help="Default: results/<suite>.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "-j", "--jobs", min=1, help="Cells at once. Default: one per core, up to 4 a GPU, all on a cluster."
        ),
    ] = None,
    device: Device = "auto",
    engine: Annotated[
        str, typer.Option(help="processes, inline for debugging, ray or slurm (docs/cluster.md).")
    ] = "processes",
    engine_arg: Annotated[
        list[str] | None, typer.Option("--engine-arg", help="KEY=VALUE for the engine: partition=gpu, time=2:00:00.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="criterion=snip, sparsity=0.9,0.95, seed=0, ...")] = None,
    overrides: Set = None,
    plugin: Plugin = None,
    bank: Annotated[
        list[Path] | None, typer.Option("--bank", help="Take finished cells from a results folder, submission or site.")
    ] = None,
    retry: Annotated[str, typer.Option(help="failed: run failed cells again.")] = "",
    log: Annotated[
        list[str] | None, typer.Option("--log", help="Tell a tracker of each epoch: tensorboard, wandb, mlflow.")
    ] = None,
    masks_only: Annotated[
        bool, typer.Option("--masks-only", help="Make and measure the masks, and train nothing.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the grid, what is done and an estimate.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Go ahead with more than 10,000 cells.")] = False,
    allow_env_drift: Annotated[
        bool, typer.Option("--allow-env-drift", help="Go on in a folder begun with other versions or hardware.")
    ] = False,
) -> None:
    """Run a suite; resumes by default. Writes one record a cell, and a report."""
    if retry not in ("", "failed"):
        raise SuiteError(f"--retry {retry}: expected `--retry failed`")
    from pabench.run.loading import look

    look(suite, overrides or (), yes=yes)
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
    session = Session.open(options)
    raise typer.Exit(forecast.dry_run(session) if dry_run else running.carry_out(session))


def plan(
    suite: SuiteName,
    mde: Annotated[float, typer.Option(help="A true difference to be found, in points of top-1.")] = 0.5,
    power: Annotated[float, typer.Option(help="The chance to find it.")] = 0.8,
    alpha: Annotated[float, typer.Option(help="The level of the test, two-sided.")] = 0.05,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", readable=False, help="The study's folder. Default: results/<suite>."),
    ] = None,
    records: Annotated[
        Path | None, typer.Option(help="A results folder to take spread and times from. Default: the study's own.")
    ] = None,
    jobs: Annotated[int | None, typer.Option("-j", "--jobs", min=1, help="Cells at once, as in run.")] = None,
    device: Device = "auto",
    overrides: Set = None,
    plugin: Plugin = None,
    yes: Annotated[bool, typer.Option("--yes", help="Go ahead with more than 10,000 cells.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a suite will cost and which differences it can show, before anything runs."""
    from pabench.run.loading import look

    look(suite, overrides or (), yes=yes)
    from pabench.cli.forecast import describe
    from pabench.cli.running import tell_data
    from pabench.run.outlook import Wish, outlook
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
    overrides: Set = None,
    plugin: Plugin = None,
    yes: Annotated[bool, typer.Option("--yes", help="Go ahead with more than 10,000 cells.")] = False,
) -> None:
    """Check a suite completely without running it: every error at once, with its line."""
    from pabench.run.loading import look

    look(suite, overrides or (), yes=yes)
    from pabench.cli.running import tell_data
    from pabench.run.session import Options, Session

    session = Session.open(Options(suite=suite, overrides=overrides, plugins=plugin, yes=yes))
    say(f"{session.path}: valid, {len(session.cells)} cells")
    raise typer.Exit(tell_data(session, "missing data"))


def schema() -> None:
    """Print the JSON Schema of suites, for editors."""
    from pabench.suite.suite import json_schema

    say(json.dumps(json_schema(), indent=2))


def fetch(
    dataset: Annotated[str, typer.Argument(help="cifar10, cifar100, mnist, fashion_mnist, svhn.")],
    path: Annotated[str, typer.Option(help="Where to. Default: $PABENCH_DATA, or the cache.")] = "",
) -> None:
    """Download a dataset and check it."""
    from pabench import registry
    from pabench.parameters import create

    found: Any = create(registry.plugin("datasets", dataset), {"path": path}, dataset)
    if found.missing():
        found.fetch()
    say(f"{dataset}: {found.folder} (sha256 {found.fingerprint()[:16]}...)")
