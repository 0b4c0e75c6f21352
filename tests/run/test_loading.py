"""Suites are counted before anything heavy is imported, wherever they are read."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HUGE = """
protocol: pai-v1
datasets: [digits]
models: [lenet_300_100]
criteria: [random, snip]
sparsities: [0, 0.5, 0.9]
seeds: 1000000000
recipe: {epochs: 2}
"""
SAID = "huge.yaml: 5,000,000,000 cells; --yes to go ahead with more than 10,000"
CHILD = """
import json, re, sys, time
began = time.process_time()
try:
    {call}
except (SystemExit, Exception) as error:
    said = str(error)
took = time.process_time() - began
held = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read()) if sys.platform == "linux" else None
print(json.dumps([said, "torch" in sys.modules, took, int(held[1]) / 1024 if held else 0.0]))
"""
COMMAND = "from pabench.cli.main import main; sys.argv = ['pabench', {command!r}, 'huge.yaml']; sys.exit(main())"


@pytest.mark.parametrize(
    "call",
    [
        "import pabench; pabench.load_suite('huge.yaml')",
        *(COMMAND.format(command=c) for c in ("run", "plan", "validate")),
    ],
    ids=["load_suite", "run", "plan", "validate"],
)
def test_five_thousand_million_cells_are_counted_within_a_second_and_200_mb(tmp_path, call):
    (tmp_path / "huge.yaml").write_text(HUGE)

    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(call=call)], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    said, torch, seconds, mib = json.loads(done.stdout)
    assert SAID in (said, done.stderr.strip())
    assert not torch
    assert (seconds < 1, mib < 200) == (True, True)
