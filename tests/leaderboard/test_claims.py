"""What a claim file says, and what results say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pabench.errors import SuiteError
from pabench.leaderboard import claims
from pabench.leaderboard.statements import Bound, Order
from pabench.report import frame
from pabench.run.session import Options, Session
from pabench.store.figures import entry, file
from pabench.suite.specs import MetricSpec

from .. import synthetic
from .test_statements import APART

GOOD = """\
claim: SNIP is better than random pruning.
source: ours
needs: training
suite:
  protocol: pai-v1
  datasets: [digits]
  models: [lenet_300_100]
  criteria: [random, snip, {name: synflow, steps: 100}]
  sparsities: [0, 0.9, 0.98]
  ablations: [shuffle]
  seeds: 3
  recipe: {epochs: 1}
tests:
  - order: {of: accuracy, higher: snip, lower: random}
"""


def written(folder: Path, text: str = GOOD, name: str = "mine") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ("a>b", "confirmed"),
        ("a>b b>a", "contradicted"),
        ("a>b a>c", "not run"),
        ("a>b a>b+10", "not separable"),
        ("a>c b>a", "contradicted"),
    ],
)
def test_a_claim_is_confirmed_by_all_of_its_tests_and_contradicted_by_any(tmp_path, verdicts, state):
    tests = {
        "a>b": "{of: q, higher: random, lower: snip}",
        "b>a": "{of: q, higher: snip, lower: random}",
        "a>c": "{of: q, higher: random, lower: synflow (steps=100)}",
        "a>b+10": "{of: q, higher: random, lower: snip, margin: 10}",
    }
    text = GOOD.partition("tests:")[0] + "tests:\n" + "".join(f"  - order: {tests[one]}\n" for one in verdicts.split())
    claim = claims.load(written(tmp_path, text))

    values = APART.assign(of=APART["of"].map({"a": "random", "b": "snip"}))
    found = claims.by_values(claim, [values] * len(claim.tests), "here")

    assert found.state == state
    assert found.to_json()["tests"][0]["values"]["value"] == [20.0, 21.0, 22.0, 10.0, 10.0, 10.0]


# --- What is gathered from a study ------------------------------------------------------------------------------------


def nothing(_key: str) -> None:
    return None


def test_accuracies_of_plain_cells_and_of_an_ablation_are_told_apart():
    study = synthetic.battery(ablations=("invert",), top1=lambda cell: 10.0 if cell.ablation else 90.0 + cell.seed)
    order = Order(of="accuracy", higher="snip", lower={"criterion": "snip", "ablation": "invert"}, sparsities=(0.9,))

    found = claims.gathered(order, study, nothing)

    assert found[["of", "seed", "value"]].to_numpy().tolist() == [
        *(["snip", seed, 90.0 + seed] for seed in range(3)),
        *(["snip, invert", seed, 10.0] for seed in range(3)),
    ]
    assert set(found["outcome"][found["of"] == "snip, invert"]) == {"collapsed"}


def test_what_was_measured_of_masks_is_there_without_any_training():
    """A study of masks alone has no record: numbers come from its metrics and receipts."""
    cells = synthetic.cells(models=["resnet20"], sparsities=[0.9], seeds=2)
    snip = [cell for cell in cells if cell.criterion and cell.criterion.name == "snip"]
    grasp = [cell for cell in cells if cell.criterion and cell.criterion.name == "grasp"]
    dead, overlap = MetricSpec("layer_collapse"), MetricSpec("overlap", stage="pair")
    entries = [entry([cell.pruning_key], dead, {"dead": 3.0}) for cell in snip]
    both = sorted([snip[0].pruning_key, grasp[0].pruning_key])
    entries.append(entry(both, overlap, {"jaccard": 0.25}))
    receipts = {
        cell.pruning_key: {"status": "ok", "receipt": {"total": 8, "zero_scores": 4, "tied_at_threshold": 2}}
        for cell in snip
    }
    manifest = {**synthetic.manifest(cells), "metrics": [dead.to_json(), overlap.to_json()]}
    study = frame.study(manifest, {}, [file(entries)])

    def of(**test):
        found = claims.gathered(Bound(**test, at_least=0), study, receipts.get)
        return list(zip(found["of"], found["value"], found["outcome"], strict=True))

    assert of(of="layer_collapse.dead", who="snip") == [("snip", 3.0, "trained")] * 2
    assert of(of="zero_scores", who="snip") == [("snip", 0.5, "trained")] * 2
    assert of(of="ties", who="snip") == [("snip", 0.25, "trained")] * 2
    first, second = of(of="overlap.jaccard", who="snip", beside="grasp")
    assert first == ("snip and grasp", 0.25, "trained")
    assert second[2] == "missing"
    with pytest.raises(SuiteError, match=r'no quantity "layer_collapse.alive"; known: layer_collapse.dead'):
        of(of="layer_collapse.alive", who="snip")


# --- The file ---------------------------------------------------------------------------------------------------------


def told(folder: Path, old: str, new: str) -> list[str]:
    assert GOOD.count(old) == 1
    with pytest.raises(SuiteError) as caught:
        claims.load(written(folder, GOOD.replace(old, new)))
    return [line.removeprefix(f"{folder / 'mine.yaml'}:") for line in str(caught.value).splitlines()]


LOWER = "tests.0.order.lower"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "source: ours",
            "sauce: ours",
            ["1:1: source: missing; add `source: ours`", "2:1: sauce: unknown key; known: "],
        ),
        (
            "higher: snip",
            "higher: snp",
            ['14:27: tests.0.order.higher: no criterion "snp" in its suite; did you mean '],
        ),
        (
            "lower: random",
            "lower: {criterion: random, ablation: invert}",
            [f"14:41: {LOWER}: no ablation invert in its"],
        ),
        (
            "lower: random",
            "lower: random, sparsities: [0.95]",
            ["14:69: tests.0.order.sparsities.0: 0.95 is no sparsity of its suite; known: 0.9, 0.98"],
        ),
        (
            "lower: random",
            "lower: 3",
            [f"14:41: {LOWER}: expected the label of a criterion, or a map"],
        ),
        (
            "  seeds: 3",
            "  train: [plain, set]\n  seeds: 3",
            ["4:1: suite: trained in 2 ways; a claim is about one: name it "],
        ),
        ("lower: random", "margin: 1", [f"14:5: {LOWER}: missing; add `lower: random`"]),
        (
            "order: {of: accuracy, higher: snip, lower: random}",
            "{}",
            ["14:5: tests.0: expected one statement: order, "],
        ),
        ("epochs: 1", "epoch: 1", ["12:3: recipe.epochs: missing; add ", "12:12: recipe.epoch: unknown key; did you "]),
    ],
)
def test_what_is_wrong_with_a_claim_is_told_with_its_place(tmp_path, old, new, said):
    found = told(tmp_path, old, new)

    assert [line[: len(begin)] for line, begin in zip(found, said, strict=True)] == said


def test_a_quantity_that_nobody_measures_is_told_with_its_place(tmp_path):
    text = GOOD.replace("of: accuracy", "of: overlp.jaccard")
    claim = claims.load(written(tmp_path, text))

    with pytest.raises(SuiteError, match=r'mine.yaml:14:13: tests.0.order.of: no quantity "overlp"; did you'):
        claim.check_quantities([MetricSpec("overlap", stage="pair")])


def test_a_metric_of_two_masks_takes_two_criteria(tmp_path):
    claim = claims.load(written(tmp_path, GOOD.replace("of: accuracy", "of: overlap.jaccard")))

    with pytest.raises(SuiteError, match="overlap is of two masks: use bound, with who and beside"):
        claim.check_quantities([MetricSpec("overlap", stage="pair")])


def test_overlap_is_of_plain_cells(tmp_path):
    pair = "bound: {of: overlap.jaccard, who: random, beside: {criterion: snip, ablation: shuffle}, at_most: 1}"
    text = GOOD.replace("order: {of: accuracy, higher: snip, lower: random}", pair)
    claim = claims.load(written(tmp_path, text))

    with pytest.raises(SuiteError, match="overlap is measured of plain cells alone: leave out the ablation"):
        claim.check_quantities([MetricSpec("overlap", stage="pair")])


def test_a_claim_may_share_the_suite_and_the_results_of_another(monkeypatch, tmp_path):
    first = written(tmp_path, GOOD, "first")
    monkeypatch.setattr(claims, "shipped", lambda: {"first": first})
    text = GOOD.partition("suite:")[0] + "suite: first\ntests:" + GOOD.partition("tests:")[2]

    second = claims.load(written(tmp_path, text, "second"))

    assert second.tested_by.file == str(first)
    assert second.folder(Path("there")) == Path("there/first")


def test_a_claim_without_results_says_what_it_waits_for(tmp_path):
    claim = claims.load(written(tmp_path))
    one = claims.judged(claim, tmp_path / "results")

    assert one.state == "not run"
    assert claims.waiting(one, lambda suite: "").state == "not run"
    assert claims.waiting(one, lambda suite: "cifar10 is not there").state == "data missing"
    claim = claims.load(written(tmp_path, GOOD.replace("needs: training", "needs: gpu")))
    assert claims.waiting(claims.judged(claim, tmp_path), lambda suite: "").state == "needs a GPU"


@pytest.mark.parametrize("name", claims.shipped())
def test_every_claim_that_ships_is_valid_and_about_what_its_suite_measures(name):
    claim = claims.load(claims.find(name))
    opened = Session.open(Options(suite=claim.tested_by.file, device="cpu"))

    claim.check_quantities(opened.metrics)

    assert opened.cells
    trained = any(test.statement.of == claims.ACCURACY for test in claim.tests)
    assert (claim.needs == "nothing") == (not trained)


def test_the_page_names_each_claim_its_state_and_its_numbers(tmp_path):
    claim = claims.load(written(tmp_path, GOOD.replace("SNIP is", "<b>SNIP</b> is")))
    values = APART.assign(of=APART["of"].map({"a": "snip", "b": "random"}))

    html = claims.rendered([claims.by_values(claim, [values], "torch 2.14.1, device cpu")])

    assert "&lt;b&gt;SNIP&lt;/b&gt; is better" in html
    assert "confirmed" in html
    assert "snip − random = 11 [8.516, 13.48] in 3 blocks" in html
    assert "torch 2.14.1, device cpu" in html
