"""Runners that share a folder: each task is run by one of them, whoever is killed, whatever their clocks say."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from pabench.run import claims, engine
from pabench.run.claims import MISSES, Runner, runners
from pabench.run.engine import Event, Inline, Outcome, Task
from pabench.store import files
from pabench.store.store import Store

from ..store.conftest import MANIFEST
from .conftest import HERE, ONE_SEED, named, run, write
from .test_engine import toy
from .test_session import lasting

A = Task("a" * 64, "digits / snip", "toy_tasks:touch")
DONE = Outcome(A.key, ok=True)


@pytest.fixture
def folder(tmp_path):
    store = Store(tmp_path / "results")
    store.open_study(MANIFEST)
    return store.folder


@pytest.fixture
def quick(monkeypatch):
    """Nobody waits for long."""
    monkeypatch.setattr(engine, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(engine, "POLL_SECONDS", 0.01)


def runner(folder: Path) -> Runner:
    return Runner(folder, command="pabench run tiny", workers=1, threads=1)


def left(folder: Path) -> list[str]:
    return [path.name for inner in ("runners", "claims") for path in (folder / inner).iterdir()]


def elsewhere(folder: Path, beats: int, **fields) -> Path:
    """The lease of a runner of another machine."""
    told = {"host": "node7", "machine": "another", "pid": 1, "born": "1", "command": "", "workers": 1, "threads": 1}
    path = folder / "runners" / "other.json"
    path.write_text(json.dumps({**told, "beats": beats, **fields}))
    return path


def claimed_elsewhere(folder: Path) -> Path:
    path = folder / "claims" / A.key
    path.write_text(json.dumps({"id": "c", "runner": "other"}))
    return path


def test_a_task_is_one_runners_until_it_has_ended_for_all(folder):
    with runner(folder) as one, runner(folder) as other:
        assert one.claim(A) == "ours"
        assert other.claim(A) == "theirs"
        assert one.claim(A) == "ours"  # tried again
        one.ended(DONE)
        assert other.claim(A) == "ended"


def test_a_task_that_failed_has_ended_and_one_that_was_stopped_is_free(folder):
    with runner(folder) as one, runner(folder) as other:
        one.claim(A)
        one.ended(Outcome(A.key, ok=False, kind="stopped"))
        assert other.claim(A) == "ours"
        other.ended(Outcome(A.key, ok=False, kind="crash"))
        assert one.claim(A) == "ended"


def test_a_task_that_gave_less_is_run_for_the_rest(folder):
    """Three runners want 1, 2 and 1 sparsities of one scoring pass."""
    few, all_of_it = Task("a", "", "", gives=("0.5",)), Task("a", "", "", gives=("0.5", "0.9"))
    with runner(folder) as one, runner(folder) as two, runner(folder) as three:
        assert one.claim(few) == "ours"
        assert two.claim(all_of_it) == "theirs"
        one.ended(Outcome("a", ok=True))
        assert two.claim(all_of_it) == "ours"
        assert three.claim(few) == "ended"
        two.ended(Outcome("a", ok=True))
        assert three.claim(all_of_it) == one.claim(all_of_it) == "ended"


def test_who_comes_later_wants_again_what_ended_before(folder):
    """A failed cell, by --retry failed: it has ended for those that were there."""
    with runner(folder) as one:
        one.claim(A)
        one.ended(DONE)
        with runner(folder) as late:
            assert late.claim(A) == "ours"
            assert one.claim(A) == "ended"
            late.ended(DONE)
            assert late.claim(A) == "ended"


def test_an_orderly_end_leaves_nothing(folder):
    with runner(folder) as one:
        with runner(folder) as other:
            other.claim(A)
            one.claim(Task("b", "", ""))
            one.ended(Outcome("b", ok=True))
        assert one.claim(A) == "ours"  # at once
    assert left(folder) == []


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_another_machines_runner_is_dead_when_its_lease_stands_still_whatever_its_clock_says(folder, hours):
    lease = elsewhere(folder, 1)
    with runner(folder) as one:
        claimed_elsewhere(folder)
        for beats in range(2, 3 * MISSES):  # it counts on
            elsewhere(folder, beats)
            os.utime(lease, (0, time.time() + 3600 * hours))
            one.look()
            assert one.claim(A) == "theirs"
        for _ in range(MISSES - 1):
            one.look()
            assert one.claim(A) == "theirs"
        one.look()
        assert one.claim(A) == "ours"
        assert not lease.exists()


def test_a_runner_that_was_taken_for_dead_and_wakes_up_does_no_harm(folder):
    with runner(folder) as sleeper, runner(folder) as other, runner(folder) as third:
        sleeper.claim(A)
        (folder / "runners" / f"{sleeper.id}.json").unlink()
        assert other.claim(A) == "ours"
        sleeper.renew()
        assert third.claim(A) == "theirs"
        sleeper.ended(DONE)
        other.ended(DONE)
        assert third.claim(A) == "ended"


@pytest.mark.skipif(sys.platform != "linux", reason="another system does not tell when a process was started")
@pytest.mark.parametrize("how", ["ended", "zombie", "number given to another", "number of no process"])
def test_a_dead_process_of_this_machine_is_known_at_once(folder, how):
    with subprocess.Popen(["sleep", "600"]) as process, runner(folder) as one:
        born = "1" if how == "number given to another" else claims._born(process.pid)
        pid = 2**80 if how == "number of no process" else process.pid
        elsewhere(folder, 1, machine=claims._machine(), pid=pid, born=born)
        claimed_elsewhere(folder)
        if how in ("ended", "zombie"):
            assert one.claim(A) == "theirs"
        if how != "number given to another":
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | (os.WNOWAIT if how == "zombie" else 0))
        assert one.claim(A) == "ours"
        process.kill()


def test_of_many_that_take_over_one_wins(folder):
    """Of each of 30 claims of a dead runner."""
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(3), context.SimpleQueue()

    def take_all():
        with runner(folder) as one:
            for n in range(30):
                barrier.wait(10)
                answers.put((n, one.claim(Task(str(n), "", ""))))
            barrier.wait(10)

    with runner(folder) as dead:
        for n in range(30):
            dead.claim(Task(str(n), "", ""))
        processes = [context.Process(target=take_all) for _ in range(3)]
        (folder / "runners" / f"{dead.id}.json").unlink()
        for process in processes:
            process.start()
        found = Counter(answers.get() for _ in range(90))
        for process in processes:
            process.join()
    assert found == {(n, answer): times for n in range(30) for answer, times in (("ours", 1), ("theirs", 2))}


@pytest.mark.parametrize("junk", [b"", b"\x00\xff", b"[]", b'{"id": 1}', b'{"pid": "x"}', b"[" * 100_000])
def test_files_that_say_nothing_stop_nobody(folder, junk):
    with runner(folder) as one:
        (folder / "claims" / A.key).write_bytes(junk)
        (folder / "runners" / "junk.json").write_bytes(junk)
        one.look()
        assert one.claim(A) == "ours"
        assert [seen.lease.pid for seen in runners(folder)] == [os.getpid()]


def test_a_lease_tells_which_epoch_a_task_is_in(folder):
    with runner(folder) as one, runner(folder) as other:
        one.claim(A)
        one.tell(Event(A.key, "progress", {"epoch": 3, "epochs": 20, "loss": 1.0, "top1": 50.0}))
        one.renew()
        other.look()
        (lease,) = other.others
        assert lease.running == {A.key: {"title": "digits / snip", "epoch": 3, "epochs": 20}}
        assert lease.pid == os.getpid()
        one.ended(DONE)
        one.renew()
        other.look()
        assert other.others[0].running == {}


def test_runners_are_alive_or_give_no_sign_of_life(folder):
    os.utime(elsewhere(folder, 1), (0, time.time() - 400))
    with runner(folder):
        alive, dead = runners(folder)
    assert (alive.lease.pid, alive.alive) == (os.getpid(), True)
    assert (dead.lease.host, dead.alive, dead.silent) == ("node7", False, pytest.approx(400, abs=60))


@pytest.mark.usefixtures("quick", "toys")
def test_two_engines_run_each_task_once_and_both_tell_of_all(folder, tmp_path):
    """20 tasks, each after the one before the last."""
    file, context = str(tmp_path / "signed"), multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(2), context.SimpleQueue()
    tasks = [toy(str(n), "sign", after=[str(n - 2)], file=file, line=str(n)) for n in range(20)]

    def share():
        with runner(folder) as one:
            barrier.wait(10)
            answers.put(Counter(outcome.elsewhere for outcome in shared(one, tasks)))

    processes = [context.Process(target=share) for _ in range(2)]
    for process in processes:
        process.start()
    first, second = (answers.get() for _ in processes)
    for process in processes:
        process.join()
    assert sorted(Path(file).read_text().split(), key=int) == [str(n) for n in range(20)]
    assert first[True] == second[False]
    assert first[False] == second[True] == 20 - first[True]


def shared(one: Runner, tasks: list[Task], on_event=lambda _: None):
    """What becomes of tasks, each settled when it has been seen."""
    for outcome in Inline().run(tasks, workers=1, threads=1, on_event=on_event, stop=threading.Event(), claims=one):
        yield outcome
        one.ended(outcome)


RUNNER = """
import sys, threading
from pathlib import Path
sys.path.insert(0, {here!r})
from pabench.run.claims import Runner
from pabench.run.engine import Task
from pabench.run.processes import Processes
tasks = [Task("long", "long", "toy_tasks:hang_once", {{"file": {file!r}}})]
with Runner(Path({folder!r}), command="", workers=1, threads=1) as runner:
    for outcome in Processes(preload=()).run(
        tasks, workers=1, threads=1, on_event=lambda event: print(event.kind, flush=True), stop=threading.Event(),
        claims=runner,
    ):
        runner.ended(outcome)
"""


@pytest.mark.usefixtures("quick", "toys")
def test_what_a_killed_runner_was_at_the_other_finishes(folder, tmp_path):
    """kill -9 while the other has nothing left to do but wait for it."""
    file = str(tmp_path / "long")
    code = RUNNER.format(here=HERE, file=file, folder=str(folder))
    env = {**os.environ, "PYTHONPATH": str(Path(HERE).parent)}
    tasks = [toy("long", "hang_once", file=file), toy("short", "touch", file=str(tmp_path / "short"))]
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env) as other:
        assert [other.stdout.readline() for _ in range(2)] == ["started\n", "progress\n"]
        with runner(folder) as one:
            ended = []
            for outcome in shared(one, tasks):
                ended.append((outcome.key, outcome.ok, outcome.elsewhere))
                other.kill()
    assert ended == [("short", True, False), ("long", True, False)]
    assert Path(file).exists()
    assert left(folder) == []


def test_two_runs_of_a_study_compute_it_once(tmp_path, monkeypatch):
    """Checks, scorings, trainings and measurements; both end with the exit code and the records of one run."""
    suite, calls = write(tmp_path, ONE_SEED), tmp_path / "calls"
    context = multiprocessing.get_context("fork")
    barrier, codes = context.Barrier(2), context.SimpleQueue()
    resolve, enter = engine.resolve_name, Runner.__enter__

    def counted(name):
        def call(payload, report):
            what = payload.get("cell") or [payload["cells"], payload.get("metrics")]
            with open(calls, "a") as file:
                file.write(json.dumps([name, what]) + "\n")
            return resolve(name)(payload, report)

        return call

    def together(self):
        barrier.wait(60)
        return enter(self)

    monkeypatch.setattr(engine, "resolve_name", counted)
    monkeypatch.setattr(Runner, "__enter__", together)
    processes = [context.Process(target=lambda: codes.put(run(suite, tmp_path / "out")[0])) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [codes.get() for _ in processes] == [0, 0]
    found = Counter(calls.read_text().splitlines())
    assert Counter(json.loads(line)[0].rpartition(":")[2] for line in found)["train"] == 9
    assert max(found.values()) == 1
    assert Counter(Store(tmp_path / "out").statuses(Store(tmp_path / "out").records()).values()) == {"ok": 9}
    assert left(tmp_path / "out") == []


@pytest.mark.slow
def test_a_run_finishes_the_study_of_one_that_is_killed(tmp_path):
    """kill -9 after its first cell; the other ends with all cells, each with the record of a calm run."""
    suite, out = write(tmp_path, ONE_SEED), tmp_path / "out"
    command = [sys.executable, "-m", "pabench", "run", str(suite), "-o", str(out), "--device", "cpu", "-j", "1"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other,
    ):
        next(line for line in killed.stdout if line.startswith("[1/9]"))
        killed.kill()
        said = other.stdout.read()
    assert other.returncode == 0
    assert "cells: 9 ok" in said
    assert (out / "report.html").exists()
    # a process that is killed while it writes leaves what it had written; a later run removes it
    assert [name for name in left(out) if not name.startswith(files.TEMPORARY)] == []
    _, calm = run(suite, tmp_path / "calm", engine="processes", jobs=1)
    assert {name: lasting(record) for name, record in named(out).items()} == {n: lasting(r) for n, r in calm.items()}
