"""The clock of a race: turns that rotate, ratios by turn, and nothing timed that is not the same work."""

from __future__ import annotations

import doctest
import subprocess
import sys

import torch

from pabench.bench import race as module
from pabench.bench.race import Contest, Proof, race, spent

CPU = torch.device("cpu")


class Clock:
    """Time that passes only in the sides, by as much as they say; it keeps who ran when."""

    def __init__(self):
        self.now = 0.0
        self.ran = []

    def side(self, name, *seconds):
        """Takes the first time in its first turn, and so on; making ready takes 100."""
        left = list(seconds)

        def run():
            self.ran.append(name)
            self.now += left.pop(0)

        def ready():
            self.now += 100
            return run

        return ready


def test_the_example_in_the_docstring_holds():
    assert doctest.testmod(module).failed == 0


def test_a_ratio_is_of_the_same_turn_and_the_first_turn_does_not_count():
    clock = Clock()
    contest = Contest("w", {"own": clock.side("own", 50, 1, 2)}, clock.side("plain", 7, 4, 6))

    (row,) = race(contest, CPU, repeats=2, now=lambda: clock.now)

    assert (row.seconds, row.baseline) == ((1, 2), (4, 6))
    assert row.ratios == [3, 4]
    assert clock.ran == ["plain", "own", "own", "plain", "plain", "own"]


def test_several_sides_race_one_plain_loop():
    clock = Clock()
    sides = {"a": clock.side("a", 1, 1), "b": clock.side("b", 2, 2)}

    rows = race(Contest("w", sides, clock.side("plain", 4, 4)), CPU, repeats=1, now=lambda: clock.now)

    assert [(row.how, row.to_json()["ratio"]) for row in rows] == [("a", 4), ("b", 2)]


def test_what_is_not_the_same_work_is_not_timed():
    clock = Clock()
    contest = Contest("w", {"own": clock.side("own")}, clock.side("plain"), lambda: Proof(False, "masks differ"))

    (row,) = race(contest, CPU, repeats=1, now=lambda: clock.now)

    assert (row.seconds, row.ratios, row.proof.told, clock.ran) == ((), [], "masks differ", [])


def test_without_a_plain_loop_there_are_seconds_and_no_ratio():
    clock = Clock()

    (row,) = race(Contest("w", {"own": clock.side("own", 3, 3)}), CPU, repeats=1, now=lambda: clock.now)

    assert (row.seconds, row.to_json()["ratio"]) == ((3,), None)


def test_the_work_of_children_counts():
    """A child that computes for 0.2 s of CPU, while this process waits for it."""
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    began = spent(CPU)
    subprocess.run([sys.executable, "-c", busy], check=True)

    assert spent(CPU) - began >= 0.2
