"""What a submission says besides accuracies: names, notes, flags, costs. What is not so is caught at its level."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pabench import registry
from pabench.cli.running import carry_out
from pabench.errors import DataError, RefusedError
from pabench.leaderboard import sitefiles
from pabench.leaderboard.publish import publish
from pabench.leaderboard.submission import submit
from pabench.leaderboard.verification.folder import read
from pabench.leaderboard.verification.rerun import Where
from pabench.leaderboard.verification.verify import verify
from pabench.run.session import Options, Session
from pabench.scoring.control import Control
from pabench.source import declared
from pabench.store import maskbits, schema
from pabench.store.envelope import unseal
from pabench.store.record import same_labels
from pabench.suite.cell import Cell

from ...conftest import forget_plugins
from ...forgery import Forgery, packed

HERE = Where(trust=("steep",))
REFERENCE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 10, test_per_class: 10}]
models: [lenet_300_100]
criteria:
  - {name: snip, steps: 2, schedule: linear}
  - grasp@official
  - magnitude_after_training
  - small_dense
  - {name: random, allocation: "as:magnitude"}
sparsities: [0.8]
seeds: 1
recipe: {epochs: 1, batch_size: 32, lr: 0.05, augment: none}
"""


@pytest.fixture(scope="module")
def references(tmp_path_factory) -> Path:
    """A submission with two reference lines, a variant, parameters out of alphabetical order and a donor."""
    folder = tmp_path_factory.mktemp("lines")
    (folder / "lines.yaml").write_text(REFERENCE)
    forget_plugins()
    options = Options(suite=str(folder / "lines.yaml"), output=folder / "out", engine="inline", device="cpu")
    assert carry_out(Session.open(options)) == 0
    return submit(folder / "out", folder / "submission").folder


@pytest.fixture
def lines(references, tmp_path) -> Forgery:
    return Forgery(references, tmp_path / "forged_lines")


def flaws(forged: Forgery, level: int = 2) -> list[str]:
    """What the last level that was reached says."""
    forged.means()
    found = verify(forged.listing(), level, seed=1, where=HERE)
    return [str(flaw) for flaw in found.levels[-1].flaws]


def one(found: list[str], *parts: str) -> bool:
    return any(all(part in flaw for part in parts) for flaw in found)


def of(name: str, how: Callable[[dict[str, Any]], None], seed: int | None = None) -> Callable[[dict[str, Any]], None]:
    """A change of the criterion in cells of one criterion (and seed) alone."""

    def change(cell: dict[str, Any]) -> None:
        rule = cell["criterion"]
        if rule and rule["name"] == name and seed in (None, cell["seed"]):
            how(rule)

    return change


def test_honest_reference_lines_variants_and_donors_pass_three_levels(references):
    found = verify(references, 3, seed=1, where=HERE)

    assert [str(flaw) for level in found.levels for flaw in level.flaws] == []
    assert found.passed == 3
    told = {o["title"].split(" / ")[2]: o["outcome"] for o in found.levels[2].outcomes}
    assert told["small_dense 0.8"] == "the same network"
    assert told["grasp@official 0.8"] == "equal"
    assert len(told) == 5


# --- what criteria say of themselves ----------------------------------------------------------------------------------
def test_what_is_read_from_the_files_of_built_in_criteria_is_what_their_classes_say():
    classes: dict[str, Any] = registry.group("criteria").classes
    known = {n: c for n, c in classes.items() if c.__module__.startswith("pabench_criteria.")}

    assert set(declared()) == set(known)
    for name, cls in known.items():
        found = declared()[name]
        assert (found.trains, found.reference_line) == (cls.trains, cls.reference_line), name
        assert found.variants == cls.variants, name
        assert found.control == issubclass(cls, Control), name


def test_a_reference_line_that_says_it_is_a_criterion_falls_at_level_two(lines):
    lines.cells(of("magnitude_after_training", lambda rule: rule.update(reference_line="")))

    assert one(
        flaws(lines),
        "level 2: study.json: criteria.magnitude_after_training.reference_line: expected 'not at initialization",
        "found ''",
    )


def test_a_criterion_that_says_it_trains_nothing_falls_at_level_two(lines):
    lines.cells(of("magnitude_after_training", lambda rule: rule.update(trains=False)))

    assert one(flaws(lines), "level 2: study.json: criteria.magnitude_after_training.trains: expected True (its class)")


def test_a_criterion_that_withdraws_from_the_ranking_falls_at_level_two(forgery):
    forgery.cells(of("snip", lambda rule: rule.update(reference_line="not at initialization: withdrawn")))

    assert one(flaws(forgery), "level 2: study.json: criteria.snip.reference_line: expected '' (its class)")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"reference_line": "not ranked"},
            "criteria.steep.reference_line: expected '' (its class), found 'not ranked'",
        ),
        ({"trains": True}, "criteria.steep.trains: expected False (its class), found True"),
    ],
)
def test_of_a_plugin_its_class_is_asked_at_level_three(forgery, entry, message):
    forgery.cells(of("steep", lambda rule: rule.update(entry)))

    assert one(flaws(forgery, 3), "level 3: study.json: digits / lenet_300_100 / steep", message)


def test_a_donor_that_its_allocation_does_not_name_falls_at_level_two(lines):
    lines.cells(of("random", lambda rule: rule.update(donor={})))

    assert one(flaws(lines), "level 2: study.json: criteria.random (allocation=as:magnitude).donor: expected magnitude")


# --- what a label means -----------------------------------------------------------------------------------------------
def suite(forged: Forgery, old: str, new: str) -> None:
    forged.study(lambda s: s.update(suite=s["suite"].replace(old, new)))


def test_a_label_that_the_suite_does_not_give_falls_at_level_one(forgery):
    forgery.cells(of("snip", lambda rule: rule.update(given={"steps": 100})))

    assert one(
        flaws(forgery), "level 1: study.json: criteria: expected random, snip, steep (the suite's), found random"
    )


def test_a_label_in_suite_and_cells_that_the_parameters_are_not_falls_at_level_one(forgery):
    forgery.cells(of("snip", lambda rule: rule.update(given={"steps": 100})))
    suite(forgery, "snip", "{name: snip, steps: 100}")

    (only,) = flaws(forgery)
    assert only == (
        "level 1: study.json: criteria.snip (steps=100): expected steps=100 (the suite's), found steps=1 among its args"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("snip@official-best", ".name: expected a variant that the criterion has (synaptic-flow), found official-best"),
        ("snip@synaptic-flow", ".args.bn: expected eval (the variant's), found train"),
    ],
)
def test_a_variant_that_it_is_not_falls_at_level_two(forgery, name, message):
    forgery.cells(of("snip", lambda rule: rule.update(name=name)))
    suite(forgery, "snip", name)
    variant = name.partition("@")[2]
    for sparsity in (0.8, 0.9):
        for seed in (0, 1):
            forgery.mask(forgery.record(name, sparsity, seed), lambda flat: None, variant=variant)

    (only,) = flaws(forgery)
    assert only == f"level 2: study.json: criteria.{name}{message}"


def test_a_variant_that_a_plugin_does_not_have_falls_at_level_three(forgery):
    forgery.cells(of("steep", lambda rule: rule.update(name="steep@best")))
    suite(forgery, "steep", "steep@best")
    for sparsity in (0.8, 0.9):
        for seed in (0, 1):
            forgery.mask(forgery.record("steep@best", sparsity, seed), lambda flat: None, variant="best")

    assert one(flaws(forgery, 3), "level 3: study.json", "criteria.steep@best: expected a variant and parameters that")


def test_two_settings_under_one_label_fall_at_level_one(forgery):
    """The better one of two settings for each seed."""
    forgery.cells(of("snip", lambda rule: rule["args"].update(examples_per_class=1), seed=1))

    assert one(
        flaws(forgery), "level 1: study.json: cells: expected one meaning of the criterion snip, and no second name"
    )


def test_two_labels_of_one_setting_fall_at_level_one(forgery):
    forgery.cells(of("snip", lambda rule: rule.update(given={"steps": 1}), seed=1))

    assert one(
        flaws(forgery), "level 1: study.json: cells: expected one meaning of the criterion snip and snip (steps=1)"
    )


def test_another_recipe_than_the_suites_falls_at_level_one_whatever_differs(forgery):
    forgery.cells(lambda cell: cell["recipe"].update(weight_decay=0.01))

    assert one(flaws(forgery), "level 1: study.json: recipe.weight_decay: expected 0.0001 (the suite's), found 0.01")


def test_parameters_may_stand_in_any_order_in_the_labels_of_older_records(lines):
    path = lines.record("snip", 0.8, 0)
    assert unseal(path.read_bytes())["labels"]["criterion"] == "snip (schedule=linear, steps=2)"
    lines.change(path, lambda r: r["labels"].update(criterion="snip (steps=2, schedule=linear)"))

    assert flaws(lines) == []
    assert not same_labels({"criterion": "snip (steps=2, schedule=linear)"}, {"criterion": "snip (steps=2)"})


# --- another network in place of a mask -------------------------------------------------------------------------------
def unmask(forged: Forgery, name: str, sparsity: float, seed: int) -> None:
    """A cell that says that it trained another network, of as many parameters, with numbers that fit."""

    def how(found: dict[str, Any]) -> None:
        receipt = found["receipt"]
        left = 50610 - 50200 + receipt["kept"]  # the parameters of lenet_300_100 on digits, 50,200 of them prunable
        del receipt["mask"]
        receipt.update(model={"name": "lenet_300_100", "args": {}, "stem": ""}, left=left, parameters_instead=left)
        found["pairing"].pop("weights")
        if found.get("result"):
            found["result"]["parameters"]["pruned"] = left
            found["result"].update(top1=99.9, top5=100.0)

    path = forged.record(name, sparsity, seed)
    sha = unseal(path.read_bytes())["receipt"]["mask"]
    forged.both(path, how)
    (forged.folder / "masks" / f"{sha}.safetensors").unlink()


def test_a_criterion_without_its_mask_falls_at_level_two(forgery):
    unmask(forgery, "snip", 0.9, 0)

    found = flaws(forgery)
    assert one(found, "level 2: records/", "snip 0.9 / seed 0: receipt.model: expected a mask, it is no control")
    assert one(found, "receipt.model: expected a mask, as digits / lenet_300_100 / snip")


def test_a_plugin_that_hides_one_of_its_masks_falls_at_level_two_and_all_of_them_at_level_three(forgery):
    unmask(forgery, "steep", 0.8, 0)
    assert one(flaws(forgery), "level 2: records/", "steep 0.8 / seed 0: receipt.model: expected a mask, as digits")

    for place in ((0.8, 1), (0.9, 0), (0.9, 1)):
        unmask(forgery, "steep", *place)
    assert flaws(forgery) == []
    assert one(
        flaws(forgery, 3),
        "level 3: records/",
        "/ steep ",
        "receipt.model: expected a mask (made here), found another network",
    )


def test_a_control_with_more_parameters_than_it_may_have_falls_at_level_two_and_another_network_at_three(lines):
    path = lines.record("small_dense", 0.8, 0)
    before = unseal(path.read_bytes())["receipt"]

    def parameters(found: dict[str, Any], n: int) -> None:
        found["receipt"].update(parameters_instead=n)
        if found.get("result"):
            found["result"]["parameters"]["pruned"] = n

    lines.both(path, lambda found: parameters(found, before["left"] + 1))
    most = f"more than 0 and at most {before['left']}, found {before['left'] + 1}"
    assert one(flaws(lines), f"level 2: records/{path.name}", f"result.parameters.pruned: expected {most}")

    lines.both(path, lambda found: parameters(found, before["left"]))
    assert flaws(lines) == []
    found = flaws(lines, 3)
    assert one(found, f"level 3: records/{path.name}", f"expected {before['parameters_instead']} (made here)")
    assert one(found, "result.parameters.pruned: expected", "(the network's)")


# --- flags and scores -------------------------------------------------------------------------------------------------
def restate(forged: Forgery, path: Path, how: Callable[[dict[str, Any]], None]) -> None:
    """Alter a receipt in the record, in its own file and in the header of the mask alike."""
    receipt = json.loads(json.dumps(unseal(path.read_bytes())["receipt"]))
    how(receipt)
    header = {k: v for k, v in receipt.items() if k not in ("scores", "score_histogram", "gradient_norm", "mask")}
    forged.mask(path, lambda flat: None, **header)
    later = {k: v for k, v in receipt.items() if k in ("scores", "score_histogram", "gradient_norm")}
    forged.both(path, lambda found: found["receipt"].update(later))


def zeros(receipt: dict[str, Any]) -> None:
    """All scores of the first two layers are 0: 19,200 and 30,000 of 50,200."""
    for layer in receipt["layers"][:2]:
        layer["zero_scores"] = layer["total"]
    receipt.update(zero_scores=sum(layer["zero_scores"] for layer in receipt["layers"]), score_histogram={})


@pytest.mark.parametrize(
    ("how", "flag"),
    [
        (zeros, "degenerate"),
        (lambda r: r.update(non_finite_scores=5000, score_histogram={}), "non-finite"),
        (lambda r: r.update(tied_at_threshold=40000, kept_of_tied=2000), "tied"),
    ],
)
def test_a_flag_that_its_own_numbers_earn_cannot_be_left_out(forgery, how, flag):
    path = forgery.record("snip", 0.8, 0)
    restate(forgery, path, how)

    (only,) = flaws(forgery)
    assert only.startswith(f"level 2: records/{path.name}: digits / lenet_300_100 / snip 0.8 / seed 0: flags: expected")
    assert f"expected {flag} (from the receipt's numbers), found none" in only


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda r: r.update(zero_scores=7), "receipt.zero_scores: expected 0 (the sum of its layers), found 7"),
        (lambda r: r.update(kept_of_tied=60000), "receipt.kept_of_tied: expected at most"),
        (lambda r: r.update(rounds=0), "receipt.rounds: expected at least 1"),
        (lambda r: r["score_histogram"]["positive"].append(5), "receipt.score_histogram: expected 50200 finite scores"),
        (lambda r: r["scores"].update({"0": 1e9}), "receipt.scores: expected quantiles in ascending order"),
        (lambda r: r["layers"][0].update(zero_scores=10**6), "at most 19200 scores of 0, found 1000000"),
    ],
)
def test_counts_of_scores_that_do_not_fit_each_other_fall_at_level_two(forgery, how, message):
    path = forgery.record("random", 0.8, 0)
    restate(forgery, path, how)

    assert one(flaws(forgery), f"level 2: records/{path.name}", message)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda r: r.update(tied_at_threshold=3), "receipt.tied_at_threshold: expected 1 (made here), found 3"),
        (lambda r: r.update(rounds=2), "receipt.rounds: expected 1 (made here), found 2"),
        (zeros, "receipt.zero_scores: expected"),
    ],
)
def test_numbers_of_scores_that_fit_each_other_are_compared_with_those_made_here(forgery, monkeypatch, how, message):
    path = forgery.record("snip", 0.8, 0)
    restate(forgery, path, how)
    if how is zeros:
        forgery.both(path, lambda found: found.update(flags=[{"flag": "degenerate", "detail": ""}]))
    monkeypatch.setattr(
        "pabench.leaderboard.verification.rederived.masked", lambda cells, *_: [c for c in cells if c.key == path.stem]
    )

    found = flaws(forgery, 3)
    assert one(found, f"level 3: records/{path.name}", message)
    assert how is not zeros or one(found, "flags: expected none (made here), found degenerate")


# --- costs, curves, hashes --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("level", "how", "message"),
    [
        (2, lambda r: r["cost"].update(training_seconds=0.0), "cost.training_seconds: expected more than 0, found 0.0"),
        (2, lambda r: r["cost"].clear(), "cost.wall_seconds: expected more than 0, found None"),
        (2, lambda r: r["cost"].update(wall_seconds=1e-9), "cost.wall_seconds: expected at least"),
        (2, lambda r: r["cost"].update(scoring_seconds=1e-9), "cost.scoring_seconds: expected"),
        (1, lambda r: r["cost"].update(training_seconds=1e308), "cost.training_seconds: expected Input should be less"),
        (1, lambda r: r["result"].update(loss=1e308), "result.loss: expected Input should be less than or equal"),
        (1, lambda r: r["result"].update(curve={}), "result.curve.loss: expected Field required"),
        (
            1,
            lambda r: r["result"]["curve"].update(top1=[-5.0]),
            "result.curve.top1.0: expected Input should be greater",
        ),
        (1, lambda r: r["result"]["curve"].update(top1=[1e6]), "result.curve.top1.0: expected Input should be less"),
        (1, lambda r: r["result"]["curve"].update(more=["x"]), "result.curve.more.0: expected Input should be a valid"),
        (1, lambda r: r.update(created="yesterday"), "created: expected String should match pattern"),
        (1, lambda r: r.update(bank="a"), "bank: expected"),
    ],
)
def test_costs_and_curves_that_no_training_has_are_named(forgery, level, how, message):
    path = forgery.record()
    forgery.change(path, how)

    assert one(flaws(forgery), f"level {level}: records/{path.name}", message)


@pytest.mark.parametrize(("criterion", "images"), [("snip", 7), ("random", 100)])
def test_scoring_images_are_a_number_a_class_and_none_without_a_batch(forgery, criterion, images):
    path = forgery.record(criterion)
    forgery.both(path, lambda found: found["cost"].update(scoring_images=images))

    assert one(flaws(forgery), f"level 2: records/{path.name}", "cost.scoring_images: expected", f"found {images}")


def test_scoring_images_that_could_be_are_compared_with_those_made_here(forgery, monkeypatch):
    path = forgery.record("snip")
    forgery.both(path, lambda found: found["cost"].update(scoring_images=10))
    monkeypatch.setattr(
        "pabench.leaderboard.verification.rederived.masked", lambda cells, *_: [c for c in cells if c.key == path.stem]
    )

    assert one(flaws(forgery, 3), f"level 3: records/{path.name}", "cost.scoring_images: expected 100 (made here)")


def test_hashes_of_weights_cannot_be_left_out_everywhere(forgery):
    for kind in ("records", "receipts"):
        for path in forgery.folder.glob(f"{kind}/*.json"):
            forgery.change(path, lambda found: found["pairing"].pop("weights", None))

    found = flaws(forgery)
    assert len(found) == 14
    assert one(found, "level 2: records/", "pairing: expected hashes of weights, order, augmentation, scoring_batch")
    assert all("found no weights" in flaw for flaw in found)


# --- one submission that would break a page for all -------------------------------------------------------------------
HUGE = 10**400


@pytest.mark.parametrize(
    "entry",
    [
        *(
            {name: value}
            for name in ("tied_at_threshold", "zero_scores", "rounds", "kept")
            for value in ("x", [1], HUGE)
        ),
        {"gradient_norm": "x"},
        {"gradient_norm": {"before": "x", "after": 1.0}},
        {"scores": {"0": "x"}},
        {"score_histogram": {"first": 10**9, "positive": [1], "negative": [0], "zero": 0}},
        {"score_histogram": {"first": 0, "positive": [HUGE], "negative": [0], "zero": 0}},
        {"score_histogram": None},
        {"layers": [{"name": "a", "shape": [2], "total": 2, "kept": 1, "zero_scores": "x"}]},
        {"anything": {"else": [HUGE]}},
    ],
    ids=lambda entry: str(entry)[:40],
)
def test_what_no_table_can_hold_in_a_receipt_falls_at_level_one(forgery, entry):
    path = forgery.record()
    forgery.both(path, lambda found: found["receipt"].update(entry))

    assert one(flaws(forgery), f"level 1: records/{path.name}", f"receipt.{next(iter(entry))}")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"metrics": [1]}, "metrics.0: expected"),
        ({"metrics": "abc"}, "metrics: expected"),
        ({"metrics": None}, "metrics: expected"),
        ({"metrics": [{"name": "x", "nope": 1}]}, "metrics.0.nope: expected"),
        ({"metrics": [{"name": "x", "args": 5}]}, "metrics.0.args: expected"),
        ({"metrics": [{"name": "x", "stage": "moon"}]}, "metrics.0.stage: expected"),
        ({"metrics": [{"name": '=HYPERLINK("http://evil","x")'}]}, "metrics.0.name: expected String should match"),
        ({"metrics": [{"name": "top1"}]}, "metrics: expected names of metrics that no other column of a table has"),
        ({"metrics": [{"name": "a"}, {"name": "a"}]}, "metrics: expected names of metrics that no other column"),
        ({"command": 5}, "command: expected"),
        ({"title": ["a"]}, "title: expected"),
        ({"suite_path": 5}, "suite_path: expected"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_study_that_would_break_a_page_falls_at_level_one(forgery, entry, message):
    forgery.study(lambda s: s.update(entry))

    assert one(flaws(forgery), f"level 1: study.json: {message}")


@pytest.mark.parametrize("change", [{"seed": HUGE}, {"sparsity": HUGE}])
def test_a_cell_with_a_number_that_is_none_falls_at_level_one(forgery, change):
    forgery.study(lambda s: s["cells"].__setitem__(3, {**s["cells"][3], **change}))
    forgery.listing()

    where = f"level 1: study.json: cells.3.{next(iter(change))}: expected whole numbers below 2**63"
    assert one([str(flaw) for flaw in verify(forgery.folder).levels[-1].flaws], where)


def test_images_a_class_that_are_no_count_fall_at_level_one(submission):
    data = read(submission).study["cells"][1]
    data["criterion"]["args"]["examples_per_class"] = "x"

    with pytest.raises(ValueError, match=r"criterion\.args\.examples_per_class: expected a count, not x"):
        schema.cell(data)


def test_a_mask_of_no_weights_and_an_endless_side_is_no_mask():
    data = packed({"w": np.ones((2, 2), bool)}, {})
    header = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + header].replace(b"[2, 2]", b"[0, 1" + b"0" * 30 + b"]").replace(b'"shape":[1]', b'"shape":[0]')
    text = text.replace(b'"data_offsets":[0,1]', b'"data_offsets":[0,0]')

    with pytest.raises(DataError, match="no mask file of pabench"):
        maskbits.read(len(text).to_bytes(8, "little") + text)


def test_neither_a_cell_nor_a_header_of_a_table_is_a_formula():
    frame = pd.DataFrame({"=HYPERLINK(1)": ["@x", "y"], "top1": [-1.0, 2.0]})

    assert sitefiles.table(frame) == b"'=HYPERLINK(1),top1\n'@x,-1.0\ny,2.0\n"


def test_who_publishes_is_told_which_folder_breaks_the_page_and_where(forgery, tmp_path):
    forgery.both(forgery.record(), lambda found: found["receipt"].update(rounds=HUGE))
    forgery.means()

    with pytest.raises(RefusedError, match=r"forged: not published(.|\n)*receipt\.rounds: expected whole numbers"):
        publish([str(forgery.listing())], tmp_path / "site")


def test_every_cell_of_the_forgers_tools_is_one(submission, tmp_path):
    """The tools change nothing where nothing is changed: what falls above falls for what was forged."""
    forged = Forgery(submission, tmp_path / "same")
    forged.cells(lambda cell: None)
    restate(forged, forged.record(), lambda receipt: None)

    assert flaws(forged) == []
    assert {Cell.from_json(c).key for c in read(forged.folder).study["cells"]} == set(
        read(forged.folder).all("records")
    )
