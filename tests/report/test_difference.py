"""`pabench diff`: what changed between two studies, in which cells, and beyond noise or not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pabench.cli.difference import difference_text
from pabench.report.difference import difference
from pabench.store.envelope import seal, unseal
from pabench.suite.specs import ModelSpec

from ..cli.test_main import pabench
from ..synthetic import CRITERIA, ENVIRONMENT, cells, failed, folder, record, with_top1

OLDER = Path(__file__).parents[1] / "older"
NOISE = {0: 0.0, 1: 0.1, 2: -0.1}


def grid(**axes):
    return cells([CRITERIA["random"], CRITERIA["snip"]], **{"models": ["resnet20"], "sparsities": [0.9], **axes})


def faster(cell):
    return replace(cell, recipe=replace(cell.recipe, lr=0.2))


def rewrite(path, key, change):
    """Alter a record as somebody would who knows how it is sealed."""
    file = path / "records" / f"{key}.json"
    found = unseal(file.read_bytes())
    change(found)
    file.write_bytes(seal(found))


@pytest.fixture
def base(tmp_path):
    return folder(tmp_path / "a", grid())


def test_a_study_and_its_copy_are_the_same(base, tmp_path):
    found = difference(base, folder(tmp_path / "b", grid()))

    assert (found.code, found.shared, found.equal, found.changes, found.altered) == (0, 9, 9, (), ())
    assert {one.verdict for one in found.contrasts} == {"identical"}
    assert "verdict: the same" in difference_text(found)


def test_a_tampered_accuracy_is_found_on_equal_machines(base, tmp_path):
    other = folder(tmp_path / "b", grid())
    cell = next(c for c in grid() if c.criterion and c.criterion.name == "snip")
    rewrite(other, cell.key, lambda r: r["result"].update(top1=round(r["result"]["top1"] + 0.5, 2)))

    found = difference(base, other)

    (altered,) = found.altered
    assert (altered.title, altered.what, altered.environment) == (cell.title, ("top-1",), "")
    assert altered.change == pytest.approx(0.5)
    assert (found.code, found.equal) == (3, 8)
    assert "1 cell of one key with two results" in difference_text(found)


def test_a_changed_mask_is_named(base, tmp_path):
    other = folder(tmp_path / "b", grid())
    rewrite(other, grid()[1].key, lambda r: r["receipt"].update(mask="0" * 64))

    assert [one.what for one in difference(base, other).altered] == [("mask",)]


def test_another_version_of_torch_explains_small_changes_and_is_named(base, tmp_path):
    """Results differ in the loss alone: no accuracy changed, so nothing is beyond noise."""

    def elsewhere(cell):
        good = record(cell, environment={**ENVIRONMENT, "torch": "2.11.0"})
        return {**good, "result": {**good["result"], "loss": good["result"]["loss"] + 1e-7}}

    found = difference(base, folder(tmp_path / "b", grid(), elsewhere))

    assert (len(found.altered), found.unexplained, found.code) == (9, 0, 0)
    assert found.altered[0].environment == "torch 2.14.1 and 2.11.0"
    assert [(c.what, c.first, c.second) for c in found.changes] == [("environment: torch", "2.14.1", "2.11.0")]


def test_what_may_differ_between_executions_is_no_difference(base, tmp_path):
    later = folder(
        tmp_path / "b", grid(), lambda cell: record(cell, created="2027-01-01T00:00:00Z", cost={}, attempt=2)
    )

    assert difference(base, later).code == 0


def test_a_dense_record_without_its_accuracy_on_training_images_is_an_older_one(base, tmp_path):
    def older(cell):
        return {k: v for k, v in record(cell).items() if k != "training_images"}

    found = difference(base, folder(tmp_path / "b", grid(), older))

    assert (found.code, found.altered) == (0, ())
    assert [(one.what, one.lacking, one.cells) for one in found.older] == [("training_images", "study (b)", 3)]


def test_a_change_of_the_recipe_is_tested_in_pairs_with_holm(tmp_path):
    """random: 0.0, 0.1, -0.1: mean 0. snip: +3 with SD 0.1: t = 3 / (0.1 / sqrt 3) = 51.96, p = 0.00037, times 3."""
    a = folder(tmp_path / "a", grid(), with_top1(lambda c: 80.0))
    gain = with_top1(lambda c: 80.0 + (3.0 if c.criterion and c.criterion.name == "snip" else 0.0) + NOISE[c.seed])
    b = folder(tmp_path / "b", [faster(c) for c in grid()], gain)

    found = difference(a, b)

    told = {one.criterion: one for one in found.contrasts}
    assert {name: one.verdict for name, one in told.items()} == {
        "dense": "not separable", "random": "not separable", "snip": "higher",
    }  # fmt: skip
    assert told["snip"].change.mean == pytest.approx(3.0)
    assert told["snip"].p == pytest.approx(3 * 0.000370, rel=0.01)
    assert all(one.paired for one in found.contrasts)
    assert (found.shared, found.corresponding, found.code) == (0, 9, 3)
    assert [(c.what, c.first, c.second) for c in found.changes] == [("recipe on cifar10: lr", "0.1", "0.2")]
    assert difference(b, a).code == 3
    assert {one.criterion: one.verdict for one in difference(b, a).contrasts}["snip"] == "lower"


def test_a_change_within_noise_is_called_not_separable(tmp_path):
    a = folder(tmp_path / "a", grid(), with_top1(lambda c: 80.0))
    b = folder(tmp_path / "b", [faster(c) for c in grid()], with_top1(lambda c: 80.0 + NOISE[c.seed]))

    found = difference(a, b)

    assert found.code == 0
    assert "verdict: not separable: no change beyond noise was found, which proves no equality" in difference_text(
        found
    )


def test_other_weights_of_one_seed_are_no_pairs(tmp_path):
    """A network with other arguments is another block: two samples of 3, not 3 differences."""
    a = folder(tmp_path / "a", grid(), with_top1(lambda c: 80.0 + NOISE[c.seed]))
    other = [replace(c, model=ModelSpec("resnet20", {"zero_init_last": False})) for c in grid()]
    b = folder(tmp_path / "b", other, with_top1(lambda c: 80.0 + NOISE[c.seed]))

    found = difference(a, b)

    assert {(one.paired, one.change.n, one.change.method) for one in found.contrasts} == {(False, 6, "two samples")}
    assert found.code == 0
    assert "unpaired: other weights" in difference_text(found)


def test_one_seed_gives_no_verdict(tmp_path):
    a = folder(tmp_path / "a", grid(seeds=1), with_top1(lambda c: 80.0))
    b = folder(tmp_path / "b", [faster(c) for c in grid(seeds=1)], with_top1(lambda c: 85.0))

    found = difference(a, b)

    assert (found.code, {one.verdict for one in found.contrasts}) == (4, {"not tested"})
    assert "with so few seeds nothing can be tested" in difference_text(found)


def test_studies_of_different_things_give_no_verdict(base, tmp_path):
    found = difference(base, folder(tmp_path / "b", grid(models=["vgg11_bn"])))

    assert (found.code, found.contrasts, len(found.only_first), len(found.only_second)) == (4, (), 9, 9)
    assert [(c.what, c.first, c.second) for c in found.changes] == [("models of one alone", "resnet20", "vgg11_bn")]


def test_a_criterion_whose_source_changed_is_named_by_the_hashes(base, tmp_path):
    def edited(cell):
        changed = cell.criterion and cell.criterion.name == "snip"
        return replace(cell, criterion=replace(cell.criterion, source="ab" * 32)) if changed else cell

    found = difference(base, folder(tmp_path / "b", [edited(c) for c in grid()]))

    assert [(c.what, c.first, c.second) for c in found.changes] == [("criterion snip: source", "", "abababababab")]
    assert (found.shared, found.corresponding) == (6, 3)


@pytest.mark.parametrize(("other", "code"), [(lambda _: None, 0), (failed, 4)], ids=["missing", "failed"])
def test_what_is_finished_in_one_study_alone_is_listed_and_a_failure_is_no_equal_result(base, tmp_path, other, code):
    """A seed that has not run yet says nothing; one that failed leaves survivors, of which there is no verdict."""

    def some(cell):
        if cell.seed == 2 and cell.criterion:
            return other(cell) if cell.criterion.name == "snip" else None
        return record(cell)

    found = difference(base, folder(tmp_path / "b", grid(), some))

    became = "missing" if code == 0 else "failed"
    assert [line.rpartition(": ")[2] for line in found.unlike] == ["ok and missing", f"ok and {became}"]
    assert (found.code, found.equal) == (code, 7)


def test_a_broken_record_is_counted_and_absent(base, tmp_path):
    other = folder(tmp_path / "b", grid())
    file = other / "records" / f"{grid()[1].key}.json"
    file.write_bytes(file.read_bytes()[:-9])

    found = difference(base, other)

    assert found.broken == (0, 1)
    assert "1 broken record, treated as absent" in difference_text(found)


def test_the_command_prints_json_for_programs_and_exits_by_the_verdict(base, tmp_path):
    other = folder(tmp_path / "b", [faster(c) for c in grid()], with_top1(lambda c: 20.0 + NOISE[c.seed]))

    said = pabench("diff", base, other, "--json")

    told = json.loads(said.stdout)
    assert (said.returncode, told["code"]) == (3, 3)
    assert {one["verdict"] for one in told["contrasts"]} == {"lower"}


def test_a_folder_without_a_study_is_one_line(base, tmp_path):
    said = pabench("diff", base, tmp_path / "nowhere")

    assert (said.returncode, said.stdout) == (5, "")
    assert said.stderr.count("\n") == 1
    assert "no study.json" in said.stderr


def test_a_study_of_a_version_to_come_is_one_line(base, tmp_path):
    """Its cells have entries that this pabench does not know."""
    strange = [{**c.to_json(), "novelty": 1} for c in grid()]
    other = folder(tmp_path / "b", grid(), cells=strange)
    novel = folder(tmp_path / "c", grid(), cells=[{**c, "model": {**c["model"], "novelty": 1}} for c in strange])

    assert pabench("diff", base, other).returncode == 0
    said = pabench("diff", base, novel)
    assert said.returncode == 4  # 3 would be a verdict
    assert said.stderr.count("\n") == 1
    assert "was another version of pabench used?" in said.stderr


@pytest.mark.parametrize("command", [["report"], ["status"], ["status", "--pairing"], ["export", "-o", "cells.csv"]])
def test_every_command_tells_a_study_of_a_version_to_come_in_one_line(tmp_path, command):
    novel = [{**c.to_json(), "seed": None} for c in grid()]

    said = pabench(*command, folder(tmp_path / "a", grid(), cells=novel), cwd=tmp_path)

    assert (said.returncode, said.stdout) == (3, "")
    assert said.stderr.count("\n") == 1
    assert "study.json: cannot be read as a study (TypeError: " in said.stderr
    assert "was another version of pabench used?" in said.stderr


def test_names_cannot_write_to_the_terminal(tmp_path):
    hostile = replace(CRITERIA["snip"], name="\x1b[2Jsnip\n")
    expected = cells([hostile], models=["resnet20"], sparsities=[0.9], seeds=1)
    a = folder(tmp_path / "a", expected, name="a\x1b[31m")
    b = folder(tmp_path / "b", [faster(c) for c in expected], name="b")

    text = difference_text(difference(a, b))

    assert "\x1b" not in text
    assert "snip 0.9" not in [line[:8] for line in text.splitlines()]


def without(value, path):
    """A deep copy that lacks one field."""
    first, *rest = path
    return {k: without(v, rest) if k == first else v for k, v in value.items() if rest or k != first}


EXAMPLE = record(grid()[1])


FIELDS = ["flags", "labels", "pairing", "pairing.order", "receipt", "receipt.mask", "receipt.layers", "result.top1"]
FIELDS += ["result.flops.pruned", "cell.recipe.lr", "environment.threads", "cost.wall_seconds", "created"]


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_one_side_lacks_is_an_older_record_and_named(base, tmp_path, name):
    def older(cell):
        return without(record(cell), name.split(".")) if cell.key == EXAMPLE["key"] else record(cell)

    other = folder(tmp_path / "b", grid(), older)
    told = {"receipt.mask": "mask", "result.top1": "top-1"}.get(name, name)
    for found in (difference(base, other), difference(other, base)):
        assert (found.code, found.altered, found.changes) == (0, (), ())
        assert [(one.what, one.lacking, one.cells) for one in found.older] == [(told, "study (b)", 1)]
        assert f"older record: what one side does not say is no difference:\n  {told}: not in" in difference_text(found)


def test_layers_of_an_older_record_are_no_difference_and_other_counts_in_them_are(base, tmp_path):
    older = folder(tmp_path / "older", grid())
    other = folder(tmp_path / "other", grid())
    key = grid()[1].key
    rewrite(older, key, lambda r: [layer.pop("zero_scores") for layer in r["receipt"]["layers"]])
    rewrite(other, key, lambda r: r["receipt"]["layers"][2].update(kept=0))

    assert [(one.what, one.cells) for one in difference(base, older).older] == [("receipt.layers.zero_scores", 1)]
    assert difference(base, older).code == 0
    assert [one.what for one in difference(base, other).altered] == [("receipt.layers.kept",)]


def test_what_a_record_says_of_its_cell_is_no_result(base, tmp_path):
    """Where data lie and how parameters are ordered in a label: the key is the same."""

    def elsewhere(cell):
        good = record(cell)
        good["cell"]["dataset"]["path"] = "/elsewhere"
        return {**good, "labels": {**good["labels"], "criterion": "snip (b=1, a=2)"}}

    found = difference(base, folder(tmp_path / "b", grid(), elsewhere))

    assert (found.code, found.equal, found.altered) == (0, 9, ())


def test_fields_that_differ_are_named_one_by_one(base, tmp_path):
    other = folder(tmp_path / "b", grid())
    key = grid()[1].key

    def change(r):
        r["result"]["top5"], r["receipt"]["kept"], r["pairing"]["order"] = 1.0, 7, "0" * 64

    rewrite(other, key, change)

    found = difference(base, other)

    assert [one.what for one in found.altered] == [("pairing.order", "receipt.kept", "result.top5")]
    assert (found.code, found.unexplained) == (3, 1)
    assert "differs: pairing.order, receipt.kept, result.top5" in difference_text(found)


@pytest.mark.parametrize("name", ["cifar_cpu", "sanity_cpu", "sanity_resnet20"])
def test_studies_of_older_versions_compare_clean_with_each_other_and_themselves(name):
    """`cifar_cpu` and `sanity_resnet20` have 12 cells in common, the later ones with fields that the earlier lack."""
    again = "cifar_cpu" if name == "sanity_resnet20" else name

    found = difference(OLDER / again, OLDER / name)

    assert (found.code, found.altered) == (0, ())
    named = {one.what for one in found.older}
    assert named >= ({"receipt.score_histogram", "result.flops.layers"} if again != name else set())
    assert bool(named) is (again != name)


def test_a_study_whose_cells_failed_is_not_called_higher(tmp_path):
    """snip is ten points better where it trains, and failed in one seed of five."""

    def better(cell):
        high = with_top1(lambda c: 97 + 0.1 * (c.seed % 2))(cell) if cell.criterion else record(cell)
        return failed(cell) if cell.criterion and (cell.criterion.name, cell.seed) == ("snip", 4) else high

    def low(cell):
        return with_top1(lambda c: 87 + 0.1 * (c.seed % 3))(cell)

    found = difference(folder(tmp_path / "a", grid(seeds=5), low), folder(tmp_path / "b", grid(seeds=5), better))

    verdicts = {one.criterion: (one.verdict, one.p) for one in found.contrasts}
    assert verdicts["snip"] == ("not tested", None)
    assert verdicts["random"][0] == "higher"


def test_a_change_of_which_cells_collapsed_has_no_interval(tmp_path):
    def some(cell):
        return with_top1(lambda c: 10.0 if c.seed == 1 else 88.0 + 0.1 * c.seed)(cell)

    found = difference(folder(tmp_path / "a", grid(seeds=5)), folder(tmp_path / "b", grid(seeds=5), some))

    changes = [one for one in found.contrasts if one.criterion != "dense"]
    assert {(one.change.low, one.verdict) for one in changes} == {(None, "not separable")}
