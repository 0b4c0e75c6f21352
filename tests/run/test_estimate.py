"""How long the open cells of a plan will take: what is known from records, and what is timed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pabench.run import estimate
from pabench.run.estimate import Clock
from pabench.run.session import Options, Session
from pabench.store.store import Store
from pabench.suite.cell import Cell

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
    session.store.commit("records", cell.key, {**good, "cost": {**good["cost"], "training_seconds": 120.0}})

    found = figures(tmp_path, "-o", tmp_path / "out")

    assert (found["cells"], found["done"], found["trainings"]) == (56, 1, 55)
    assert found["hours"] == pytest.approx(27 * 120 / 3600 + 28)
    assert found["time"].startswith("partly from records")


def test_a_cell_and_its_record_are_of_one_kind_though_one_has_been_through_json():
    cell = cells()[0]
    cell = replace(cell, dataset=replace(cell.dataset, args={"mean": (0.5,), "size": 0}))

    again = Cell.from_json(json.loads(json.dumps({**cell.to_json()}, sort_keys=True)))

    assert estimate._kind(again) == estimate._kind(cell)


def test_a_clock_counts_what_it_timed_and_what_it_knew(tmp_path):
    folder = results(tmp_path / "before", {0: 0.1})
    known = cells(models=["resnet20"])[0]
    clock = Clock(Store(folder), None)

    assert 61.0 <= clock.seconds(known) <= 62.0
    assert clock.seconds(replace(known, recipe=replace(known.recipe, epochs=3))) == HOUR
    assert (clock.recorded, clock.timed) == (1, 1)
