"""What is installed: criteria and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pabench.cli.arguments import Plugin, load_plugins

app = typer.Typer()
criteria_app = typer.Typer(help="Criteria that are installed.", invoke_without_command=True, rich_markup_mode=None)


app.add_typer(criteria_app, name="criteria")


@criteria_app.callback(invoke_without_command=True)
def criteria_list(context: typer.Context, plugin: Plugin = None) -> None:
    """List criteria with their papers and variants, and plugins that could not be loaded."""
    if context.invoked_subcommand is None:
        from pabench.cli.listing import criteria

        load_plugins(plugin)
        typer.echo(criteria())


@criteria_app.command("show")
def criteria_show(name: str, plugin: Plugin = None) -> None:
    """Describe a criterion and its parameters."""
    from pabench.cli.listing import criterion

    load_plugins(plugin)
    typer.echo(criterion(name))


@criteria_app.command("new")
def criteria_new(name: str, folder: Annotated[Path, typer.Option(help="Where to.")] = Path("criteria")) -> None:
    """Write a criterion to start from: a file that works, for `criteria/` next to a suite or for `--plugin`."""
    from pabench.cli.listing import new

    typer.echo(f"{new(name, folder)}: edit score(), then `pabench run SUITE --plugin` it")


@app.command()
def metrics(plugin: Plugin = None) -> None:
    """List metrics, what they cost and what they say, and plugins that could not be loaded."""
    from pabench.cli.listing import metrics as listed

    load_plugins(plugin)
    typer.echo(listed())
