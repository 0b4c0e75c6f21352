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
def criteria_list(
    context: typer.Context,
    plugin: Plugin = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As docs/criteria.md has them.")] = False,
) -> None:
    """List criteria with their papers and variants, and plugins that could not be loaded."""
    if context.invoked_subcommand is None:
        from pabench.listing import criteria, markdown

        typer.echo(markdown(plugin or []) if as_markdown else criteria(plugin or []))


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
def score(
    model: Annotated[str, typer.Argument(help="A timm model, or one of pabench's own such as resnet20.")],
    criterion: Annotated[list[str] | None, typer.Option("-c", "--criterion", help="grasp, grasp@official, ...")] = None,
    param: Annotated[list[str] | None, typer.Option("--param", help="Of the criterion: steps=10.")] = None,
    sparsity: Annotated[float, typer.Option(help="Removed share of the weights.")] = 0.9,
    data: Annotated[str, typer.Option(help="A dataset; default: the embedded digits, at 32 x 32.")] = "",
    side: Annotated[int, typer.Option("--size", min=0, help="Pixels a side; default: the dataset's own.")] = 0,
    stem: Annotated[str, typer.Option(help="cifar: a stem for small images.")] = "",
    arg: Annotated[list[str] | None, typer.Option("--arg", help="Of the model: patch_size=4.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, images and noise.")] = 0,
    dtype: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Save the masks: masks.safetensors.")] = None,
    time: Annotated[bool, typer.Option("--time", help="Only time it; without -c, every criterion.")] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Scorings of which --time takes the median.")] = 3,
    plugin: Plugin = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Score a model at initialization: densities and zeros of each layer, time, memory."""
    if dtype not in ("float64", "float32"):
        raise SuiteError(f"--dtype {dtype}: expected float64 or float32")
    if not time and len(criterion or ()) != 1:
        raise SuiteError("name one criterion, as in -c grasp; --time times several, or all of them")
    from pabench import registry, trial
    from pabench.machine import pick_device

    for file in plugin or ():
        registry.drop_in(file)
    rules = trial.criteria(criterion or (), param or ())
    subject = trial.Subject.open(
        model, stem=stem, args=arg or (), data=data, side=side, seed=seed, device=pick_device(device)
    )
    if time:
        rows = trial.times(subject, rules, sparsity, repeats)
        typer.echo(json.dumps(rows, indent=2) if as_json else trial.tabled(subject, rows, sparsity, repeats))
        return
    masks, told = trial.score(subject, rules[0], sparsity, dtype)
    typer.echo(json.dumps(told, indent=2) if as_json else trial.described(told))
    if output:
        masks.save(output)


@app.command()
def conformance(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A criterion or a variant: grasp@official.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All criteria, variants, and overlaps of masks.")] = False,
    plugin: Plugin = None,
    reference: Annotated[
        Path | None, typer.Option(help="Results of official code. Default: tests/reference, where it is.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="With --all: tables for the documentation.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="With --markdown: the page to put them in, between its marks.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check that a criterion is what it says: its definition, purity, counts, symmetries, official results."""
    if bool(name) == every:
        raise SuiteError("name one criterion, or give --all; `pabench criteria` lists them")
    if (markdown and not every) or (output and not markdown):
        raise SuiteError("--markdown goes with --all, and -o with --markdown")
    from pabench import examination

    if every:
        code = examination.every(plugin or [], reference, as_json=as_json, as_markdown=markdown, page=output)
        raise typer.Exit(code)
    raise typer.Exit(examination.one(name, plugin or [], reference, as_json=as_json))


@app.command()
def doctor(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A timm model, such as resnet18.")] = "",
    size: Annotated[int, typer.Option(min=1, help="Side of the images in pixels.")] = 32,
    channels: Annotated[int, typer.Option(min=1)] = 3,
    classes: Annotated[int, typer.Option(min=2)] = 10,
    stem: Annotated[str, typer.Option(help="As in a suite: cifar.")] = "",
    zeros: Annotated[str, typer.Option(help="As in a suite: redrawn.")] = "",
    args: Annotated[list[str] | None, typer.Option(help="An argument of timm.create_model: depth=4.")] = None,
    criterion: Annotated[list[str] | None, typer.Option("-c", "--criterion", help="Only these.")] = None,
    dtype: Annotated[str, typer.Option(help="float64, or float32: what scores are computed in.")] = "float64",
    plugin: Plugin = None,
    zoo: Annotated[str, typer.Option(metavar="SUITE", help="All models and criteria of a suite, as a table.")] = "",
    write: Annotated[
        Path | None, typer.Option(help="With --zoo: put the table between the marks in this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say which criteria can score a model, which cannot and why, and the remedy.

    Exit codes: 0 healthy; 3 a criterion is degenerate or doubtful; 5 one is unsupported.
    """
    if bool(model) == bool(zoo):
        raise SuiteError("doctor: expected a model, as in `pabench doctor resnet18`, or --zoo SUITE")
    from pabench.doctor import consult, insert, table

    if zoo:
        made = []
        for line in table(zoo, size, classes):
            typer.echo(line)
            made.append(line)
        if write:
            insert("\n".join(made), write)
        return
    found, text = consult(
        model,
        (channels, size, size),
        classes=classes,
        stem=stem,
        zeros=zeros,
        args=args or [],
        criteria=criterion or [],
        dtype=dtype,
        plugins=plugin or [],
        as_json=as_json,
    )
    typer.echo(text)
    raise typer.Exit(found.exit_code)


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
