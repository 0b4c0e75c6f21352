"""To the Hugging Face Hub and back: push, pull."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pabench.cli.terminal import say


def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A results folder, a submission or a site.")],
    repo: Annotated[str, typer.Argument(metavar="USER/NAME", help="A repository, made where it is not there.")],
    public: Annotated[bool, typer.Option("--public", help="Make it public; default: private.")] = False,
) -> None:
    """Send a results folder or a site to the Hugging Face Hub.

    A site becomes a static Space.
    """
    from pabench.leaderboard.hub import push as send
    from pabench.words import count, size

    sent = send(folder, repo, public=public)
    say(f"sent: {count(sent.files, 'file')}, {size(sent.bytes)}")
    say(f"pull it with: pabench pull {sent.repo} -o {folder.resolve().name}")


def pull(
    repo: Annotated[str, typer.Argument(metavar="REPO", help="USER/NAME, or spaces/USER/NAME of a site.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The folder; nothing in it is overwritten.")
    ],
) -> None:
    """Fetch from the Hugging Face Hub what `push` sent.

    Every file is checked by its SHA-256; all of them come, or none.
    """
    from pabench.leaderboard.hub import pull as fetch
    from pabench.words import count, size

    got = fetch(repo, output)
    say(f"{output}: {count(got.files, 'file')}, {size(got.bytes)}, each checked by its SHA-256; {got.new} of them new")
