"""What hooks are told, in the words of trackers."""

from __future__ import annotations

from pabench.events.hook import outcome, run_name, told
from pabench.store.record import blank_record
from pabench.store.store import Store


def test_a_run_is_named_by_the_title_without_what_files_cannot_have_and_by_the_key(cell):
    assert run_name(cell) == f"digits_lenet_300_100_snip_0.8_seed_0-{cell.key[:8]}"


def test_a_cell_is_told_flat_in_numbers_and_text(cell):
    found = told(cell)

    assert (found["criterion.name"], found["sparsity"], found["recipe.epochs"]) == ("snip", 0.8, 1)
    assert {type(value) for value in found.values()} <= {str, int, float, bool}


def test_the_numbers_of_a_record_are_those_that_it_has(folder, cell):
    record = Store(folder).get("records", cell.key)

    found = outcome(record)

    assert found["test/top1"] == record["result"]["top1"]
    assert found["mask/sparsity"] == record["receipt"]["sparsity"]
    assert found["cost/training_seconds"] == record["cost"]["training_seconds"]
    assert outcome({**blank_record(cell, {}), "status": "failed"}) == {}
