"""The engine `processes`, from the runner's side: crashes, timeouts and stops end in an outcome."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import types
from dataclasses import replace
from pathlib import Path

import pytest

from pabench import registry
from pabench.run.processes import Processes

from .conftest import HERE
from .test_engine import PROCESSES, Run, toy

pytestmark = pytest.mark.usefixtures("bare_server", "toys")


def wait_until_gone(pids, seconds=5.0):
    deadline = time.monotonic() + seconds
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, f"{pids} still there"
        time.sleep(0.01)


def is_running(pid):
    """Zombies, which wait for a parent that is not ours, do not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_worker_killed_in_mid_task_is_run_again(tmp_path, number):
    tasks = [toy(str(n), "touch", file=str(tmp_path / str(n))) for n in range(5)]
    file = tmp_path / "killed"
    tasks.insert(2, toy("killed", "kill_itself", file=str(file), times=1, signal=number))
    run = Run(PROCESSES, tasks)
    assert all(outcome.ok for outcome in run.outcomes.values())
    assert {key: outcome.attempts for key, outcome in run.outcomes.items() if outcome.attempts > 1} == {"killed": 2}
    assert f"signal {number:d} ({number.name})" in run.data("killed", "crashed")[0]["message"]
    assert file.read_text() == "2"


def test_a_task_that_always_segfaults_is_a_crash_after_three_attempts_and_the_others_finish(tmp_path):
    tasks = [toy(str(n), "touch", file=str(tmp_path / str(n))) for n in range(5)]
    tasks.insert(0, toy("bad", "kill_itself", file=str(tmp_path / "bad"), times=99, signal=signal.SIGSEGV))
    run = Run(PROCESSES, tasks)
    bad = run.outcomes.pop("bad")
    assert (bad.ok, bad.kind, bad.attempts, bad.exitcode) == (False, "crash", 3, -signal.SIGSEGV)
    assert bad.message == "killed by signal 11 (SIGSEGV) before it was done"
    assert all(outcome.ok for outcome in run.outcomes.values())
    assert len(run.outcomes) == 5


def test_a_kill_by_the_out_of_memory_killer_is_told_from_a_crash(tmp_path, monkeypatch):
    """It is tried again once, alone, and then given up."""
    kills = iter(range(99))
    monkeypatch.setattr("pabench.run.processes._oom_kills", lambda: next(kills))
    run = Run(PROCESSES, [toy("a", "kill_itself", file=str(tmp_path / "a"), times=99, signal=signal.SIGKILL)])
    assert (run.outcomes["a"].kind, run.outcomes["a"].attempts) == ("oom", 2)


def test_a_task_out_of_memory_is_tried_again_alone_and_so_are_those_like_it():
    """Two at once, of three like each other: both run out; then all three run one after another, beside nothing."""
    tasks = [toy(key, "need_all_memory", like="heavy") for key in "abc"]
    run = Run(PROCESSES, [*tasks, *(toy(str(n), "progress", epochs=1) for n in range(3))], workers=2)
    assert {key: outcome.attempts for key, outcome in run.outcomes.items() if outcome.attempts > 1} == {"a": 2, "b": 2}
    assert all(outcome.ok for outcome in run.outcomes.values())
    assert run.order[-3:] == ["a", "b", "c"]
    alone = [[*run.data(key)[-2:]] for key in "abc"]
    assert [began["alone"] for began, _ in alone] == [True] * 3
    assert all(before[1]["ended"] < later[0]["began"] for before, later in itertools.pairwise(alone))
    assert run.data("a", "crashed")[0]["message"].endswith("ExhaustedError: CUDA out of memory")


def test_leaving_with_exit_code_0_without_being_done_is_a_crash():
    outcome = Run(PROCESSES, [toy("a", "exit_at_once", code=0)]).outcomes["a"]
    assert (outcome.kind, outcome.attempts) == ("crash", 3)
    assert outcome.message == "exited with code 0 before it was done"


@pytest.mark.parametrize("ignore_term", [False, True])
def test_a_task_over_time_is_ended_with_all_it_started(ignore_term):
    run = Run(PROCESSES, [toy("slow", "hang", timeout=2, ignore_term=ignore_term), toy("b", "progress", epochs=1)])
    slow = run.outcomes["slow"]
    assert (slow.kind, slow.message, slow.attempts) == ("timeout", "ran longer than 2 s", 1)
    assert slow.seconds < 30
    assert slow.exitcode == (-signal.SIGKILL if ignore_term else -signal.SIGTERM)
    assert run.outcomes["b"].ok
    wait_until_gone(run.data("slow")[0]["pids"])


def test_who_is_over_time_may_be_given_longer_once():
    """Asked when the time is over, and not before: what it may take altogether."""
    asked = []
    tasks = [
        replace(toy("ends", "hang", timeout=0.5), longer=lambda _: asked.append("ends") or 1.0),
        replace(toy("lasts", "progress", epochs=1), timeout=60.0, longer=lambda _: asked.append("lasts") or 1.0),
    ]
    outcomes = Run(PROCESSES, tasks).outcomes
    assert (outcomes["ends"].kind, outcomes["ends"].message) == ("timeout", "ran longer than 1 s")
    assert outcomes["lasts"].ok
    assert asked == ["ends"]


@pytest.mark.parametrize("ignore_term", [False, True])
def test_a_stop_ends_what_runs_within_the_grace(ignore_term):
    tasks = [toy(str(n), "hang", ignore_term=ignore_term) for n in range(4)]
    start = time.monotonic()
    run = Run(
        PROCESSES, tasks, react=lambda event, run: run.stop.set() if event.key == "1" and event.data.get("pids") else 0
    )
    assert {key: outcome.kind for key, outcome in run.outcomes.items()} == {"0": "stopped", "1": "stopped"}
    assert time.monotonic() - start < 30
    wait_until_gone([pid for key in "01" for data in run.data(key) for pid in data["pids"]])


def test_a_task_that_finishes_within_the_grace_of_a_stop_is_done():
    run = Run(
        PROCESSES,
        [toy("a", "finish_on_term")],
        react=lambda event, run: run.stop.set() if event.data.get("ready") else 0,
    )
    assert run.outcomes["a"].ok


def test_closing_the_iterator_early_leaves_no_process():
    pids = []
    tasks = [toy("slow", "hang"), toy("quick", "progress", epochs=1)]

    def on_event(event):
        pids.extend(event.data.get("pids", []))

    outcomes = PROCESSES.run(tasks, workers=2, threads=1, on_event=on_event, stop=threading.Event())
    assert next(outcomes).key == "quick"
    start = time.monotonic()
    outcomes.close()
    wait_until_gone(pids)
    assert time.monotonic() - start < 4.5


RUNNER = """
import sys, threading
print("script", flush=True)
sys.path.insert(0, {here!r})
from pabench.run.engine import Task
from pabench.run.processes import Processes
tasks = [Task(str(n), str(n), "toy_tasks:{function}") for n in range(2)]
show = lambda event: print(event.kind, event.data.get("pids", ""), flush=True)
for outcome in Processes(preload=()).run(tasks, workers=2, threads=1, on_event=show, stop=threading.Event()):
    print(outcome.key, outcome.ok, flush=True)
"""


def start_runner(tmp_path, function):
    script = tmp_path / "runner.py"  # without an `if __name__ == "__main__"`, as users write them
    script.write_text(RUNNER.format(here=HERE, function=function))
    path = os.pathsep.join([str(Path(HERE).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )


def test_the_runners_script_is_run_once(tmp_path):
    with start_runner(tmp_path, "leave_a_thread") as runner:
        lines = runner.stdout.read().splitlines()
    assert sorted(lines) == ["0 True", "1 True", "script", "started ", "started "]


def test_the_server_imports_what_is_ours_and_no_plugin_of_others(monkeypatch):
    registry.group("criteria")
    for name in ("pabench_plugin_mine_0123", "their_criteria", "pabench_criteria_of_others"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))

    preload = Processes().preload

    assert {"torch", "pabench_criteria.snip"} <= set(preload)
    assert {name.partition(".")[0] for name in preload} <= {
        *("torch", "numpy", "torchvision", "timm"),
        *("pabench", "pabench_criteria"),
    }
