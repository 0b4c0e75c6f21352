"""What a study took is summed from what its records say, each thing once, and energy is hours times watts."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest

from pabench.leaderboard import compute as module
from pabench.leaderboard.compute import Compute, Watts, compute, total
from pabench.report import frame

from .. import synthetic
from .test_boards import grid

COST = {"scoring_seconds": 2.0, "training_seconds": 60.0, "evaluation_seconds": 3.0, "wall_seconds": 70.0}


def took(cells, receipts, **changes) -> Compute:
    records = {cell.key: synthetic.record(cell, **{"cost": COST, **changes}) for cell in cells}
    return compute(frame.study(synthetic.manifest(cells), records), receipts)


def receipts(cells, **cost):
    return {cell.pruning_key: {"cost": cost} for cell in cells if cell.criterion}


def test_the_examples_hold():
    assert doctest.testmod(module) == (0, 1)


def test_a_study_took_its_scorings_trainings_and_evaluations():
    """A seed of dense and snip at two sparsities: three trainings of 60 s, two masks of 5 s."""
    cells = grid("snip", sparsities=(0.5, 0.9), seeds=1)

    found = took(cells, receipts(cells, pruning_seconds=5.0, scoring_seconds=2.0))

    assert found.trainings == 3
    assert found.seconds == {"cpu": {"scoring": 10.0, "training": 180.0, "evaluation": 9.0}}
    assert found.hours("cpu", "training") == pytest.approx(0.05)
    # 199 s of a core of 12 W
    assert found.kwh(Watts()) == pytest.approx(199 / 3600 * 12 / 1000)
    assert found.to_json(Watts(cpu=6))["kwh"] == pytest.approx(199 / 3600 * 6 / 1000, abs=1e-6)


def test_a_mask_that_two_cells_are_trained_under_is_scored_once():
    cells = grid("snip", sparsities=(0.9,), seeds=1, ablations=["reinit"])

    assert took(cells, receipts(cells, pruning_seconds=5.0)).seconds["cpu"]["scoring"] == 5.0


def test_threads_count_and_a_gpu_is_not_multiplied_by_them():
    cells = grid("snip", sparsities=(0.9,), seeds=1)
    masks = receipts(cells, scoring_seconds=2.0)

    on_cpu = took(cells, masks, environment={**synthetic.ENVIRONMENT, "threads": 4})
    on_gpu = took(cells, masks, environment={**synthetic.ENVIRONMENT, "threads": 4, "device": "cuda: NVIDIA H200"})

    assert on_cpu.seconds == {"cpu": {"scoring": 8.0, "training": 480.0, "evaluation": 24.0}}
    assert on_gpu.seconds == {"gpu": {"scoring": 2.0, "training": 120.0, "evaluation": 6.0}}
    assert on_gpu.kwh(Watts()) == pytest.approx(128 / 3600 * 200 / 1000)
    both = total([on_cpu, on_gpu])
    assert both.trainings == 4
    assert both.kwh(Watts()) == pytest.approx(on_cpu.kwh(Watts()) + on_gpu.kwh(Watts()))


@pytest.mark.parametrize("threads", [None, "many", -1, 10**9, True])
def test_a_number_of_threads_that_is_none_counts_as_one(threads):
    cells = grid("snip", sparsities=(0.9,), seeds=1)

    found = took(cells, {}, environment={**synthetic.ENVIRONMENT, "threads": threads})
    assert found.seconds["cpu"]["training"] == 120.0


def test_cells_of_a_bank_are_its_studys_and_failed_ones_no_trainings():
    cells = grid("snip", sparsities=(0.9,), seeds=2)
    records = {cell.key: synthetic.record(cell, cost=COST) for cell in cells}
    taken, failed = cells[1], cells[-1]
    records[taken.key] |= {"bank": {"study": "one", "digest": "d" * 64, "record": "e" * 64}}
    records[failed.key] = synthetic.failed(failed, cost={})

    found = compute(frame.study(synthetic.manifest(cells), records), receipts(cells, pruning_seconds=5.0))

    # the dense baselines are left, and the mask of the cell that failed
    assert (found.trainings, found.banked) == (2, 1)
    assert found.seconds == {"cpu": {"scoring": 5.0, "training": 120.0, "evaluation": 6.0}}


def test_what_was_never_run_took_nothing():
    cells = [replace(cell, seed=7) for cell in grid("snip", seeds=1)]

    found = compute(frame.study(synthetic.manifest(cells), {}), {})
    assert (found.trainings, found.seconds, found.told) == (0, {}, "no time is told")
