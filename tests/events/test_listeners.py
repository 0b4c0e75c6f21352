"""Hooks beside a run: found by name, told in order, and harmless whatever they do."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress

import pytest

from pabench.cli.running import carry_out
from pabench.errors import Aborted, MissingError, SuiteError
from pabench.events import listeners
from pabench.events.listeners import entry_point, listening
from pabench.run.session import Options, Session
from pabench.store.store import Store

from ..conftest import forget_plugins
from .test_serve import RECORDER, heard

SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 10, test_per_class: 5}]
models: [lenet_300_100]
criteria: [magnitude]
sparsities: [0, 0.9]
seeds: 1
recipe: {epochs: 2, batch_size: 32, augment: none}
"""
HOOK = "import os, time\nfrom pabench.plugins import EventHook\n\nclass Hook(EventHook):\n    "
HANGING = HOOK + "def started(self, cell):\n        time.sleep(600)"


def run(folder, *log):
    """Exit code of a run in this process, and its records; an earlier run's are gone on with."""
    (folder / "tiny.yaml").write_text(SUITE)
    options = Options(suite=str(folder / "tiny.yaml"), output=folder / "out", engine="inline", device="cpu", log=log)
    code = carry_out(Session.open(options))
    return code, Store(folder / "out").records()


def sent_all(one, cell):
    one.send("started", cell=cell.to_json())
    one.send("epoch", key=cell.key, epoch=1, loss=1.0, top1=50.0)
    one.send("ended", key=cell.key)


def test_a_run_tells_of_each_cell_that_it_trains_and_of_each_epoch(offer, tmp_path):
    offer("recorder", RECORDER)

    code, records = run(tmp_path, "recorder")

    assert code == 0
    curves = {r["cell"]["sparsity"]: r["result"]["curve"] for r in records.values()}
    told = heard(tmp_path / "out")
    dense, pruned = (f"digits / lenet_300_100 / {what} / seed 0" for what in ("dense", "magnitude 0.9"))
    assert [what[:2] for what in told] == [
        ["study", "tiny"],
        *(["started", dense], ["epoch", dense], ["epoch", dense], ["ended", dense]),
        *(["started", pruned], ["epoch", pruned], ["epoch", pruned], ["ended", pruned]),
        ["closed"],
    ]
    losses = [what[3] for what in told if what[0] == "epoch"]
    assert losses == [*curves[0.0]["loss"], *curves[0.9]["loss"]]
    run(tmp_path, "recorder")
    assert heard(tmp_path / "out") == told  # nothing is left to train


def test_the_command_that_resumes_has_the_hooks():
    assert Options(suite="tiny", log=["wandb", "mlflow"]).command() == "pabench run tiny --log wandb --log mlflow"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def epoch(self, cell, epoch, loss, top1):\n        raise ValueError('no epochs')", "ValueError: no epochs"),
        ("def study(self, folder, manifest):\n        os._exit(3)", "its process is gone"),
        ("def closed(self):\n        os._exit(3)", "ended with exit code 3"),
        (
            "def ended(self, cell, record):\n        raise KeyError(1)\n    def closed(self):\n        os._exit(3)",
            "KeyError: 1",
        ),
    ],
)
def test_a_hook_that_fails_is_told_once_and_the_study_has_the_records_of_one_without(code, said, offer, folder, cell):
    offer("bad", HOOK + code)
    told = []

    with listening(["bad"], folder, told.append) as (one,):
        sent_all(one, cell)
        if "Error" in said:  # until it has answered, which the last event may have heard already
            while not told and not select.select([one._answers], [], [], 0.1)[0]:
                pass
        elif "gone" in said:
            one._process.wait()
        for _ in range(2):
            sent_all(one, cell)

    (line,) = told
    assert line.startswith(f"log bad: {said}")
    assert line.endswith("; the study goes on (logs/events-bad.log)")


def test_a_run_goes_on_without_a_hook_that_fails(offer, tmp_path, capsys):
    offer("bad", HOOK + "def started(self, cell):\n        raise ValueError('not me')")

    code, records = run(tmp_path, "bad")

    assert (code, [record["status"] for record in records.values()]) == (0, ["ok", "ok"])
    assert capsys.readouterr().err.count("log bad: ValueError: not me") == 1


def test_a_hook_that_does_not_end_is_ended(offer, folder, cell, monkeypatch):
    offer("hanging", HANGING)
    monkeypatch.setattr(listeners, "PATIENCE", 0.2)
    told = []

    with listening(["hanging"], folder, told.append) as (one,):
        sent_all(one, cell)

    assert told == ["log hanging: did not end within 0.2 s; the study goes on (logs/events-hanging.log)"]
    assert one._process.returncode == -9


def test_one_that_hangs_takes_events_all_the_same_and_one_that_is_frozen_is_given_up(offer, folder, cell, monkeypatch):
    """A frozen process does not even read: its pipe holds 64 KiB."""
    offer("hanging", HANGING)
    told = []
    with listening(["hanging"], folder, told.append) as (one,):
        one.send("started", cell=cell.to_json())
        for _ in range(2000):
            one.send("epoch", key=cell.key, epoch=1, loss=1.0, top1=50.0)
        assert told == []
        monkeypatch.setattr(listeners, "PATIENCE", 0.2)
        os.kill(one._process.pid, signal.SIGSTOP)

        for _ in range(2000):
            one.send("epoch", key=cell.key, epoch=1, loss=1.0, top1=50.0)

    assert [line.partition(";")[0] for line in told] == ["log hanging: its process is gone (it takes no events)"]


def test_whoever_asks_twice_to_stop_waits_for_no_hook(offer, folder, cell):
    offer("hanging", HANGING)
    told = []

    with suppress(Aborted), listening(["hanging"], folder, told.append) as (one,):
        sent_all(one, cell)
        raise Aborted

    assert (one._process.returncode, told) == (-9, [])


# --- Refused before anything runs -------------------------------------------------------------------------------------


def test_a_name_that_no_hook_has_is_refused_with_the_one_that_was_meant(tmp_path):
    with pytest.raises(SuiteError, match=r"--log wandbb: no such event hook; did you mean 'wandb'\? known: mlflow, "):
        run(tmp_path, "wandbb")
    assert not (tmp_path / "out").exists()


def test_two_hooks_of_one_name_are_refused_with_both_places(offer):
    offer("wandb", RECORDER)

    with pytest.raises(SuiteError, match=r"two event hooks have this name: .*hook_wandb:Hook"):
        entry_point("wandb")


def test_a_hook_whose_library_is_missing_is_refused_with_how_to_install_it(offer, tmp_path, monkeypatch):
    offer("mine", "import no_such_library")
    with pytest.raises(MissingError, match=r"^--log mine: ModuleNotFoundError: No module named 'no_such_library'$"):
        run(tmp_path, "mine")
    (tmp_path / "site" / "wandb.py").write_text("import no_such_library")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    forget_plugins()

    with pytest.raises(MissingError, match=r"No module named 'no_such_library'; pip install 'pabench\[wandb\]'$"):
        run(tmp_path, "wandb")

    assert not (tmp_path / "out").exists()
