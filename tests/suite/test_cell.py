"""What a cell is, and what it says of itself."""

import doctest
from dataclasses import replace

import pytest

from pabench.suite import cell as cells
from pabench.suite.cell import Cell, facts
from pabench.suite.digest import digest
from pabench.suite.specs import CriterionSpec, DatasetSpec, ModelSpec, Recipe, Scoring

SNIP = CriterionSpec("snip", {"steps": 2}, {"steps": 2, "allocation": "global"}, version=3, source="ab")
CELL = Cell(DatasetSpec("folder", {"size": 8}, "/d", "cd"), ModelSpec("vgg"), SNIP, 0.9, 1, Recipe(), Scoring())

OTHERS = {
    "protocol": replace(CELL, protocol="pai-v2"),
    "dataset.size": replace(CELL, dataset=replace(CELL.dataset, args={"size": 16})),
    "dataset.fingerprint": replace(CELL, dataset=replace(CELL.dataset, fingerprint="ef")),
    "model.stem": replace(CELL, model=ModelSpec("vgg", stem="cifar")),
    "model.width": replace(CELL, model=ModelSpec("vgg", {"width": 8})),
    "model.zeros": replace(CELL, model=ModelSpec("vgg", zeros="redrawn")),
    "criterion.allocation": replace(CELL, criterion=replace(SNIP, args={"steps": 2, "allocation": "erk"})),
    "criterion.version": replace(CELL, criterion=replace(SNIP, version=4)),
    "criterion.source": replace(CELL, criterion=replace(SNIP, source="cd")),
    "criterion.donor": replace(CELL, criterion=replace(SNIP, donor={"name": "grasp"})),
    "sparsity": replace(CELL, sparsity=0.8),
    "seed": replace(CELL, seed=2),
    "recipe.lr": replace(CELL, recipe=Recipe(lr=0.2)),
    "recipe.milestones": replace(CELL, recipe=Recipe(milestones=(80,))),
    "scoring.dtype": replace(CELL, scoring=Scoring("float32")),
    "scoring.degenerate": replace(CELL, scoring=Scoring(degenerate="refuse")),
    "scoring.include": replace(CELL, scoring=Scoring(include=("attention",))),
    "ablation": replace(CELL, ablation="shuffle"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_cell_of_another_key_differs_in_one_fact_that_has_a_name(name):
    mine, theirs = facts(CELL), facts(OTHERS[name])

    assert {key for key in mine | theirs if mine.get(key) != theirs.get(key)} == {name}
    assert CELL.key != OTHERS[name].key


def test_what_is_included_is_in_the_keys_of_masks_and_checks():
    other = OTHERS["scoring.include"]

    assert other.pruning_key != CELL.pruning_key
    assert other.check_key != CELL.check_key
    assert other.block == CELL.block  # weights, order and images are the same
    assert Cell.from_json(other.to_json()) == other


def test_where_nothing_is_included_keys_and_records_are_those_of_before_there_was_the_option():
    network = [CELL.protocol, CELL.dataset.identity(), CELL.model.identity()]

    assert CELL.pruning_key == digest(["pruning", CELL.block, SNIP.identity(), 0.9, {"dtype": "float64"}])
    assert CELL.check_key == digest(["check", *network, SNIP.identity(), "float64"])
    assert CELL.to_json()["scoring"] == {"dtype": "float64", "degenerate": "mark"}
    assert Cell.from_json(CELL.to_json()) == CELL


def test_what_is_in_no_key_is_no_fact():
    """Where the data lies, what reports call it, and how the suite wrote the criterion."""
    moved = DatasetSpec("folder", {"size": 8, "title": "Mine"}, "/elsewhere", "cd")
    same = replace(CELL, dataset=moved, criterion=replace(SNIP, given={}))

    assert facts(same) == facts(CELL)
    assert same.key == CELL.key


def test_the_dense_baseline_has_no_facts_of_a_criterion():
    assert not [name for name in facts(CELL.dense()) if name.startswith("criterion")]


def test_a_parameter_hides_no_fact_of_its_part():
    model = ModelSpec("vgg", {"stem": "cifar"})

    assert facts(replace(CELL, model=model))["model.stem"] == ""


def test_the_examples_hold():
    assert doctest.testmod(cells).failed == 0
