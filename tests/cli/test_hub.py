"""The words of push and pull; what they do is in tests/leaderboard/test_hub.py."""

from __future__ import annotations

from pathlib import Path

from pabench.cli import hub
from pabench.leaderboard.hub import Copied


def test_both_say_how_much_and_push_says_how_to_get_it_back(monkeypatch, capsys):
    copied = Copied("spaces/somebody/board", 3, 1, 2048)
    monkeypatch.setattr("pabench.leaderboard.hub.push", lambda folder, repo, *, public: copied)
    monkeypatch.setattr("pabench.leaderboard.hub.pull", lambda repo, output: copied)

    hub.push(Path("site"), "somebody/board")
    hub.pull("spaces/somebody/board", Path("copy"))

    assert capsys.readouterr().out.splitlines() == [
        "sent: 3 files, 2.0 KiB",
        "pull it with: pabench pull spaces/somebody/board -o site",
        "copy: 3 files, 2.0 KiB, each checked by its SHA-256; 1 of them new",
    ]
