"""The child's side of the engine `processes`: what a task starts and leaves behind goes with it."""

from __future__ import annotations

import ctypes
import json

import pytest

from .test_engine import PROCESSES, Run, toy
from .test_processes import is_running, start_runner, wait_until_gone

pytestmark = pytest.mark.usefixtures("bare_server", "toys")


def test_what_a_task_started_ends_with_it():
    run = Run(PROCESSES, [toy("a", "leave_a_process")])
    assert run.outcomes["a"].ok
    wait_until_gone(run.data("a")[0]["pids"])


def test_a_thread_that_a_task_leaves_behind_does_not_keep_its_process():
    outcome = Run(PROCESSES, [toy("a", "leave_a_thread")]).outcomes["a"]
    assert outcome.ok
    assert outcome.seconds < 30


def test_a_child_has_its_own_session_its_threads_and_not_the_runners_script():
    run = Run(PROCESSES, [toy("a", "tell_surroundings")])
    assert run.data("a") == [{"session": True, "threads": "1", "main": None, "torch": False}]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="mallopt and malloc_trim are glibc's")
def test_freed_memory_is_kept_for_what_comes_next_until_it_is_given_back():
    (told,) = Run(PROCESSES, [toy("a", "count_page_faults")]).data("a")
    assert told["faults"] < 100  # of 16,384 pages
    before, after = told["held"]
    assert before - after > 60 * 2**20


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
