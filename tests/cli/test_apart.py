"""The words of a command go to the process apart, and what it says comes back."""

from __future__ import annotations

from pabench.cli import apart
from pabench.cli.terminal import say
from pabench.errors import SuiteError


def test_what_a_command_says_and_how_it_ends_is_reported(monkeypatch):
    from pabench.cli import main

    def app(argv, standalone_mode):
        say(f"{argv}, {standalone_mode}")
        say("beside", error=True)
        raise SuiteError("no such thing")

    monkeypatch.setattr(main, "app", app)
    reported = []

    apart.work({"argv": ["score", "x"], "left_out": []}, reported.append)

    assert reported == [
        {"text": "['score', 'x'], False", "error": False},
        {"text": "beside", "error": True},
        {"text": "no such thing", "error": True},
        {"exit": 2},
    ]
    assert not apart.apart.inside()
