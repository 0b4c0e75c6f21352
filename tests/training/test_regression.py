"""A study on data whose targets are numbers, from the suite to the page and the checks of a submission."""

from __future__ import annotations

import re

import pytest
import torch
from torch.nn import functional as F

from pabench.cli.running import carry_out
from pabench.errors import RefusedError
from pabench.leaderboard.publish import publish
from pabench.leaderboard.verification.verify import verify
from pabench.report.folders import read
from pabench.report.page import render
from pabench.report.table import load
from pabench.store import schema
from pabench.store.store import Store
from pabench.training.block import Block
from pabench.training.loop import evaluate

from ..pageless import undrawn
from .conftest import CPU, named, session

SUITE = """
protocol: pai-v1
datasets: [{name: planted_relu, samples: 400}]
models: [{name: planted, args: {width: 20, depth: 4}}]
criteria: [random, snip, grasp@official]
sparsities: [0, 0.5, 0.95]
ablations: [random_labels]
seeds: 1
metrics: [planted]
recipe: {epochs: 4, batch_size: 16, optimizer: adamw, lr: 0.005, weight_decay: 0}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regression")
    lines: list[str] = []
    with undrawn(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("pabench.cli.running.say", lambda text, **_: lines.append(text))
        assert carry_out(session(folder, SUITE)) == 0
    return folder / "out", "\n".join(lines)


def test_records_hold_r2_in_place_of_accuracies(study):
    """R² is 1 - MSE / variance, of the test targets, by hand."""
    folder, _ = study
    record = named(folder)["dense", 0.0, ""]
    block = Block(next(cell for cell in read(folder).cells.values() if cell.criterion is None), CPU)
    variance = float(block.test.split.labels.double().var(correction=0))

    result = record["result"]
    assert result["r2"] == pytest.approx(1 - result["loss"] / variance)
    assert result["compared_by"] == {"name": "r2", "chance": 0.0}
    assert result["test"] == {"images": 40, "outputs": 1, "sha256": block.test.split.digest()}
    assert not {"top1", "top5", "right"} & result.keys()
    assert set(result["curve"]) == {"loss", "r2", "lr"}
    assert result["curve"]["r2"][-1] > 0.5
    assert set(record["training_images"]) == {"r2", "images"}
    assert all(not schema.problems(schema.Record, one) for one in Store(folder).records().values())


def test_evaluation_is_the_squared_error_of_a_plain_pass(study):
    folder, _ = study
    cell = next(cell for cell in read(folder).cells.values() if cell.criterion is None)
    block = Block(cell, CPU)
    module = block.network()
    with torch.no_grad():
        expected = F.mse_loss(module.eval()(block.test.split.pixels), block.test.split.labels)

    found = evaluate(module, block.test, cell.recipe, device=CPU)

    assert found.loss == pytest.approx(float(expected), rel=1e-6)
    assert (found.classes, int(found.right.sum())) == (0, 0)


def test_a_network_without_a_path_is_dead_and_collapsed(study):
    """At 90 % of so few weights some masks lead nowhere: one output for all, an R² of 0 or less."""
    frame = read(study[0]).frame
    dead = frame[frame["flags"].map(lambda flags: "dead" in flags)]
    assert (dead["outcome"] == "collapsed").all()
    assert (frame.loc[frame["r2"] <= 0, "outcome"] == "collapsed").all()
    assert (frame.loc[frame["r2"] > 0.5, "outcome"] == "trained").all()


def test_a_criterion_with_a_cross_entropy_of_its_own_is_scored_by_the_squared_error(study):
    """Fisher: w^2 times the mean over samples of the squared gradient of each one's error."""
    from pabench import registry
    from pabench.networks.network import Network
    from pabench.scoring.pruning import prune_all

    cell = next(cell for cell in read(study[0]).cells.values() if cell.criterion is None)
    block = Block(cell, CPU)
    module, (x, y) = block.network().double(), [t[:5] for t in block.train.split.pick(torch.arange(5))]
    squares = torch.zeros_like(module.fc.weight)
    for one, target in zip(x.double(), y.double(), strict=True):
        error = (module(one[None]) - target).square().mean()
        squares += torch.autograd.grad(error, module.fc.weight)[0].square() / 5
    expected = (module.fc.weight.square() * squares).flatten()

    (made,) = prune_all(
        Network(module), registry.criterion("fisher"), [0.5], batches=[(x, y)], seed=0, input_shape=(1, 1, 1)
    )

    kept = made.masks["fc.weight"].flatten()
    assert expected[kept].min() >= expected[~kept].max()


def test_what_needs_classes_declines_with_a_sentence(study):
    record = named(study[0])["grasp@official", 0.5, ""]
    assert (record["status"], record["kind"]) == ("skipped", "declined")
    assert "grasp splits its batch by classes, and regression has none; use batch_split: whole" in record["message"]


def test_an_ablation_of_the_labels_moves_whole_targets(study):
    record = named(study[0])["snip", 0.5, "random_labels"]
    assert record["status"] == "ok"
    assert record["pairing"]["scoring_batch"] != named(study[0])["snip", 0.5, ""]["pairing"]["scoring_batch"]


def test_a_table_has_r2_and_no_accuracy(study):
    table = load(study[0])
    done = table[table["status"] == "ok"]
    assert done["top1"].isna().all()
    assert done["r2"].between(-1, 1).all()


def test_the_page_tells_r2_without_a_percent_sign(study):
    page = render(read(study[0]))
    text = re.sub(r"<script.*?</script>|<style.*?</style>|<svg.*?</svg>", "", page, flags=re.S)
    assert "a point is 0.01 of R²" in text
    assert "Planted tickets" in text
    assert "R² before" in text
    board = text[text.index('id="leaderboard"') : text.index('id="accuracy"')]
    dense = read(study[0]).frame.query("criterion == 'dense'")["r2"].mean()
    assert f"<b>{dense:.4f}</b>" in board
    assert "Mean R² at this sparsity" in board
    assert "top-1 in %" not in board


def test_what_declines_is_said_before_the_study_and_not_as_an_error(study):
    assert "grasp@official: unsupported: declines: grasp splits its batch by classes" in study[1]


def test_a_submission_of_it_is_checked_as_any(study):
    for result in verify(study[0], level=2).levels:
        assert not result.flaws, result.flaws


def test_boards_which_are_of_accuracies_take_none_of_it(study, tmp_path):
    with pytest.raises(RefusedError, match="boards are of accuracies, and planted_relu is told in R²; leave it out"):
        publish([f"study={study[0]}"], tmp_path / "site")


def test_records_of_both_tasks_at_once_or_of_neither_are_refused(study):
    record = named(study[0])["dense", 0.0, ""]
    both = {**record, "result": {**record["result"], "top1": 50.0, "top5": 90.0}}
    neither = {**record, "result": {k: v for k, v in record["result"].items() if k != "r2"}}
    impossible = {**record, "result": {**record["result"], "r2": 1.5}}
    for wrong in (both, neither, impossible):
        assert schema.problems(schema.Record, wrong)
