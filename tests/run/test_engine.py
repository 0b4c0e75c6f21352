"""What every engine keeps to: all tasks done, in order, with their progress and their errors."""

from __future__ import annotations

import os
import threading
import time

import pytest

from pabench.run import engine as engine_module
from pabench.run.engine import ALONE, Alone, Inline, Outcome, Schedule, Task
from pabench.run.engines.ray import Ray
from pabench.run.engines.slurm import Slurm
from pabench.run.processes import Processes

from .conftest import HERE
from .engines.conftest import NEEDS_RAY, NEEDS_SLURM

pytestmark = pytest.mark.usefixtures("bare_server", "toys")
PROCESSES = Processes(preload=(), grace=1.0)  # toys need no torch


@pytest.fixture(
    params=[
        Inline(),
        PROCESSES,
        pytest.param(Ray(preload=(), grace=1.0), marks=NEEDS_RAY),
        pytest.param(Slurm(preload=(), grace=1.0, poll=0.2), marks=NEEDS_SLURM),
    ],
    ids=lambda engine: type(engine).__name__,
)
def engine(request, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("scripts and logs"))
    monkeypatch.setenv("PYTHONPATH", HERE, prepend=os.pathsep)  # other machines import toys, too
    return request.param


class Run:
    """One run of an engine, its events and outcomes by task key; `react` sees each event."""

    def __init__(self, engine, tasks, *, workers=2, react=lambda event, run: None, claims=ALONE):
        self.stop = threading.Event()
        self.events = []

        def on_event(event):
            self.events.append(event)
            react(event, self)

        ended = list(engine.run(tasks, workers=workers, threads=1, on_event=on_event, stop=self.stop, claims=claims))
        self.order = [outcome.key for outcome in ended]
        self.outcomes = {outcome.key: outcome for outcome in ended}
        assert len(self.outcomes) == len(ended)

    def data(self, key, kind="progress"):
        return [event.data for event in self.events if (event.key, event.kind) == (key, kind)]


def toy(key, name, *, after=(), timeout=None, like="", **payload):
    return Task(key, f"toy {key}", f"toy_tasks:{name}", payload, tuple(after), timeout, like=like)


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


def test_with_one_worker_a_task_is_alone(engine):
    assert Run(engine, [toy("a", "need_all_memory")], workers=1).outcomes["a"].ok


def test_those_like_one_that_memory_was_short_for_come_last():
    """a and b are alike, and c waits for b: once a has run out of memory, d goes first and b waits until it is idle."""
    schedule = Schedule(
        [toy(key, "fail", like="ab" if key in "ab" else "", after=["b"] * (key == "c")) for key in "abcd"]
    )
    first = schedule.next(idle=True)
    schedule.again_alone(first.key)

    assert schedule.next(idle=True).key == "d"
    assert schedule.next(idle=False) is None
    schedule.ended("d")
    assert [schedule.next(idle=True).key for _ in range(2)] == ["a", "b"]
    schedule.ended("b")
    assert schedule.next(idle=True).key == "c"


class Others(Alone):
    """Another runner has the task "theirs", and `answers` says what it is told of it, each time it asks."""

    def __init__(self, answers):
        self.answers = iter(answers)

    def claim(self, task):
        return next(self.answers) if task.key == "theirs" else "ours"


@pytest.mark.parametrize(("at_last", "elsewhere"), [("ended", True), ("ours", False)])
def test_a_task_that_another_runner_has_is_waited_for(engine, tmp_path, monkeypatch, at_last, elsewhere):
    """It ends there, or is free again and run here; what comes after it is run then."""
    monkeypatch.setattr(engine_module, "LOOK_SECONDS", 0.0)
    file = tmp_path / "theirs"
    tasks = [toy("theirs", "touch", file=str(file)), toy("after", "fail", after=["theirs"]), toy("other", "leave")]
    run = Run(engine, tasks, claims=Others(["theirs"] * 5 + [at_last]))
    assert [key for key in run.order if key != "other"] == ["theirs", "after"]
    assert {key: outcome.elsewhere for key, outcome in run.outcomes.items()} == {
        "theirs": elsewhere,
        "after": False,
        "other": False,
    }
    assert run.outcomes["theirs"].ok
    assert file.exists() is not elsewhere


def test_a_stop_ends_the_waiting_for_another_runner(engine, monkeypatch):
    monkeypatch.setattr(engine_module, "LOOK_SECONDS", 0.0)
    stop = threading.Event()

    def answers():
        yield "theirs"
        stop.set()
        yield "theirs"

    claims = Others(answers())
    assert not list(engine.run([toy("theirs", "fail")], workers=1, threads=1, on_event=print, stop=stop, claims=claims))


def test_those_who_wait_ask_once_in_a_while(monkeypatch):
    """In 2,000 looks within two seconds three times: when it is met, and when a second is over."""
    clock, asked = [0.0], []
    monkeypatch.setattr(engine_module.time, "monotonic", lambda: clock[0])

    def answers():
        while True:
            asked.append(clock[0])
            yield "theirs"

    schedule = Schedule([toy("theirs", "fail")], Others(answers()))
    for _ in range(2000):
        clock[0] += 0.001
        assert schedule.next() is None
    assert schedule.waits
    assert asked == pytest.approx([0.001, 0.002, 1.002], abs=0.002)


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


@pytest.mark.parametrize(
    ("outcome", "lost"),
    [
        (Outcome("a", True), False),
        (Outcome("a", False, "crash"), True),
        (Outcome("a", False, "error"), True),
        (Outcome("a", False, "stopped"), False),
    ],
)
def test_a_task_is_lost_unless_it_was_done_or_the_run_was_stopped(outcome, lost):
    assert outcome.lost is lost
