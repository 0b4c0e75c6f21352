"""The guard of a task that runs code of others: a process cannot leave its ancestors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pabench.run.processes import Processes

from .conftest import HERE
from .test_engine import Run, toy
from .test_processes import RUNNER, is_running, wait_until_gone

pytestmark = [
    pytest.mark.usefixtures("bare_server", "toys"),
    pytest.mark.skipif(sys.platform != "linux", reason="the kernel hands orphans to an ancestor of choice"),
]
ONCE = Processes(preload=(), grace=0.5, attempts=1)


def guarded(key, name, **options):
    return replace(toy(key, name, **options), guarded=True)


@pytest.mark.parametrize(
    ("then", "kind", "exitcode"),
    [("return", "", 0), ("exit", "crash", 0), ("die", "crash", -signal.SIGSEGV), ("hang", "timeout", -signal.SIGKILL)],
)
def test_what_left_group_session_and_files_ends_with_its_task_however_that_ends(then, kind, exitcode):
    run = Run(ONCE, [guarded("a", "leave_a_daemon", then=then, timeout=3 if then == "hang" else None)])
    outcome = run.outcomes["a"]
    assert (outcome.kind, outcome.exitcode) == (kind, exitcode)
    (data,) = run.data("a")
    assert not any(map(is_running, data["pids"]))


def test_without_a_guard_it_goes_on():
    """What the guard is for: if this fails, the system does the same for all."""
    run = Run(ONCE, [toy("a", "leave_a_daemon", then="return")])
    daemon, _ = run.data("a")[0]["pids"]
    assert is_running(daemon)
    os.kill(daemon, signal.SIGKILL)


def test_a_runner_that_is_killed_takes_everything_along(tmp_path):
    script = tmp_path / "runner.py"
    text = RUNNER.format(here=HERE, function="leave_a_daemon")
    script.write_text(text.replace("{function}", "").replace('")', '", {"then": "hang"}, guarded=True)', 1))
    path = os.pathsep.join([str(Path(HERE).parent), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=env) as runner:
        pids = []
        while len(pids) < 4:
            kind, _, data = runner.stdout.readline().partition(" ")
            pids += json.loads(data) if kind == "progress" else []
        assert all(map(is_running, pids))
        runner.kill()
        wait_until_gone(pids, seconds=5)
