"""The server of worker processes, before it serves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import HERE
from .test_processes import RUNNER, is_running, wait_until_gone

SLOW = """
import os, time
from pathlib import Path
Path(os.environ["LOADING"]).write_text(str(os.getpid()))
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of another system does not end it with its parent")
def test_a_runner_killed_while_the_server_loads_takes_its_helpers_along(tmp_path):
    """The server and the tracker of resources, with a library that takes minutes to import."""
    (tmp_path / "slow_library.py").write_text(SLOW)
    (tmp_path / "runner.py").write_text(
        RUNNER.format(here=HERE, function="touch").replace("preload=()", 'preload=("slow_library",)')
    )
    path = os.pathsep.join([str(tmp_path), str(Path(HERE).parent)])
    env = {**os.environ, "PYTHONPATH": path, "LOADING": str(tmp_path / "loading")}
    with subprocess.Popen(
        [sys.executable, tmp_path / "runner.py"], stdout=subprocess.PIPE, text=True, env=env
    ) as runner:
        while not (tmp_path / "loading").exists():
            assert runner.poll() is None
            time.sleep(0.01)
        helpers = [int(pid) for pid in Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()]
        assert len(helpers) == 2
        assert all(map(is_running, helpers))
        runner.kill()
        wait_until_gone(helpers, seconds=5)
