"""The masks of a block's cells and of their ablations: what each changes, and what is made first or not at all."""

from __future__ import annotations

import re

import pytest
import torch

import pabench
from pabench import registry
from pabench.cli.running import carry_out
from pabench.leaderboard.verification.verify import verify
from pabench.report.status import counts
from pabench.scoring.context import ScoreContext
from pabench.scoring.masks import unpack
from pabench.scoring.pruning import gradient_norm
from pabench.store.store import VOLATILE, Store
from pabench.training import prune as stage
from pabench.training.block import Block

from .conftest import CPU, SUITE, named, session

pytestmark = pytest.mark.usefixtures("no_report")


def masks_of(folder, record) -> dict[str, torch.Tensor]:
    return unpack(Store(folder).get_mask(record["receipt"]["mask"]))[0]


def equal(a, b) -> bool:
    return all(torch.equal(a[n], b[n]) for n in a)


def test_a_shuffle_changes_the_mask_within_layers_and_nothing_else(study):
    folder, records, _ = study

    for criterion in ("random", "snip"):
        plain, shuffled = records[criterion, 0.9, ""], records[criterion, 0.9, "shuffle"]
        before, after = masks_of(folder, plain), masks_of(folder, shuffled)
        assert {n: int(m.sum()) for n, m in after.items()} == {n: int(m.sum()) for n, m in before.items()}
        assert [n for n in before if torch.equal(after[n], before[n])] == []
        assert shuffled["pairing"] == plain["pairing"]
        assert shuffled["receipt"]["shuffle"]["layers_changed"] == 3
        assert shuffled["receipt"]["shuffle"]["overlap"] < 0.2
        assert shuffled["receipt"]["layers"] == plain["receipt"]["layers"]
        assert shuffled["receipt"]["gradient_norm"]["before"] == plain["receipt"]["gradient_norm"]["before"]
        assert shuffled["receipt"]["gradient_norm"]["after"] != plain["receipt"]["gradient_norm"]["after"]


def test_re_drawn_weights_keep_the_mask_the_order_and_the_augmentation(study):
    _, records, _ = study

    drawn = set()
    for criterion in ("random", "snip"):
        plain, redrawn = records[criterion, 0.9, ""], records[criterion, 0.9, "reinit"]
        assert redrawn["receipt"]["mask"] == plain["receipt"]["mask"]
        differing = {part for part in plain["pairing"] if plain["pairing"][part] != redrawn["pairing"][part]}
        assert differing == {"weights"}
        drawn.add(redrawn["pairing"]["weights"])
        assert redrawn["receipt"]["gradient_norm"] is None  # that of the parent's weights says nothing here
        assert "scoring_seconds" not in redrawn["cost"]
    assert len(drawn) == 1  # the same draw for all criteria of the block


def test_inverted_scores_keep_the_other_weights(study):
    """At 50 % the lowest half is what the criterion removed."""
    folder, records, _ = study

    for criterion in ("random", "snip"):
        plain, inverted = records[criterion, 0.5, ""], records[criterion, 0.5, "invert"]
        before, after = masks_of(folder, plain), masks_of(folder, inverted)
        assert sum(int((before[n] & after[n]).sum()) for n in before) == 0
        assert inverted["receipt"]["kept"] == plain["receipt"]["kept"] == 25100
        assert inverted["pairing"] == plain["pairing"]
        assert inverted["receipt"]["scores"] == plain["receipt"]["scores"]


def test_a_receipt_counts_its_scores_and_times_one_gradient_of_as_many_images(study):
    """50,200 weights in all; 10 images for each of 10 classes. A shuffle is not scored, and mask files hold no time."""
    folder, records, _ = study

    for criterion, images in (("random", 0), ("snip", 100)):
        made = records[criterion, 0.9, ""]
        histogram = made["receipt"]["score_histogram"]
        counted = sum(histogram["positive"]) + sum(histogram["negative"]) + histogram["zero"]
        assert counted == made["receipt"]["total"] == 50200
        assert histogram["zero"] == made["receipt"]["zero_scores"]
        assert (made["cost"]["scoring_images"], made["cost"]["gradient_images"]) == (images, 100)
        assert 0 < made["cost"]["gradient_seconds"] < made["cost"]["wall_seconds"]
        _, inside = unpack(Store(folder).get_mask(made["receipt"]["mask"]))
        assert not {"score_histogram", "scores", "gradient_norm"} & set(inside)
    assert "gradient_seconds" not in records["snip", 0.9, "shuffle"]["cost"]


@pytest.mark.parametrize("name", ["random_labels", "shuffled_pixels"])
def test_an_ablation_of_the_batch_changes_what_is_scored_and_not_what_is_trained(study, name):
    folder, records, _ = study
    plain, other = records["snip", 0.9, ""], records["snip", 0.9, name]

    assert not equal(masks_of(folder, plain), masks_of(folder, other))
    differing = {part for part in plain["pairing"] if plain["pairing"][part] != other["pairing"][part]}
    assert differing == {"scoring_batch"}
    assert other["receipt"]["batch"] != plain["receipt"]["batch"]
    # measured on the images as they are
    assert other["receipt"]["gradient_norm"]["before"] == plain["receipt"]["gradient_norm"]["before"]


@pytest.mark.parametrize("name", ["random_labels", "shuffled_pixels"])
def test_a_data_free_criterion_has_no_batch_to_change_and_its_cell_says_so(study, name):
    folder, records, _ = study

    record = records["random", 0.9, name]
    assert (record["status"], record["kind"], record["result"]) == ("skipped", "inapplicable", None)
    assert record["message"].startswith("random is data-free")
    assert counts(folder)["skipped"] == 4


def test_nothing_is_scored_for_a_shuffle_or_for_re_drawn_weights(tmp_path, monkeypatch):
    """One scoring of snip serves two sparsities, their shuffles and their re-drawn networks, and is the check."""
    snip = registry.plugin("criteria", "snip")
    score, calls = snip.score, []
    monkeypatch.setattr(snip, "score", lambda self, ctx: calls.append(1) or score(self, ctx))
    text = SUITE.replace("[random, snip]", "[snip]").replace(", invert, random_labels, shuffled_pixels]", "]")

    assert carry_out(session(tmp_path, text)) == 0

    assert len(calls) == 1
    assert len(Store(tmp_path / "out").records()) == 7


@pytest.mark.parametrize("name", ["shuffle", "reinit"])
def test_the_mask_of_a_parent_that_is_not_chosen_is_made_first(study, tmp_path, name):
    _, records, _ = study
    only = ("criterion=snip", "sparsity=0.9", f"ablation={name}")

    assert carry_out(session(tmp_path, only=only)) == 0

    (record,) = Store(tmp_path / "out").records().values()
    assert {k: v for k, v in record.items() if k not in VOLATILE} == {
        k: v for k, v in records["snip", 0.9, name].items() if k not in VOLATILE
    }


def test_a_lost_mask_of_the_parent_is_made_again(tmp_path):
    chosen = {"only": ("criterion=snip", "sparsity=0.9", "ablation=none")}
    assert carry_out(session(tmp_path, **chosen)) == 0
    for mask in (tmp_path / "out" / "masks").iterdir():
        mask.unlink()

    assert carry_out(session(tmp_path, only=("criterion=snip", "sparsity=0.9", "ablation=shuffle"))) == 0

    assert named(tmp_path / "out")["snip", 0.9, "shuffle"]["status"] == "ok"


def test_a_parent_that_failed_fails_its_shuffle_and_says_why(tmp_path, monkeypatch):
    snip = registry.plugin("criteria", "snip")
    score = snip.score

    def full(self, ctx):
        raise MemoryError("out of memory")

    monkeypatch.setattr(snip, "score", full)
    only = ("criterion=snip", "sparsity=0.9", "ablation=none,shuffle,reinit")
    assert carry_out(session(tmp_path, only=only)) == 3
    failed = named(tmp_path / "out")
    assert failed["snip", 0.9, "reinit"]["kind"] == failed["snip", 0.9, ""]["kind"] == "oom"
    told = failed["snip", 0.9, "shuffle"]["message"]
    assert re.match(r"DataError: no mask to shuffle: \S+test_prune.py:\d+ in full: MemoryError: out of memory \(", told)

    monkeypatch.setattr(snip, "score", score)

    assert carry_out(session(tmp_path, only=only, retry=True)) == 0


def test_a_parent_that_declines_skips_its_ablations(tmp_path, monkeypatch):
    monkeypatch.setattr(registry.plugin("criteria", "snip"), "declines", lambda self, ctx: "no, thanks")

    assert carry_out(session(tmp_path, only=("criterion=snip", "sparsity=0.9"))) == 0

    skipped = {(r["status"], r["kind"], r["message"]) for r in Store(tmp_path / "out").records().values()}
    assert skipped == {("skipped", "declined", "snip declines this network: no, thanks")}


def test_a_mask_of_other_weights_is_not_shuffled(tmp_path):
    """The receipt of the parent names the weights it was made for."""
    assert carry_out(session(tmp_path, only=("criterion=snip", "sparsity=0.9", "ablation=none"))) == 0
    store = Store(tmp_path / "out")
    cell = next(c for c in session(tmp_path).cells if c.title.endswith("snip 0.9 / seed 0"))
    receipt = store.get("receipts", cell.pruning_key)
    store.quarantine("receipts", cell.pruning_key, "test")
    store.commit("receipts", cell.pruning_key, {**receipt, "pairing": {**receipt["pairing"], "weights": "f" * 64}})

    assert carry_out(session(tmp_path, only=("criterion=snip", "sparsity=0.9", "ablation=shuffle,reinit"))) == 3

    found = named(tmp_path / "out")
    assert "other weights or images" in found["snip", 0.9, "shuffle"]["message"]


def test_the_norm_of_the_dense_network_is_measured_once_a_block(tmp_path, monkeypatch):
    """Two criteria at two sparsities: four masks and one dense network, which is also the dense cell's own figure."""
    measured = []

    def counted(network, batches, masks=None, **more):
        measured.append(str(network.dtype) if masks else f"dense {network.dtype}")
        return gradient_norm(network, batches, masks, **more)

    monkeypatch.setattr(stage, "gradient_norm", counted)
    monkeypatch.setattr("pabench.diagnostics.metrics.gradient_norm.gradient_norm", counted)
    text = SUITE.replace("ablations: [shuffle, reinit, invert, random_labels, shuffled_pixels]\n", "")

    carry_out(session(tmp_path, text))

    assert sorted(measured) == ["dense torch.float32", *["torch.float32"] * 4]


TOGETHER = SUITE.replace("ablations: [shuffle, reinit, invert, random_labels, shuffled_pixels]\n", "").replace(
    "[random, snip]", "[snip, grad_norm]"
)


def receipts(folder) -> dict[str, dict]:
    """What receipts say, without what it cost."""
    found = Store(folder).records("receipts")
    return {key: {k: v for k, v in receipt.items() if k not in VOLATILE} for key, receipt in found.items()}


def test_criteria_that_need_one_gradient_take_it_once_and_have_the_receipts_that_they_have_apart(tmp_path, monkeypatch):
    """It serves both criteria, two sparsities of each, and the norm of the dense network."""
    taken = []

    def counted(self, weights, temperature):
        taken.append(1)
        return own(self, weights, temperature)

    own = ScoreContext._gradient
    monkeypatch.setattr(ScoreContext, "_gradient", counted)
    with monkeypatch.context() as patch:
        for module in ("training.prune", "run.tasks"):
            patch.setattr(f"pabench.{module}.shares_gradient", lambda cell: False)
        (tmp_path / "apart").mkdir()
        assert carry_out(session(tmp_path / "apart", TOGETHER)) == 0
    apart = len(taken)

    assert carry_out(session(tmp_path, TOGETHER)) == 0

    assert (apart, len(taken) - apart) == (2 + 1 + 4, 1 + 4)  # the norm under each of four masks is its own
    assert receipts(tmp_path / "out") == receipts(tmp_path / "apart" / "out")
    assert len(receipts(tmp_path / "out")) == 4


def test_a_gradient_that_was_lent_counts_as_if_the_criterion_had_taken_it(tmp_path, monkeypatch):
    def slow(self, weights, temperature):
        clock[0] += 100.0
        return own(self, weights, temperature)

    own, clock = ScoreContext._gradient, [0.0]
    monkeypatch.setattr(ScoreContext, "_gradient", slow)
    for module in ("gradients", "pruning"):
        monkeypatch.setattr(f"pabench.scoring.{module}.clock", lambda device: clock[0])

    assert carry_out(session(tmp_path, TOGETHER)) == 0

    costs = [r["cost"] for r in named(tmp_path / "out").values() if r["labels"]["criterion"] != "dense"]
    assert [cost["scoring_seconds"] for cost in costs] == [100.0] * 4
    assert len({cost["scoring_peak_bytes"] > 0 for cost in costs}) == 1


@pytest.mark.parametrize("name", ["snip", "grad_norm"])
def test_a_criterion_that_fails_leaves_the_others_of_its_task_alone(tmp_path, monkeypatch, name):
    def full(self, ctx):
        raise MemoryError("out of memory")

    monkeypatch.setattr(registry.plugin("criteria", name), "score", full)

    assert carry_out(session(tmp_path, TOGETHER)) == 3

    found = {of: r["status"] for of, r in named(tmp_path / "out").items()}
    assert found == {of: "failed" if of[0] == name else "ok" for of in found}
    assert len(found) == 5


def test_a_skipped_gradient_norm_is_not_computed_and_all_else_stays(tmp_path):
    text = SUITE.replace("ablations: [shuffle, reinit, invert, random_labels, shuffled_pixels]\n", "")

    carry_out(session(tmp_path, text + "skip_metrics: [gradient_norm]\n"))

    record = named(tmp_path / "out")["snip", 0.9, ""]
    assert record["receipt"]["gradient_norm"] is None
    assert "gradient_seconds" not in record["cost"]
    files = Store(tmp_path / "out").records("metrics").values()
    measured = {entry["metric"] for data in files for entry in data["entries"]}
    assert "gradient_norm" not in measured
    assert "effective_density" in measured


WARM = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 30, test_per_class: 10}]
models: [resnet8]
criteria: [{name: snip, bn: eval}, {name: snip, bn: eval, bn_warmup: 1}]
sparsities: [0.9]
seeds: 1
recipe: {epochs: 1, batch_size: 100, lr: 0.05}
"""


def test_warmed_statistics_are_what_the_criterion_scores_with(tmp_path):
    """The mask is that of the library on the network after the warm-up, and training begins with the block's own."""
    opened = session(tmp_path, WARM)
    carry_out(opened)
    store = Store(tmp_path / "out")
    records = {c.criterion.label: store.records()[c.key] for c in opened.cells}
    cold, warm = (records[f"snip (bn=eval{more})"] for more in ("", ", bn_warmup=1"))
    block = Block(opened.cells[0], CPU)
    batch = [(x[:], y) for x, y in block.scoring_batches(10, 1)]

    for record, network in ((cold, block.network()), (warm, block.warmed(block.network(), 1.0))):
        expected = pabench.prune(network, "snip", sparsity=0.9, batch=batch, bn="eval")
        found = masks_of(tmp_path / "out", record)
        assert sum(int((expected[n] & found[n]).sum()) for n in expected) >= expected.receipt["kept"] - 2  # rounding
    assert cold["receipt"]["mask"] != warm["receipt"]["mask"]
    assert cold["pairing"] == warm["pairing"]
    assert "bn_warmup" not in cold["receipt"] | cold["receipt"]["parameters"] | cold["cell"]["criterion"]["args"]
    assert warm["receipt"]["bn_warmup"] == block.warmup_told(1.0)
    assert warm["receipt"]["bn_warmup"]["images"] == 300


FORMED = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 20, test_per_class: 10}]
models: [lenet_300_100]
criteria: [{name: snip, pattern: 2:4}, {name: snip, pattern: channels}]
sparsities: [0.5, 0.9]
seeds: 1
recipe: {epochs: 1, batch_size: 32, lr: 0.05}
"""


def test_masks_of_a_form_are_made_where_there_are_such_and_verified(tmp_path):
    """Of 50,200 weights: rows of 64, 300 and 100 inputs, of which the last layer's 10 stay."""
    carry_out(session(tmp_path, FORMED))
    records = named(tmp_path / "out")
    half, tenth = (records["snip (pattern=2:4)", sparsity, ""] for sparsity in (0.5, 0.9))
    channels = records["snip (pattern=channels)", 0.9, ""]

    assert (tenth["status"], tenth["kind"]) == ("skipped", "declined")
    assert tenth["message"].endswith("keeps 2 of 4 weights, a sparsity of 0.5, and 0.9 is asked for")
    assert half["receipt"]["kept"] == 25100
    assert [layer["kept"] for layer in half["receipt"]["layers"]] == [9600, 15000, 500]
    assert channels["receipt"]["requested"] == 5020
    assert 5020 - 300 < channels["receipt"]["kept"] <= 5020
    assert channels["receipt"]["layers"][2]["kept"] == 1000
    assert channels["receipt"]["sparsity"] == 1 - channels["receipt"]["kept"] / 50200
    assert [level.passed for level in verify(tmp_path / "out", level=2).levels] == [True, True]
