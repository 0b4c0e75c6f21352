"""Work of two processes: each in an interpreter of its own, as a test's process has threads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SEVERAL = len(os.sched_getaffinity(0)) > 1 if hasattr(os, "sched_getaffinity") else False
pytestmark = pytest.mark.skipif(not (SEVERAL and sys.platform == "linux"), reason="needs Linux with two cores")

START = """
import os, time
from pabench.report import halves
from pabench.report.halves import in_two
here = os.getpid()
"""


def told(code: str) -> list[str]:
    """The lines that an interpreter prints."""
    done = subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n")[:-1]


def test_two_processes_take_what_is_left_and_answers_are_in_order():
    code = """
def work(n):
    time.sleep(0.5 if n == 1 else 0.05)
    return n, os.getpid() == here
print(in_two([lambda n=n: work(n) for n in range(8)]))
"""
    (line,) = told(code)

    found = eval(line)
    assert [n for n, _ in found] == list(range(8))
    assert found[0] == (0, True)  # the first is this process's own
    assert found[1] == (1, False)
    assert sum(own for _, own in found) >= 5  # while the other was at the long one


def test_nothing_that_was_begun_before_happens_twice():
    code = """
import atexit
atexit.register(print, "end")
print("begun")  # not written yet
print(sorted(in_two([int, str, list], ), key=str))
"""
    assert told(code) == ["begun", "['', 0, []]", "end"]


@pytest.mark.parametrize(
    "lost",
    ["os.kill(os.getpid(), 9)", "raise ValueError", "raise KeyboardInterrupt", "return lambda: None", "os._exit(3)"],
)
def test_what_the_copy_had_taken_is_done_here_where_it_is_lost(lost):
    code = f"""
def work(n):
    time.sleep(0.05)
    if os.getpid() != here:
        {lost}
    return n
print(in_two([lambda n=n: work(n) for n in range(4)]))
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("alone")
"""
    assert told(code) == ["[0, 1, 2, 3]", "alone"]


def test_what_a_work_raises_is_raised_here_and_the_copy_is_gone():
    code = """
def work(n):
    time.sleep(0.05)
    if n == 3:
        raise ValueError("of work 3")
try:
    in_two([lambda n=n: work(n) for n in range(5)])
except ValueError as error:
    print(error)
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("alone")
print(len(os.listdir("/proc/self/fd")))
"""
    files = told('print(len(os.listdir("/proc/self/fd")))')

    assert told(code) == ["of work 3", "alone", *files]


@pytest.mark.parametrize(
    "why",
    [
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})",
        "import threading; threading.Thread(target=time.sleep, args=(1,), daemon=True).start()",
        "import sys; sys.modules['torch'] = None",
        "import unittest.mock; unittest.mock.patch('os.fork', side_effect=BlockingIOError).start()",
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))",
        "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    ],
    ids=["one core", "threads", "torch", "no process", "no files", "nobody is told of ends"],
)
def test_all_is_done_here_where_no_copy_can_be_made(why):
    code = f"""
{why}
for _ in range(3):
    print(in_two([lambda n=n: (n, os.getpid() == here) for n in range(3)]))
"""
    assert told(code) == ["[(0, True), (1, True), (2, True)]"] * 3


def at_work(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("begun", [0, 3], ids=["at its first work", "later"])
def test_a_copy_ends_where_nobody_waits_for_it(tmp_path, begun):
    """The process is killed; the copy takes nothing any more, and does not wait for somebody to read its answers."""
    code = f"""
def work(n):
    if os.getpid() != here:
        open(r"{tmp_path}" + f"/{{n}}", "w").write(str(os.getpid()))
    elif len(os.listdir(r"{tmp_path}")) >= {begun}:
        os.kill(here, 9)
    time.sleep(0.1)
    return bytes(1_000_000)
in_two([lambda n=n: work(n) for n in range(200)])
"""
    done = subprocess.run([sys.executable, "-c", START + code], timeout=60)
    assert done.returncode == -9

    time.sleep(1.0)
    taken = list(tmp_path.iterdir())
    assert len(taken) <= begun + 2
    assert not any(at_work(path.read_text()) for path in taken)
