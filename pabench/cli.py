"""The command line. Heavy imports happen inside commands, so that `--help` answers at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pabench.errors import Aborted, MissingError, PabenchError, SuiteError

app = typer.Typer(
    name="pabench",
    help="Fair comparison of pruning-at-initialization criteria.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
criteria_app = typer.Typer(help="Criteria that are installed.", invoke_without_command=True, rich_markup_mode=None)
app.add_typer(criteria_app, name="criteria")

SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A suite file, or the name of one that ships.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Change a key: recipe.epochs=2, datasets.0.path=/data.")]
Plugin = Annotated[list[Path] | None, typer.Option("--plugin", help="A file with criteria, datasets or metrics.")]


@app.command()
def run(
    suite: SuiteName,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Default: results/<suite>.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option("-j", "--jobs", min=1, help="Cells at once. Default: CPU one per core; GPU 2, or 1 above 64 px."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    engine: Annotated[str, typer.Option(help="processes, or inline for debugging.")] = "processes",
    only: Annotated[list[str] | None, typer.Option(help="criterion=snip, sparsity=0.9,0.95, seed=0, ...")] = None,
    overrides: Set = None,
    plugin: Plugin = None,
    retry: Annotated[str, typer.Option(help="failed: run failed cells again.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the grid, what is done and an estimate.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Go ahead with more than 10,000 cells.")] = False,
    allow_env_drift: Annotated[
        bool, typer.Option("--allow-env-drift", help="Go on in a folder begun with other versions or hardware.")
    ] = False,
) -> None:
    """Run a suite; resumes by default. Writes one record a cell, and a report."""
    if retry not in ("", "failed"):
        raise SuiteError(f"--retry {retry}: expected `--retry failed`")
    from pabench.session import Options, Session

    options = Options(
        suite=suite,
        output=output,
        jobs=jobs,
        device=device,
        engine=engine,
        only=tuple(only or ()),
        overrides=tuple(overrides or ()),
        plugins=tuple(plugin or ()),
        retry=retry == "failed",
        yes=yes,
        allow_env_drift=allow_env_drift,
    )
    session = Session.open(options)
    raise typer.Exit(session.describe() if dry_run else session.run())


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
def validate(
    suite: SuiteName,
    overrides: Set = None,
    plugin: Plugin = None,
    yes: Annotated[bool, typer.Option("--yes", help="Go ahead with more than 10,000 cells.")] = False,
) -> None:
    """Check a suite completely without running it: every error at once, with its line."""
    from pabench.session import Options, Session

    session = Session.open(Options(suite=suite, overrides=tuple(overrides or ()), plugins=tuple(plugin or ()), yes=yes))
    typer.echo(f"{session.path}: valid, {len(session.cells)} cells")
    for gap in session.gaps:
        typer.echo(f"missing data: {gap}", err=True)
    raise typer.Exit(MissingError.exit_code if session.gaps else 0)


@app.command()
def schema() -> None:
    """Print the JSON Schema of suites, for editors."""
    from pabench.suite import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


@app.command()
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
    typer.echo(f"{dataset}: {found.folder} (sha256 {found.fingerprint()[:16]}...)")


@app.command()
def export(
    folder: Folder,
    output: Annotated[Path, typer.Option("-o", "--output", help="A .csv, .json or .parquet file.")],
) -> None:
    """Write one row per cell as CSV, JSON or Parquet."""
    from pabench.status import export as write

    typer.echo(f"{write(folder, output)} cells: {output}")


@criteria_app.callback(invoke_without_command=True)
def criteria_list(context: typer.Context, plugin: Plugin = None) -> None:
    """List criteria with their papers and variants, and plugins that could not be loaded."""
    if context.invoked_subcommand is None:
        from pabench.listing import criteria

        typer.echo(criteria(plugin or []))


@criteria_app.command("show")
def criteria_show(name: str, plugin: Plugin = None) -> None:
    """Describe a criterion and its parameters."""
    from pabench.listing import criterion

    typer.echo(criterion(name, plugin or []))


@criteria_app.command("new")
def criteria_new(name: str, folder: Annotated[Path, typer.Option(help="Where to.")] = Path("criteria")) -> None:
    """Write a criterion to start from: a file that works, for `criteria/` next to a suite or for `--plugin`."""
    from pabench.listing import new

    typer.echo(f"{new(name, folder)}: edit score(), then `pabench run SUITE --plugin` it")


@app.command()
def metrics(plugin: Plugin = None) -> None:
    """List metrics, what they cost and what they say, and plugins that could not be loaded."""
    from pabench.listing import metrics as listed

    typer.echo(listed(plugin or []))


def main() -> None:
    """Run the command line; errors that a user can mend are lines on stderr and an exit code, never a traceback."""
    try:
        app()
    except PabenchError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except Aborted:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)


if __name__ == "__main__":
    main()
