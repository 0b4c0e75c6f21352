"""The process of a hook: which calls lines become, and what is done with what it prints."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pabench.store.store import Store

from ..test_house import fresh

RECORDER = """
import json
from pabench.plugins import EventHook

class Hook(EventHook):
    def study(self, folder, manifest):
        self.heard = folder / "heard.jsonl"
        self.hear("study", manifest["name"])
    def hear(self, *what):
        with open(self.heard, "a") as file:
            print(json.dumps(what), file=file)
    def started(self, cell):
        print("a line of started")
        self.hear("started", cell.title)
    def epoch(self, cell, epoch, loss, top1):
        self.hear("epoch", cell.title, epoch, loss, top1)
    def ended(self, cell, record):
        self.hear("ended", cell.title, record["result"]["top1"])
    def closed(self):
        self.hear("closed")
"""


def serve(name, folder, events) -> tuple[list[dict], int]:
    """Its answers to these events, and its exit code."""
    lines = "".join(json.dumps(event) + "\n" for event in events)
    command = [sys.executable, "-P", "-m", "pabench.events.serve", name, str(folder)]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode


def heard(folder) -> list[list]:
    path = folder / "heard.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def events(cell):
    return [
        {"event": "started", "cell": cell.to_json()},
        {"event": "epoch", "key": cell.key, "epoch": 1, "loss": 2.5, "top1": 10.0},
        {"event": "ended", "key": cell.key},
    ]


def test_each_line_is_a_call_between_that_of_the_study_and_that_of_the_end(offer, folder, cell, events):
    offer("recorder", RECORDER)

    assert serve("recorder", folder, events) == ([{"ready": True}], 0)

    top1 = Store(folder).get("records", cell.key)["result"]["top1"]
    title = cell.title
    assert heard(folder) == [
        ["study", "small"],
        ["started", title],
        ["epoch", title, 1, 2.5, 10.0],
        ["ended", title, top1],
        ["closed"],
    ]
    assert (folder / "logs" / "events-recorder.log").read_text() == "a line of started\n"


def test_without_a_cell_nothing_is_called(offer, folder):
    offer("recorder", RECORDER)

    assert serve("recorder", folder, []) == ([{"ready": True}], 0)
    assert heard(folder) == []


def test_a_cell_without_a_record_does_not_end(offer, folder, cell, events):
    offer("recorder", RECORDER)
    (folder / "records" / f"{cell.key}.json").unlink()

    serve("recorder", folder, events)

    assert [name for name, *_ in heard(folder)] == ["study", "started", "epoch", "closed"]


def test_an_exception_is_answered_once_and_the_next_event_comes_all_the_same(offer, folder, events):
    failing = RECORDER.replace('self.hear("epoch", cell.title, epoch, loss, top1)', "raise ValueError('no epochs')")
    offer("failing", failing)

    answers, code = serve("failing", folder, [events[0], events[1], events[1], events[2]])

    assert (answers, code) == ([{"ready": True}, {"error": "ValueError: no epochs"}], 0)
    assert [name for name, *_ in heard(folder)] == ["study", "started", "ended", "closed"]
    assert (folder / "logs" / "events-failing.log").read_text().count("ValueError: no epochs") == 2


def test_what_cannot_be_imported_is_answered(offer, folder):
    offer("broken", "import no_such_library")

    answers, _ = serve("broken", folder, [])

    assert answers == [{"error": "ModuleNotFoundError: No module named 'no_such_library'"}]


def test_hooks_that_need_no_torch_load_none():
    assert fresh("import sys, pabench.events.serve; print('torch' in sys.modules)") == "False"
