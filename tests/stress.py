"""A study whose workers and runners are killed all the time, beside the same study in peace: are the records the same?

    python tests/stress.py --seeds 10 --workers 50 --runners 10

Two runners share one results folder. Every now and then a random worker, or a runner, gets SIGKILL; a runner is started
again at once. When all kills are done and the runners have ended, `--retry failed` runs what was killed three times.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pabench.store.store import VOLATILE, Store

SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 40, test_per_class: 20}]
models: [lenet_300_100]
criteria: [random, magnitude, snip, {name: synflow, steps: 10}]
sparsities: [0, 0.5, 0.8, 0.9, 0.95, 0.98]
seeds: SEEDS
recipe: {epochs: EPOCHS, batch_size: 32, lr: 0.05, augment: {crop: 1}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="21 cells each")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--workers", type=int, default=50, help="of them get SIGKILL")
    parser.add_argument("--runners", type=int, default=10, help="of them get SIGKILL")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two kills, on average")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = stress(Path(folder), given.seeds, given.epochs, given.workers, given.runners, given.every)
    print(json.dumps(found, indent=1))
    sys.exit(found["lost"] + found["different"] > 0)


def stress(folder: Path, seeds: int, epochs: int, workers: int, runners: int, every: float) -> dict[str, int]:
    """What was killed, and of the records of a calm run how many are `lost` or `different` after all that."""
    suite = folder / "stress.yaml"
    suite.write_text(SUITE.replace("SEEDS", str(seeds)).replace("EPOCHS", str(epochs)))
    calm, stormy = folder / "calm", folder / "stormy"
    assert subprocess.run(command(suite, calm), stdout=subprocess.DEVNULL).returncode == 0

    killed = storm(suite, stormy, workers, runners, every)
    again = [*command(suite, stormy), "--retry", "failed"]
    assert subprocess.run(again, stdout=subprocess.DEVNULL).returncode == 0

    there, expected = Store(stormy).records(), Store(calm).records()
    log = stormy / "log.txt"
    return {
        "cells": len(expected),
        **killed,
        "lost": len(expected.keys() - there.keys()),
        "different": sum(lasting(there[key]) != lasting(expected[key]) for key in expected.keys() & there.keys()),
        "quarantined": len(list((stormy / "quarantine").iterdir())),
        "logged": len(log.read_text().splitlines()) if log.exists() else 0,
    }


def storm(suite: Path, folder: Path, workers: int, runners: int, every: float) -> dict[str, int]:
    """Two runners on one folder until both have ended by themselves; how many workers and runners were killed."""
    random.seed(0)
    running = [start(suite, folder), start(suite, folder)]
    left = {"worker": workers, "runner": runners}
    began = time.monotonic()
    while any(one.poll() in (None, -signal.SIGKILL) for one in running):
        running = [start(suite, folder) if one.poll() == -signal.SIGKILL else one for one in running]
        time.sleep(random.expovariate(1 / every))
        kind = random.choices(list(left), list(left.values()))[0] if any(left.values()) else ""
        if kind == "runner":
            random.choice(running).kill()
            left[kind] -= 1
        elif kind and (found := [pid for one in running for pid in tasks_of(one.pid)]):
            try:
                os.kill(random.choice(found), signal.SIGKILL)
                left[kind] -= 1
            except ProcessLookupError:  # it has ended meanwhile
                pass
        assert time.monotonic() - began < 3600, "an hour, and it has not ended"
    return {"workers killed": workers - left["worker"], "runners killed": runners - left["runner"]}


def command(suite: Path, folder: Path) -> list[str]:
    return [sys.executable, "-m", "pabench", "run", str(suite), "-o", str(folder), "--device", "cpu", "-j", "2"]


def start(suite: Path, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(suite, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tasks_of(runner: int) -> list[int]:
    """The processes that a runner's server has forked."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    below = {pid for pid, parent in parents.items() if parent == runner}
    return [pid for pid, parent in parents.items() if parent in below]


def lasting(record: dict) -> str:
    """What two executions of a cell share."""
    return json.dumps({key: value for key, value in record.items() if key not in VOLATILE}, sort_keys=True)


if __name__ == "__main__":
    main()
