"""The command line. Heavy imports happen inside commands, so that `--help` answers at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from pabench import __version__, registry
from pabench.cli import bench, claims, hub, leaderboard, listing, models, plugins, results, suites
from pabench.cli.terminal import any_terminal, say
from pabench.cli.usage import Command, Group
from pabench.errors import Aborted, PabenchError, PluginError


def _print_version(asked: bool) -> None:
    if asked:
        say(f"pabench {__version__}")
        raise typer.Exit


app = typer.Typer(
    name="pabench",
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Fair comparison of pruning-at-initialization criteria.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("-V", "--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    pass


for command in (
    *(suites.run, suites.plan, suites.validate, suites.schema, suites.fetch),
    *(results.report, results.figures, results.diff, results.status, results.export),
    *(leaderboard.submit, leaderboard.verify, leaderboard.publish, hub.push, hub.pull),
    *(models.score, models.doctor, bench.bench, claims.claims),
):
    app.command(cls=Command)(command)
app.add_typer(listing.list_app, name="list")
app.add_typer(plugins.criteria_app, name="criteria")
# what these two were called before
app.command("conformance", cls=Command, hidden=True)(models.conformance)
app.command("metrics", cls=Command, hidden=True)(listing.metrics)


def main() -> None:
    """Run the command line; errors that a user can mend are lines on stderr and an exit code, never a traceback."""
    with any_terminal(), in_words():
        app()


@contextmanager
def in_words() -> Iterator[None]:
    """Inside, an error is a line on stderr and ends in its exit code; a fault of pabench stays one."""
    try:
        yield
    except PabenchError as error:
        say(error, error=True)
        sys.exit(error.exit_code)
    except OSError as error:
        where = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        say(registry.complaint(error) if registry.place(error) else where or error, error=True)
        sys.exit(1)
    except Aborted:
        sys.exit(130)
    except Exception as error:
        if not registry.place(error):
            raise  # a fault of pabench, and its traceback is what can be reported
        say(registry.complaint(error), error=True)
        sys.exit(PluginError.exit_code)
