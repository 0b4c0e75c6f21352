"""The second stage of a cell: what its record says of a trained network, and what is flagged."""

from __future__ import annotations

import json
import re
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from pabench_reports import about, checklist, leaderboard, overview

from pabench.cli.results import status_text
from pabench.cli.running import carry_out
from pabench.data.dataset import take
from pabench.networks import liveness
from pabench.report.folders import read
from pabench.report.status import counts
from pabench.store import maskbits
from pabench.store.imagebits import unpacked
from pabench.store.store import Store, outcome
from pabench.store.verdict import DEAD
from pabench.suite.ablations import ABLATIONS
from pabench.suite.specs import Recipe
from pabench.training.block import Block
from pabench.training.train import _compacted

from ..pageless import undrawn
from .conftest import CPU, SUITE, named, session

COLLAPSING = SUITE.replace("[random, snip]", "[random, magnitude]").replace("[0, 0.5, 0.9]", "[0, 0.98]")
COLLAPSING = COLLAPSING.replace("[shuffle, reinit, invert, random_labels, shuffled_pixels]", "[reinit]")


@pytest.fixture(scope="module")
def dying(tmp_path_factory):
    """At 98 % magnitude leaves LeNet-300-100 without a path, random leaves some; what the run printed comes along."""
    folder = tmp_path_factory.mktemp("dying")
    said: list[str] = []
    with undrawn(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("pabench.cli.running.say", lambda text, **_: said.append(text))
        assert carry_out(session(folder, COLLAPSING.replace("seeds: 1", "seeds: 2"))) == 0
    return folder / "out", said


def flags(record):
    return [flag["flag"] for flag in record["flags"]]


def test_a_network_without_a_path_is_flagged_dead_in_every_seed_and_by_every_ablation(dying):
    study = read(dying[0])

    dead = study.frame["flags"].map(lambda found: DEAD in found)
    by_density = study.frame["effective_density"] == 0
    assert dead.sum() == 4  # two seeds, plain and re-drawn
    # what was measured of a mask is not repeated for a re-drawn network
    assert (dead == by_density)[study.frame["ablation"] == ""].all()
    assert set(study.frame.loc[dead, "top1"]) == {10.0}
    found = named(dying[0])["magnitude", 0.98, ""]
    assert found["logits"] == {"classes": 1, "spread": 0.0, "effective_weights": 0}
    detail = found["flags"][-1]["detail"]
    assert detail.endswith("and one class: no kept weight lies on a path from the input to a logit")


def test_flagged_cells_are_counted_alike_in_the_terminal_the_status_and_on_the_page(dying):
    folder, said = dying
    study = read(folder)
    told = counts(folder)

    total = f"{told['flagged']} flagged ({', '.join(f'{flag} {n}' for flag, n in told['flags'].items())})"
    assert told["flags"][DEAD] == 4
    assert f"cells: 10 ok, {total}" in said
    assert f"  {total}" in status_text(told).splitlines()
    page, counted = (re.sub(r"<[^>]+>", "", one.render(study)) for one in (overview.Overview(), about.About()))
    assert f"{told['flagged']} flagged" in counted
    assert [int(n) for n in re.findall(rf"{DEAD} (\d+)\)", page)] == [2, 2]  # plain and ablation
    board = re.sub(r"<[^>]+>", "", leaderboard.Leaderboard().render(study))
    assert [int(n) for n in re.findall(rf"{DEAD} (\d+)\)", board)] == [2]
    (alive,) = [one for one in checklist.answers(study) if one.question.startswith("Does every trained network tell")]
    text = "4 of 10 finished cells flagged: magnitude / reinit at 98 % (2); magnitude at 98 % (2)"
    assert (alive.state, alive.text) == ("missing", text)


def test_only_a_network_of_one_class_is_searched_for_paths(tmp_path, monkeypatch):
    searched = []
    monkeypatch.setattr(
        "pabench.training.train.effective", lambda *args: searched.append(1) or liveness.effective(*args)
    )

    with undrawn():
        carry_out(session(tmp_path, COLLAPSING))

    records = Store(tmp_path / "out").records().values()
    assert len(searched) == sum("effective_weights" in record["logits"] for record in records)
    assert all(("effective_weights" in r["logits"]) == (r["logits"]["classes"] == 1) for r in records)


def test_an_older_record_that_says_nothing_of_logits_is_the_same_outcome(dying):
    (record,) = [r for r in [named(dying[0])["magnitude", 0.98, ""]] if DEAD in flags(r)]
    older = {k: v for k, v in record.items() if k != "logits"}
    older["flags"] = [flag for flag in record["flags"] if flag["flag"] != DEAD]

    assert outcome(older) == outcome(record)
    assert json.loads(outcome(record))["flags"] == older["flags"]


def test_a_dense_record_holds_what_its_network_gives_for_training_images_as_they_are(study):
    """Trained again by hand and asked for all 200 images; the curve is of cropped ones."""
    (cell,) = [cell for cell in study[2] if not cell.criterion]
    block = Block(cell, CPU)
    module = block.network()
    block.fit(module, {})
    x, y = take(block.train.split, torch.arange(200), mean=block.train.mean, std=block.train.std)
    with torch.no_grad():
        right = int((module.eval()(x).argmax(1) == y).sum())

    _, records, _ = study
    record = records["dense", 0.0, ""]

    assert record["training_images"] == {"top1": pytest.approx(100 * right / 200), "images": 200}
    assert record["training_images"]["top1"] != pytest.approx(record["result"]["curve"]["top1"][-1])
    assert [where for where, one in records.items() if "training_images" in one] == [("dense", 0.0, "")]


def test_a_record_says_which_test_images_its_network_is_right_on(study):
    """Trained again by hand and asked image by image, in the order of the test set."""
    (cell,) = [cell for cell in study[2] if not cell.criterion]
    block = Block(cell, CPU)
    module = block.network()
    block.fit(module, {})
    x, y = take(block.test.split, torch.arange(100), mean=block.test.mean, std=block.test.std)
    with torch.no_grad():
        right = module.eval()(x).argmax(1) == y

    result = study[1]["dense", 0.0, ""]["result"]

    assert unpacked(result["right"], 100).tolist() == right.tolist()
    assert result["top1"] == 100 * int(right.sum()) / 100
    assert result["test"] == {"images": 100, "classes": 10, "sha256": block.test.split.digest()}


def test_all_records_of_a_dataset_name_what_they_are_compared_by_and_the_same_test_images(study):
    results = [record["result"] for record in study[1].values() if record["result"]]

    assert {result["compared_by"]["name"] for result in results} == {"top1"}
    assert {result["compared_by"]["chance"] for result in results} == {10.0}
    assert len({result["test"]["sha256"] for result in results}) == 1
    assert all(result["top1"] == 100 * unpacked(result["right"], 100).sum() / 100 for result in results)


def test_an_older_record_without_them_is_the_same_outcome(study):
    record = study[1]["snip", 0.9, ""]
    later = ("compared_by", "test", "right")
    older = {**record, "result": {k: v for k, v in record["result"].items() if k not in later}}

    assert outcome(older) == outcome(record)
    assert outcome({**older, "result": {**older["result"], "top1": 1.0}}) != outcome(record)


def test_an_older_dense_record_is_the_same_outcome(study):
    record = study[1]["dense", 0.0, ""]

    assert outcome({k: v for k, v in record.items() if k != "training_images"}) == outcome(record)


def test_every_criterion_and_sparsity_has_its_ablations_and_the_dense_network_none(study):
    _, records, _ = study

    found = Counter((criterion, name) for criterion, _, name in records)
    assert found == {**{(c, a): 2 for c in ("random", "snip") for a in ("", *ABLATIONS)}, ("dense", ""): 1}


def test_a_record_names_its_parent(study):
    _, records, _ = study

    for (criterion, sparsity, name), record in records.items():
        assert record["parent"] == (records[criterion, sparsity, ""]["key"] if name else "")
        assert record["labels"].get("ablation", "") == name


def test_a_cell_is_trained_without_the_channels_that_its_mask_leaves_without_use(tmp_path):
    """The record has the shapes of what was trained and its FLOPs; `compact: false` trains the masked network."""
    suite = COLLAPSING.replace("ablations: [reinit]", "ablations: []")
    folders = tmp_path / "on", tmp_path / "off"
    with undrawn():
        for folder, text in zip(folders, (suite, suite.replace("augment", "compact: false, augment")), strict=True):
            folder.mkdir()
            carry_out(session(folder, text))

    on, off = (named(folder / "out") for folder in folders)
    assert "compaction" not in on["dense", 0.0, ""]
    assert not any("compaction" in record or "compact" in record["cell"]["recipe"] for record in off.values())
    record = on["random", 0.98, ""]
    shapes = {name: after for name, (_, after) in record["compaction"]["layers"].items()}
    first, second, last = (shapes[f"{name}.weight"] for name in ("fc1", "fc2", "fc"))
    assert (first[0], second[0]) == (second[1], last[1])
    assert first[0] < 300
    assert second[0] < 100
    assert last[0] == 10
    assert record["compaction"]["flops"] == sum(2 * rows * columns for rows, columns in (first, second, last))
    assert record["result"]["loss"] == pytest.approx(off["random", 0.98, ""]["result"]["loss"], rel=1e-3)


def test_masks_that_take_hold_after_dense_epochs_are_trained_whole():
    module, masks = torch.nn.Linear(4, 3), {"weight": torch.zeros(3, 4, dtype=torch.bool)}
    block = SimpleNamespace(cell=SimpleNamespace(recipe=Recipe(compact=True)), shape=(4,))

    said = {"compaction": {"declined": "not compacted: the masks take hold after epoch 2"}}
    assert _compacted(block, module, masks, 2) == (module, masks, said)
    (reason,) = _compacted(block, module, masks, 0)[2]["compaction"].values()
    assert reason.startswith("Linear is not compacted: all channels are in use")


# --- other trainings ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ways(trained):
    """Records by criterion and training, of seed 0."""
    records = Store(trained).records().values()
    return {(r["labels"]["criterion"], r["labels"].get("train", "plain")): r for r in records if r["cell"]["seed"] == 0}


RIGL, SET = "rigl (every=2)", "set (layers=free)"


def test_a_mask_is_made_once_and_trained_in_every_way(trained, ways):
    store = Store(trained)
    for name in ("random", "snip", "magnitude"):
        found = [ways[name, way] for way in ("plain", "signin", RIGL, SET)]
        assert len({record["receipt"]["mask"] for record in found}) == 1
        assert len({record["pairing"]["weights"] for record in found}) == 1
        assert len({record["result"]["loss"] for record in found}) == 4
    assert len(store.records("receipts")) == 4 * 2  # criteria and seeds, whatever the training
    assert ("dense", "plain") in ways
    assert not [way for name, way in ways if name == "dense" and way != "plain"]


def test_the_record_says_what_the_mask_was_at_the_end(trained, ways):
    for name in ("random", "snip", "magnitude"):
        receipt = ways[name, "plain"]["receipt"]
        before = {layer["name"]: layer["kept"] for layer in receipt["layers"]}
        assert "trained_mask" not in ways[name, "plain"]
        for way in ("signin", RIGL, SET):
            told = ways[name, way]["trained_mask"]
            assert told["kept"] == receipt["kept"] == sum(told["layers"].values()) == 5020
            assert (told["layers"] == before) is (way != SET)
            assert (told["stayed"] == told["kept"]) is (way == "signin")


def test_the_hash_of_a_mask_that_stays_is_that_of_its_file(trained, ways):
    record = ways["snip", "signin"]
    masks, _ = maskbits.read(Store(trained).get_mask(record["receipt"]["mask"]))
    assert record["trained_mask"]["sha256"] == maskbits.bits_digest(masks)
    assert ways["snip", RIGL]["trained_mask"]["sha256"] != maskbits.bits_digest(masks)


def test_a_mask_that_moves_is_not_compacted_and_one_that_stays_is(ways):
    for way in (RIGL, SET):
        assert ways["snip", way]["compaction"] == {"declined": "not compacted: the mask moves in training"}
    assert ways["snip", "signin"]["compaction"] == ways["snip", "plain"]["compaction"]
    assert "declined" not in ways["snip", "signin"]["compaction"]


def test_a_network_that_is_not_pruned_is_trained_plainly_or_not_at_all(ways):
    assert ways["small_dense", "plain"]["status"] == "ok"
    for way, name in (("signin", "signin"), (RIGL, "rigl"), (SET, "set")):
        record = ways["small_dense", way]
        assert (record["status"], record["kind"]) == ("skipped", "inapplicable")
        assert record["message"] == f"small_dense prunes nothing: there is no mask for {name} to begin with"


def test_plain_cells_of_a_study_with_other_trainings_are_those_of_one_without(trained, tmp_path, no_report):
    from ..conftest import TRAININGS

    text = TRAININGS.replace("train: [plain, signin, {name: rigl, every: 2}, {name: set, layers: free}]\n", "")
    assert text != TRAININGS
    assert carry_out(session(tmp_path, text)) == 0

    def told(record):
        return {key: record[key] for key in ("cell", "labels", "receipt", "result", "flags", "pairing")}

    alone, among = Store(tmp_path / "out").records(), Store(trained).records()
    assert alone.keys() < among.keys()
    assert {key: told(record) for key, record in alone.items()} == {key: told(among[key]) for key in alone}


@pytest.mark.parametrize(
    ("criterion", "train", "message"),
    [
        ("gradual_magnitude", "rigl", "gradual_magnitude prunes as it trains: there is no mask for rigl to begin with"),
        ("{name: snip, pattern: '2:4'}", "set", "set moves single weights: nothing would be left of the pattern 2:4"),
        (
            "learning_rate_rewinding",
            "signin",
            "learning_rate_rewinding trains before its mask takes hold: there is no mask for signin to begin with",
        ),
    ],
)
def test_what_has_no_mask_to_begin_with_is_skipped_with_the_reason(tmp_path, no_report, criterion, train, message):
    text = SUITE.replace("[random, snip]", f"[{criterion}]").replace("sparsities: [0, 0.5, 0.9]", "sparsities: [0.5]")
    text = re.sub("ablations: .*", f"train: {train}", text).replace("epochs: 1", "epochs: 2")
    carry_out(session(tmp_path, text))

    (record,) = Store(tmp_path / "out").records().values()
    assert (record["status"], record["kind"], record["message"]) == ("skipped", "inapplicable", message)


def test_signs_flip_under_a_mask_of_a_pattern(tmp_path, no_report):
    text = SUITE.replace("[random, snip]", "[{name: snip, pattern: '2:4'}]").replace("[0, 0.5, 0.9]", "[0.5]")
    assert carry_out(session(tmp_path, re.sub("ablations: .*", "train: signin", text))) == 0
    (record,) = Store(tmp_path / "out").records().values()
    assert record["trained_mask"]["stayed"] == record["receipt"]["kept"]


def test_an_ablation_is_compared_with_the_cell_that_was_trained_as_it_is(tmp_path, no_report):
    text = re.sub("ablations: .*", "ablations: [shuffle]\ntrain: [plain, set]", SUITE.replace("0.5, ", ""))
    assert carry_out(session(tmp_path, text)) == 0
    records = Store(tmp_path / "out").records()
    found = {key: record for key, record in records.items() if record["ablation"]}
    assert len(found) == 4
    for record in found.values():
        assert records[record["parent"]]["cell"].get("train") == record["cell"].get("train")
