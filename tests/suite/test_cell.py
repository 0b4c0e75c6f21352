"""What a cell is, and what it says of itself."""

from __future__ import annotations

import doctest
import json
from dataclasses import replace
from pathlib import Path

import pytest

from pabench.suite import cell as module
from pabench.suite.ablations import ABLATIONS
from pabench.suite.cell import Cell, facts
from pabench.suite.digest import digest
from pabench.suite.specs import CriterionSpec, DatasetSpec, ModelSpec, Recipe, Scoring

from ..synthetic import cells

OLDER = Path(__file__).parents[1] / "older" / "cifar_cpu"
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
    "recipe.compact": replace(CELL, recipe=Recipe(compact=True)),
    "recipe.milestones": replace(CELL, recipe=Recipe(milestones=(80,))),
    "scoring.dtype": replace(CELL, scoring=Scoring("float32")),
    "scoring.degenerate": replace(CELL, scoring=Scoring(degenerate="refuse")),
    "scoring.include": replace(CELL, scoring=Scoring(include=("attention",))),
    "scoring.batch": replace(CELL, scoring=Scoring(batch=64)),
    "ablation": replace(CELL, ablation="shuffle"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_cell_of_another_key_differs_in_one_fact_that_has_a_name(name):
    mine, theirs = facts(CELL), facts(OTHERS[name])

    assert {key for key in mine | theirs if mine.get(key) != theirs.get(key)} == {name}
    assert CELL.key != OTHERS[name].key


@pytest.mark.parametrize("name", ["scoring.include", "scoring.batch"])
def test_what_is_included_and_how_many_images_count_as_a_batch_is_in_the_keys_of_masks_and_checks(name):
    other = OTHERS[name]

    assert other.pruning_key != CELL.pruning_key
    assert other.check_key != CELL.check_key
    assert other.block == CELL.block  # weights, order and images are the same
    assert Cell.from_json(other.to_json()) == other


def test_where_neither_is_stated_keys_and_records_are_those_of_before_there_were_the_options():
    network = [CELL.protocol, CELL.dataset.identity(), CELL.model.identity()]

    assert CELL.pruning_key == digest(["pruning", CELL.block, SNIP.identity(), 0.9, {"dtype": "float64"}])
    assert CELL.check_key == digest(["check", *network, SNIP.identity(), "float64"])
    assert CELL.to_json()["scoring"] == {"dtype": "float64", "degenerate": "mark"}
    assert Cell.from_json(CELL.to_json()) == CELL


def test_who_chose_the_type_of_scores_is_in_the_record_and_in_no_key():
    """What a study says of its scoring is that each criterion has what it needs, in all of its cells."""
    chosen = [replace(CELL, scoring=Scoring(because=because)) for because in ("criterion", "network", "dense")]

    assert {(cell.key, cell.pruning_key, cell.check_key) for cell in chosen} == {
        (CELL.key, CELL.pruning_key, CELL.check_key)
    }
    assert [Cell.from_json(cell.to_json()) for cell in chosen] == chosen
    assert chosen[0].to_json()["scoring"] == {"dtype": "float64", "degenerate": "mark", "because": "criterion"}
    assert [facts(cell)["scoring.dtype"] for cell in (CELL, *chosen)] == ["float64", "auto", "auto", "auto"]


def test_what_is_in_no_key_is_no_fact():
    """Where the data lies, what reports call it, and how the suite wrote the criterion."""
    moved = DatasetSpec("folder", {"size": 8, "title": "Mine"}, "/elsewhere", "cd")
    same = replace(CELL, dataset=moved, criterion=replace(SNIP, given={}))

    assert facts(same) == facts(CELL)
    assert same.key == CELL.key


def test_in_what_pictures_are_encoded_is_in_no_key_and_where_it_is_not_known_in_no_record():
    """The content says as much; studies made before it was seen keep their keys and their records."""
    seen = replace(CELL, dataset=replace(CELL.dataset, coding="JPEG"))

    assert facts(seen) == facts(CELL)
    assert (seen.key, seen.pruning_key, seen.check_key) == (CELL.key, CELL.pruning_key, CELL.check_key)
    assert seen.to_json()["dataset"] == {**CELL.to_json()["dataset"], "coding": "JPEG"}
    assert "coding" not in CELL.to_json()["dataset"]
    assert Cell.from_json(seen.to_json()) == seen


@pytest.mark.parametrize("name", ["bits", "held_out_per_class"])
def test_parameters_of_datasets_that_nobody_gave_are_in_no_key_and_given_ones_are(name):
    """Studies made before datasets had them keep their keys."""
    unsaid, said = (replace(CELL, dataset=replace(CELL.dataset, args={"size": 8, name: value})) for value in (0, 12))

    assert facts(unsaid) == facts(CELL)
    assert unsaid.key == CELL.key
    assert facts(said)[f"dataset.{name}"] == 12
    assert said.key != CELL.key


def test_results_of_held_out_images_are_called_so():
    tuned = replace(CELL, dataset=replace(CELL.dataset, args={"title": "mine", "held_out_per_class": 12}))
    assert tuned.dataset.label == "mine, held-out training images"


def test_the_dense_baseline_has_no_facts_of_a_criterion():
    assert not [name for name in facts(CELL.dense()) if name.startswith("criterion")]


def test_a_parameter_hides_no_fact_of_its_part():
    model = ModelSpec("vgg", {"stem": "cifar"})

    assert facts(replace(CELL, model=model))["model.stem"] == ""


def test_the_examples_hold():
    assert doctest.testmod(module).failed == 0


def test_keys_of_cells_are_what_they_were_before_there_were_reference_lines():
    """Cells of a manifest of that time, with the names of the records and receipts that were written for them."""
    entries = json.loads((Path(__file__).parents[1] / "first_cells.json").read_text())
    cells = [Cell.from_json(entry["cell"]) for entry in entries]

    assert not any("trains" in (entry["cell"]["criterion"] or {}) for entry in entries)
    assert [c.key for c in cells] == [entry["key"] for entry in entries]
    assert [c.pruning_key for c in cells if c.criterion] == [e["pruning_key"] for e in entries if e["pruning_key"]]


def test_published_records_bear_the_keys_of_their_cells():
    manifest = json.loads((OLDER / "study.json").read_text())
    cells = [Cell.from_json(cell) for cell in manifest["cells"]]

    assert {c.key for c in cells} == {path.stem for path in (OLDER / "records").glob("*.json")}
    receipts = {path.stem for path in (OLDER / "receipts").glob("*.json")}
    assert {c.pruning_key for c in cells if c.criterion} == receipts


def test_cells_of_a_time_before_ablations_keep_their_keys():
    """Of a synthetic cell, as computed before the field existed."""
    cell = next(c for c in cells() if c.criterion and c.criterion.name == "synflow")

    assert cell.key == "6cd3f91fea842208b72ff2d0a79bc83fa9520c192a0871c016a4e04ac5170ad9"
    assert cell.pruning_key == "0985fab1b2abffc349e043c32161f6decedc2602a5718d4cb76c19d21611343f"
    assert "ablation" not in cell.to_json()
    assert Cell.from_json(cell.to_json()).key == cell.key


def test_each_ablation_has_a_key_of_its_own_and_the_seeds_of_its_block():
    plain = next(c for c in cells() if c.criterion)
    ablated = [replace(plain, ablation=name) for name in ABLATIONS]

    assert len({c.key for c in [plain, *ablated]}) == 6
    assert {c.seed_for("order") for c in ablated} == {plain.seed_for("order")}
    assert {c.parent().key for c in ablated} == {plain.key}
    assert {Cell.from_json(c.to_json()).key for c in ablated} == {c.key for c in ablated}


def test_re_drawn_weights_have_the_masks_of_their_parent_and_the_others_their_own():
    plain = next(c for c in cells() if c.criterion)
    keys = {name: replace(plain, ablation=name).pruning_key for name in ABLATIONS}

    assert keys["reinit"] == plain.pruning_key
    assert len({plain.pruning_key, *keys.values()}) == 5


def test_a_cell_that_is_not_compacted_says_nothing_of_it():
    """As cells of a time before compaction do, whose keys are the same."""
    plain, compact = CELL, OTHERS["recipe.compact"]

    assert "compact" not in plain.to_json()["recipe"]
    assert not Cell.from_json(plain.to_json()).recipe.compact
    assert Cell.from_json(compact.to_json()).key == compact.key
    assert compact.pruning_key == plain.pruning_key  # masks do not depend on how they are trained
