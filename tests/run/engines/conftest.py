"""Studies of toy cells, launched by a process of their own, and what is left of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from pabench.store.files import make_folders
from pabench.store.store import Store

TESTS = Path(__file__).parents[2]
SLURM = TESTS / "cluster" / "slurm.sh"
NEEDS_RAY = [
    pytest.mark.cluster,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'pabench[ray]'"),
]
NEEDS_SLURM = [
    pytest.mark.cluster,
    pytest.mark.skipif(find_spec("submitit") is None, reason="submitit is not installed: pip install 'pabench[slurm]'"),
    pytest.mark.skipif(
        shutil.which("sinfo") is None or subprocess.run("sinfo", capture_output=True).returncode != 0,
        reason=f"no Slurm answers: run `{SLURM.relative_to(TESTS.parent)} pytest ...`",
    ),
]
LAUNCHER = """
import signal, sys, threading
from dataclasses import replace
from hashlib import sha256
from pabench.run.engine import Task
from pabench.run.engines import choice
from pabench.store.store import Store

name, folder, seconds, *options = sys.argv[1:]
engine = choice.create(name, options)
if hasattr(engine, "preload"):
    engine = replace(engine, preload=())  # toys need no torch
store, stop = Store(folder + "/store"), threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
tasks = []
for n in range(20):
    key = sha256(str(n).encode()).hexdigest()
    what = {"store": folder + "/store", "began": folder, "key": key, "killed": n == 3, "seconds": float(seconds)}
    if store.get("records", key) is None:
        tasks.append(Task(key, f"toy {n}", "toy_tasks:cell", what))
show = lambda event: print(event, flush=True)
for outcome in engine.run(tasks, workers=4, threads=1, on_event=show, stop=stop):
    print(outcome, flush=True)
raise SystemExit(75 if stop.is_set() else 0)
"""


class Study:
    """Twenty toy cells in a folder, of which each launch computes those that have no record."""

    def __init__(self, folder: Path, engine: str, *options: str, seconds: float = 0.3, **environment: str) -> None:
        self.folder = folder
        self.launcher = folder / "launcher.py"
        self.launcher.write_text(LAUNCHER)
        make_folders(folder / "store" / "records")
        self.command = [sys.executable, self.launcher, engine, folder, str(seconds), *options]
        path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
        # whatever a launch starts, wherever that goes, has this in its environment
        self.environment = {**os.environ, "PYTHONPATH": path, "PABENCH_STUDY": str(folder), **environment}
        self.output = folder / "output.txt"

    def launch(self) -> subprocess.Popen:
        with open(self.output, "a") as output:
            return subprocess.Popen(
                [*map(str, self.command)], env=self.environment, stdout=output, stderr=output, cwd=self.folder
            )

    @property
    def records(self) -> dict:
        return dict(Store(self.folder / "store").records())

    @property
    def began(self) -> dict[str, list[str]]:
        """By key of each attempt whether there was a record already."""
        return {
            file.name: [line.split()[1] for line in file.read_text().splitlines()]
            for file in self.folder.glob("[0-9a-f]*")
            if len(file.name) == 64
        }

    def computing(self) -> set[int]:
        """Processes of cells that are there."""
        files = [file for file in self.folder.glob("[0-9a-f]*") if len(file.name) == 64]
        return {int(line.split()[0]) for file in files for line in file.read_text().splitlines()} & set(self.left())

    def left(self) -> list[int]:
        """Processes of this study that are there; but agents of a local Ray, which end a minute later."""
        mark = f"PABENCH_STUDY={self.folder}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                agent = (process / "cmdline").read_bytes().startswith((b"ray::DashboardAgent", b"ray::RuntimeEnvAgent"))
                if not agent and mark in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
            except (OSError, ProcessLookupError):
                continue  # of the kernel, of another user, or gone meanwhile
        return found

    def until(self, condition, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.output.read_text()[-5000:]
            time.sleep(0.02)
