"""Means that a submission claims are compared with those of its records."""

from __future__ import annotations

import pytest

from pabench.leaderboard.aggregates import aggregates, difference

from .. import synthetic

CELLS = synthetic.cells(models=("resnet20",))
ROWS = aggregates(CELLS, {cell.key: synthetic.record(cell) for cell in CELLS})


def test_a_cell_without_a_record_is_missing_and_in_no_mean():
    rows = aggregates(CELLS, {})

    assert [row["missing"] for row in rows] == [row["ok"] for row in ROWS]
    assert {row["top1_mean"] for row in rows} == {None}


def test_another_order_of_addition_is_no_difference():
    assert difference([{**row, "top1_mean": row["top1_mean"] * (1 + 1e-12)} for row in ROWS], ROWS) is None


@pytest.mark.parametrize("value", [True, None, "60", 10**400])
def test_what_is_no_mean_is_a_difference_that_says_where(value):
    claimed = [{**ROWS[0], "top1_mean": value}, *ROWS[1:]]

    where, computed, there = difference(claimed, ROWS)
    assert where == "cifar10 / resnet20 / dense 0: top1_mean"
    assert (computed, there) == (str(ROWS[0]["top1_mean"]), str(value))


@pytest.mark.parametrize("claimed", [None, {}, ROWS[1:], [*ROWS, ROWS[0]], [5, *ROWS[1:]], [{}, *ROWS[1:]]])
def test_what_is_no_such_table_is_a_difference(claimed):
    assert difference(claimed, ROWS)
