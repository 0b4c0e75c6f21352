"""Claims of papers: read what results say of them, or run what tests them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pabench.cli.arguments import AsJson, Device, Set
from pabench.cli.terminal import aside, ended_by_ctrl_c, say, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pabench.leaderboard.claims import Claim, Judged
    from pabench.suite.suite import Suite


def claims(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Claims that come with pabench (default: all), or files.")
    ] = None,
    run: Annotated[bool, typer.Option("--run", help="Run what tests them, or go on where it stopped.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            readable=False,
            help="The folder of their results folders. Default: results/claims.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", min=1, metavar="N", help="Cells at once, as in run.")
    ] = None,
    device: Device = "auto",
    overrides: Set = None,
    allow_env_drift: Annotated[
        bool, typer.Option("--allow-env-drift", help="Go on in a folder begun with other versions or hardware.")
    ] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as a page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what results say of claims of papers.

    Whether they confirm or contradict them, or cannot tell. Exit codes: 0, whatever they say; with --run those of
    `pabench run`, the highest.
    """
    from pabench.leaderboard.claims import RESULTS, find, judged, load, rendered, shipped, waiting

    chosen = [load(path) for path in (map(find, names) if names else shipped().values())]
    results = output or RESULTS
    code = 0
    with aside(as_json):
        for claim in chosen if run else ():
            code = max(code, _run(claim, results, jobs, device, overrides, allow_env_drift))
        found = [waiting(judged(claim, results), _gap) for claim in chosen]
        if html:
            from pabench.store.files import make_folders, replace

            make_folders(html.parent)
            replace(html, rendered(found).encode())
        for one in found if not as_json else ():
            for line in _lines(one):
                say(line)
        if html:
            say(f"page: {html}")
    if as_json:
        tell([one.to_json() for one in found])
    raise typer.Exit(code)


def _run(
    claim: Claim, results: Path, jobs: int | None, device: str, overrides: list[str] | None, allow_env_drift: bool
) -> int:
    """Run the suite that tests a claim, through the session of `pabench run`; returns the exit code."""
    with ended_by_ctrl_c():
        from pabench.cli import running
        from pabench.run.session import Options, Session

    session = Session.open(
        Options(
            suite=claim.tested_by.file,
            output=claim.folder(results),
            jobs=jobs,
            device=device,
            overrides=overrides,
            masks_only=claim.needs == "nothing",
            allow_env_drift=allow_env_drift,
        )
    )
    claim.check_quantities(session.metrics)
    if claim.needs == "gpu" and session.device.type == "cpu":
        say(f"{claim.name}: needs a GPU; not run")
        return 0
    return running.carry_out(session)


def _gap(suite: Suite) -> str:
    """Why the data of a suite are not there; "" where they are."""
    from pabench.run.resolve import data

    return "; ".join(gap for entry in suite.datasets if (gap := data(entry).gap))


def _lines(one: Judged) -> Iterator[str]:
    """What a person reads of a claim."""
    yield f"{one.state:14} {one.claim.name}: {one.claim.claim} ({one.claim.source})"
    for finding in one.findings:
        yield f"{'':14}   {finding.verdict}: {finding.said}"
    if one.why:
        yield f"{'':14}   {one.why}"
