"""Ablations of a study: each changes what it says and nothing else."""

from __future__ import annotations

import doctest
from collections import Counter
from dataclasses import dataclass, replace
from typing import get_args

import pytest
import torch

import pabench
import pabench.scoring.pruning
from pabench import registry
from pabench.cli.forecast import dry_run
from pabench.cli.results import status_text
from pabench.cli.running import carry_out
from pabench.networks.network import Network
from pabench.report.folders import read
from pabench.report.status import counts, pairings
from pabench.run.session import Options, Session
from pabench.run.tasks import plan
from pabench.scoring.criterion import Criterion, ScoreCriterion
from pabench.scoring.masks import unpack
from pabench.scoring.pruning import InapplicableError, prune_all
from pabench.store.store import VOLATILE, Store
from pabench.suite import ablations, suite as suites
from pabench.suite.ablations import ABLATIONS
from pabench.suite.cell import Cell
from pabench.training.block import Block

from ..synthetic import cells

SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 20, test_per_class: 10}]
models: [lenet_300_100]
criteria: [random, snip]
sparsities: [0, 0.5, 0.9]
ablations: [shuffle, reinit, invert, random_labels, shuffled_pixels]
seeds: 1
recipe: {epochs: 1, batch_size: 32, lr: 0.05, augment: {crop: 1}}
"""
CPU = torch.device("cpu")


def session(folder, text: str = SUITE, **options) -> Session:
    path = folder / "study.yaml"
    path.write_text(text)
    return Session.open(
        Options(suite=str(path), output=folder / "out", **({"engine": "inline", "device": "cpu"} | options))
    )


def named(folder) -> dict[tuple[str, float, str], dict]:
    """Records by criterion, sparsity and ablation."""
    return {
        (r["labels"]["criterion"], r["cell"]["sparsity"], r["ablation"]): r for r in Store(folder).records().values()
    }


@pytest.fixture(autouse=True, scope="module")
def no_report():
    """Drawing it takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pabench.cli.running.write", lambda folder: folder)
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablations")
    opened = session(folder)
    assert carry_out(opened) == 0
    return folder / "out", named(folder / "out"), opened.cells


def masks_of(folder, record) -> dict[str, torch.Tensor]:
    return unpack(Store(folder).get_mask(record["receipt"]["mask"]))[0]


def equal(a, b) -> bool:
    return all(torch.equal(a[n], b[n]) for n in a)


# --- Keys -------------------------------------------------------------------------------------------------------------


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


def test_a_suite_may_name_exactly_these():
    assert get_args(suites.Ablation) == tuple(ABLATIONS)
    assert doctest.testmod(ablations).failed == 0


# --- What changes -----------------------------------------------------------------------------------------------------


def test_every_criterion_and_sparsity_has_its_ablations_and_the_dense_network_none(study):
    _, records, _ = study

    found = Counter((criterion, name) for criterion, _, name in records)
    assert found == {**{(c, a): 2 for c in ("random", "snip") for a in ("", *ABLATIONS)}, ("dense", ""): 1}


def test_a_record_names_its_parent(study):
    _, records, _ = study

    for (criterion, sparsity, name), record in records.items():
        assert record["parent"] == (records[criterion, sparsity, ""]["key"] if name else "")
        assert record["labels"].get("ablation", "") == name


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


def test_re_drawn_weights_come_from_the_same_distribution(study):
    """300 x 64 weights, normal of SD sqrt(2 / 64) = 0.1768 (Kaiming); the standard error of an SD is 0.5 % of it."""
    cell = next(c for c in study[2] if c.ablation == "reinit")

    before, after = (Block(c, CPU).network().state_dict()["fc1.weight"] for c in (cell.parent(), cell))

    assert not torch.equal(before, after)
    assert [before.std().item(), after.std().item()] == pytest.approx([0.1768, 0.1768], rel=0.02)


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


def test_the_scoring_batch_of_an_ablation_is_the_block_s_own_permuted(study):
    of = {c.ablation: Block(c, CPU).scoring_batches(10, 1)[0] for c in study[2] if c.criterion}
    (x, y), labels, pixels = of[""], of["random_labels"], of["shuffled_pixels"]

    assert torch.equal(labels[0], x)
    assert labels[1].bincount().tolist() == y.bincount().tolist() == [10] * 10
    assert not torch.equal(labels[1], y)
    assert torch.equal(pixels[1], y)
    assert torch.equal(pixels[0].flatten(1).sort().values, x.flatten(1).sort().values)
    assert not torch.equal(pixels[0], x)


@pytest.mark.parametrize("name", ["random_labels", "shuffled_pixels"])
def test_a_data_free_criterion_has_no_batch_to_change_and_its_cell_says_so(study, name):
    folder, records, _ = study

    record = records["random", 0.9, name]
    assert (record["status"], record["kind"], record["result"]) == ("skipped", "inapplicable", None)
    assert record["message"].startswith("random is data-free")
    assert counts(folder)["skipped"] == 4


# --- Inverted scores --------------------------------------------------------------------------------------------------


def test_inverted_zeros_come_first_and_stay_finite(softmax):
    """Public code inverts by v / v^2, which is NaN at 0; here the two zeros are the lowest scores, and are kept."""
    module, batch = softmax
    rule = registry.criterion("snip", {"examples_per_class": 1})
    network = Network(module, bn="eval")

    (pruned,) = prune_all(network, rule, [0.5], batches=(batch,), seed=0, input_shape=(2,), invert=True)

    # scores (1.4621, 2.1932), (0, 0)
    assert pruned.masks["weight"].tolist() == [[False, False], [True, True]]
    assert pruned.receipt["zero_scores"] == 2


@dataclass(frozen=True, kw_only=True)
class Place(ScoreCriterion):
    """Scores each kept weight by its place, 0 to 7, and a pruned one by -1."""

    name = "place"
    steps: int = 3

    def score(self, ctx):
        return {n: torch.arange(8.0).view(m.shape) * m - (1 - m) for n, m in ctx.mask.items()}


class Own(Place):
    """Chooses by itself."""

    def choose(self, scores, mask, density, ctx=None):
        return super().choose(scores, mask, density)


class Given(Criterion):
    """Gives masks and no scores."""

    name = "given"

    def prune(self, ctx, density):
        return {n: torch.arange(w.numel()).view(w.shape) < 1 for n, w in ctx.weights.items()}


def pruned_by(rule: Criterion, density: float = 0.25) -> list[int]:
    network = Network(torch.nn.Linear(4, 2, bias=False))
    (pruned,) = prune_all(network, rule, [density], batches=(), seed=0, input_shape=(4,), invert=True)
    return pruned.masks["weight"].flatten().nonzero().flatten().tolist()


def test_scores_are_inverted_in_every_round_and_pruned_weights_do_not_return():
    """8 weights in three rounds to 2: 6, 4, 2 linearly. A round that kept the highest would lose the places 0 and 1."""
    rule = Place(schedule="linear")

    assert [int(r.selection.masks["weight"].sum()) for r in rounds_of(rule.inverted())] == [6, 4, 2]
    assert pruned_by(rule) == [0, 1]
    assert rule.lowest is False


def rounds_of(rule):
    network = Network(torch.nn.Linear(4, 2, bias=False))
    return rule.rounds(pabench.scoring.pruning.context(network, rule, (), seed=0, input_shape=(4,)), 0.25)


@pytest.mark.parametrize(("rule", "why"), [(Given(), "gives masks and no scores"), (Own(), "a way of its own")])
def test_a_criterion_without_a_ranking_cannot_be_inverted(rule, why):
    with pytest.raises(InapplicableError, match=why):
        pruned_by(rule)


# --- Running ----------------------------------------------------------------------------------------------------------


def test_status_compares_each_ablation_with_its_like(study):
    folder, _, _ = study

    found = pairings(folder)

    assert (found["blocks"], found["cells"], found["unpaired"]) == (1, 21, [])
    assert found["apart"] == [
        "random_labels in scoring_batch",
        "reinit in weights",
        "shuffled_pixels in scoring_batch",
    ]
    assert "differs by design: reinit in weights" in status_text({**counts(folder), "pairing": found})


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("snip", 0.9, "reinit"), "(reinit): weights has 2 different hashes"),
        (("snip", 0.9, "shuffle"), ": weights has 2 different hashes"),
    ],
)
def test_status_names_a_block_that_is_not_paired(study, monkeypatch, changed, told):
    folder, records, _ = study
    found = read(folder)
    record = records[changed]
    tampered = {**record, "pairing": {**record["pairing"], "weights": "f" * 64}}
    monkeypatch.setattr(
        "pabench.report.status.read", lambda _: replace(found, records={**found.records, record["key"]: tampered})
    )

    (line,) = pairings(folder)["unpaired"]

    assert line.endswith(told)


def test_status_tells_an_ablation_that_changed_nothing(study, monkeypatch):
    folder, records, _ = study
    found = read(folder)
    plain = records["snip", 0.9, ""]["pairing"]
    same = {k: {**r, "pairing": plain} if r["ablation"] == "reinit" else r for k, r in found.records.items()}
    monkeypatch.setattr("pabench.report.status.read", lambda _: replace(found, records=same))

    (line,) = pairings(folder)["unpaired"]

    assert line.endswith("(reinit): weights is that of the plain cells, which the ablation should have changed")


def test_nothing_is_scored_for_a_shuffle_or_for_re_drawn_weights(tmp_path, monkeypatch):
    """The check, and one scoring of snip that serves two sparsities, their shuffles and their re-drawn networks."""
    snip = registry.plugin("criteria", "snip")
    score, calls = snip.score, []
    monkeypatch.setattr(snip, "score", lambda self, ctx: calls.append(1) or score(self, ctx))
    text = SUITE.replace("[random, snip]", "[snip]").replace(", invert, random_labels, shuffled_pixels]", "]")

    assert carry_out(session(tmp_path, text)) == 0

    assert len(calls) == 1 + 1
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


def test_a_shuffle_waits_for_its_parent_and_training_for_its_shuffle(tmp_path):
    opened = session(tmp_path, only=("criterion=snip",))

    tasks = {t.title: t for t in plan(opened.store, opened.chosen, device="cpu").tasks}

    where = "digits / lenet_300_100 / snip"
    scoring, shuffles = tasks[f"{where} / seed 0: masks"], f"{where} / shuffle / seed 0: masks"
    trained = tasks[f"{where} 0.9 / shuffle / seed 0"]
    (shuffling,) = [t for t in plan(opened.store, opened.chosen, device="cpu").tasks if t.key in trained.after]
    assert shuffling.title == shuffles
    assert shuffling.after == (scoring.key,)
    assert tasks[f"{where} 0.9 / reinit / seed 0"].after == (scoring.key,)
    assert len(scoring.payload["cells"]) == 2  # two sparsities, whatever is derived from them


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
    assert failed["snip", 0.9, "shuffle"]["message"] == "DataError: no mask to shuffle: MemoryError: out of memory"

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


def test_a_dry_run_lists_the_ablations(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pabench.run.estimate.Clock.together", lambda *_: 0.0)

    dry_run(session(tmp_path))

    said = " ".join(capsys.readouterr().out.split())
    assert "ablations: none (5), shuffle (4), reinit (4), invert (4), random_labels (4), shuffled_pixels (4)" in said
    assert "scorings: 8" in said  # two criteria, as they are, inverted, and with two other batches
