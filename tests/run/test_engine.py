"""What every engine keeps to, and what child processes contain."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import forkserver
from pathlib import Path

import pytest

from pabench.run.engine import Inline, Task
from pabench.run.processes import Processes

HERE = str(Path(__file__).parents[1])
PROCESSES = Processes(preload=(), grace=1.0)  # toys need no torch


@pytest.fixture(autouse=True, scope="module")
def bare_server():
    """A server without torch; the one of other tests, which has it, is started again when it is needed."""
    forkserver._forkserver._stop()
    yield
    forkserver._forkserver._stop()


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.syspath_prepend(HERE)


@pytest.fixture(params=[Inline(), PROCESSES], ids=lambda engine: type(engine).__name__)
def engine(request):
    return request.param


class Run:
    """One run of an engine, its events and outcomes by task key; `react` sees each event."""

    def __init__(self, engine, tasks, *, workers=2, react=lambda event, run: None):
        self.stop = threading.Event()
        self.events = []

        def on_event(event):
            self.events.append(event)
            react(event, self)

        ended = list(engine.run(tasks, workers=workers, threads=1, on_event=on_event, stop=self.stop))
        self.order = [outcome.key for outcome in ended]
        self.outcomes = {outcome.key: outcome for outcome in ended}
        assert len(self.outcomes) == len(ended)

    def data(self, key, kind="progress"):
        return [event.data for event in self.events if (event.key, event.kind) == (key, kind)]


def toy(key, name, *, after=(), timeout=None, **payload):
    return Task(key, f"toy {key}", f"toy_tasks:{name}", payload, tuple(after), timeout)


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


def test_twenty_tasks_are_all_done(engine, tmp_path):
    tasks = [toy(str(n), "touch", file=str(tmp_path / str(n))) for n in range(20)]
    run = Run(engine, tasks)
    assert {key: outcome.ok for key, outcome in run.outcomes.items()} == {str(n): True for n in range(20)}
    assert len(list(tmp_path.iterdir())) == 20
    assert [event.kind for event in run.events] == ["started"] * 20


def test_progress_arrives_in_order(engine):
    run = Run(engine, [toy("a", "progress", epochs=3)])
    assert run.data("a") == [{"epoch": 1}, {"epoch": 2}, {"epoch": 3}]


def test_a_raised_exception_is_an_error_with_its_traceback_and_is_not_tried_again(engine, tmp_path):
    run = Run(engine, [toy("bad", "fail"), toy("exit", "leave"), toy("good", "touch", file=str(tmp_path / "x"))])
    bad = run.outcomes["bad"]
    assert (bad.ok, bad.kind, bad.attempts) == (False, "error", 1)
    assert 'in fail\n    raise ValueError("no such layer")' in bad.message
    assert (run.outcomes["exit"].kind, run.outcomes["good"].ok) == ("error", True)


def test_a_function_that_does_not_exist_is_an_error(engine):
    assert "toy_tasks" in Run(engine, [toy("a", "no_such")]).outcomes["a"].message


def test_a_task_starts_after_those_it_names_have_ended_even_in_failure(engine, tmp_path):
    tasks = [
        toy("last", "touch", file=str(tmp_path / "x"), after=["middle", "of an earlier run"]),
        toy("middle", "fail", after=["first"]),
        toy("first", "progress", epochs=1),
    ]
    assert Run(engine, tasks).order == ["first", "middle", "last"]


def test_ready_tasks_start_in_the_given_order(engine):
    keys = ["b", "c", "a"]
    run = Run(engine, [toy(key, "progress", epochs=0) for key in keys], workers=1)
    assert [event.key for event in run.events if event.kind == "started"] == keys


def test_tasks_that_wait_for_each_other_are_refused(engine):
    with pytest.raises(ValueError, match=r"wait for each other: (a -> b -> a|b -> a -> b)"):
        Run(engine, [toy("a", "fail", after=["b"]), toy("b", "fail", after=["a"])])


def test_two_tasks_of_one_key_are_refused(engine):
    with pytest.raises(ValueError, match="two tasks have the key a"):
        Run(engine, [toy("a", "fail"), toy("a", "fail")])


def test_after_a_stop_no_task_starts(engine):
    run = Run(
        engine, [toy(str(n), "progress", epochs=1) for n in range(20)], workers=1, react=lambda _, r: r.stop.set()
    )
    assert [event.kind for event in run.events if event.kind == "started"] == ["started"]


def test_ten_thousand_tasks_are_scheduled_within_seconds():
    start = time.monotonic()
    tasks = [toy(str(n), "progress", epochs=0, after=[str(n - 2)] if n > 1 else []) for n in range(10_000)]
    assert len(Run(Inline(), tasks).outcomes) == 10_000
    assert time.monotonic() - start < 10


def test_a_worker_killed_in_mid_task_is_run_again(tmp_path):
    tasks = [toy(str(n), "touch", file=str(tmp_path / str(n))) for n in range(5)]
    file = tmp_path / "killed"
    tasks.insert(2, toy("killed", "kill_itself", file=str(file), times=1, signal=signal.SIGKILL))
    run = Run(PROCESSES, tasks)
    assert all(outcome.ok for outcome in run.outcomes.values())
    assert {key: outcome.attempts for key, outcome in run.outcomes.items() if outcome.attempts > 1} == {"killed": 2}
    assert "signal 9 (SIGKILL)" in run.data("killed", "crashed")[0]["message"]
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
    kills = iter(range(99))
    monkeypatch.setattr("pabench.run.processes._oom_kills", lambda: next(kills))
    run = Run(PROCESSES, [toy("a", "kill_itself", file=str(tmp_path / "a"), times=99, signal=signal.SIGKILL)])
    assert run.outcomes["a"].kind == "oom"


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


def test_what_a_task_started_ends_with_it():
    run = Run(PROCESSES, [toy("a", "leave_a_process")])
    assert run.outcomes["a"].ok
    wait_until_gone(run.data("a")[0]["pids"])


def test_a_thread_that_a_task_leaves_behind_does_not_keep_its_process():
    outcome = Run(PROCESSES, [toy("a", "leave_a_thread")]).outcomes["a"]
    assert outcome.ok
    assert outcome.seconds < 30


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


def test_a_child_has_its_own_session_its_threads_and_not_the_runners_script():
    run = Run(PROCESSES, [toy("a", "tell_surroundings")])
    assert run.data("a") == [{"session": True, "threads": "1", "main": None, "torch": False}]


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


@pytest.mark.parametrize(("function", "count"), [("hang", 4), ("hold_the_interpreter", 2)])
def test_a_killed_runner_leaves_no_orphan(tmp_path, function, count):
    with start_runner(tmp_path, function) as runner:
        pids = []
        while len(pids) < count:
            kind, _, data = runner.stdout.readline().partition(" ")
            pids += json.loads(data) if kind == "progress" else []
        assert all(is_running(pid) for pid in pids)
        runner.kill()
        wait_until_gone(pids, seconds=5)
