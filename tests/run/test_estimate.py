"""How long the open cells of a plan will take: what is known from records, and what is timed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pabench.run.clock import Clock
from pabench.run.engine import Task
from pabench.run.estimate import together
from pabench.run.session import Options, Session
from pabench.store.store import Store

from ..synthetic import cells, record
from .conftest import HOUR
from .test_outlook import SUITE, figures, results

pytestmark = pytest.mark.usefixtures("hourly")


def test_what_is_done_is_not_counted_again_and_its_time_is_used(tmp_path):
    """One cell recorded with 120 s: all of its model take that, all of the other one an hour."""
    (tmp_path / "some.yaml").write_text(SUITE)
    options = Options(suite=str(tmp_path / "some.yaml"), device="cpu", jobs=1, output=tmp_path / "out")
    session = Session.open(options)
    cell = session.cells[0]
    good = record(replace(cell))
    session.store.open_study(session._manifest({"pabench": "0"}))
    session.store.commit("records", cell.key, {**good, "cost": {**good["cost"], "wall_seconds": 120.0}})

    found = figures(tmp_path, "-o", tmp_path / "out")

    assert (found["cells"], found["done"], found["trainings"]) == (56, 1, 55)
    assert found["hours"] == pytest.approx(27 * 120 / 3600 + 28)
    assert found["time"].startswith("partly from records")


@pytest.mark.parametrize(("workers", "seconds"), [(1, 20), (2, 12), (3, 8), (4, 7)])
def test_tasks_run_side_by_side_as_an_engine_would_take_them(workers, seconds):
    """b and c wait for a. Two at once: a to 4, d to 5, b from 4 to 7, c from 5 to 8, e from 7 to 12."""
    took = {"a": 4, "b": 3, "c": 3, "d": 5, "e": 5}
    after = {"b": ("a",), "c": ("a",)}
    tasks = [Task(key, key, "", after=after.get(key, ())) for key in took]

    assert together(tasks, lambda task: took[task.key], workers) == seconds


def test_a_clock_counts_what_it_timed_and_what_it_knew(tmp_path):
    folder = results(tmp_path / "before", {0: 0.1})
    known = cells(models=["resnet20"])[0]
    clock = Clock(Store(folder), None)

    assert clock.training(known) == 66
    assert clock.training(replace(known, recipe=replace(known.recipe, epochs=3))) == HOUR
    assert (clock.recorded, clock.timed) == (1, 1)
    assert clock.source(folder) == "partly from records, partly from a few steps timed here"
