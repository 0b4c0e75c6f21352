"""What tasks take, by synthetic records whose sums can be done by hand, and where there are none."""

from __future__ import annotations

import doctest
import json
from dataclasses import replace

import pytest
import torch

from pabench.run import clock as module
from pabench.run.clock import Clock, trainings_before
from pabench.run.measurements import Survey
from pabench.run.session import Options, Session
from pabench.run.tasks import Plan, task, training_kind
from pabench.store.figures import entry, file
from pabench.store.store import Store
from pabench.suite.cell import Cell
from pabench.suite.specs import MetricSpec, TrainSpec

from ..synthetic import CRITERIA, cells, manifest, record
from .conftest import HOUR

CPU = torch.device("cpu")
ONE_SHOT = replace(CRITERIA["snip"], args={"examples_per_class": 10, "steps": 1})
ROUNDS = replace(CRITERIA["synflow"], args={"steps": 100, "examples_per_class": 0})
METRIC = MetricSpec("spectrum")


def block(*criteria, **more) -> list[Cell]:
    """Cells of one block: the dense one, then each criterion at 80, 90 and 99 %."""
    return cells(criteria, models=["resnet20"], sparsities=[0.8, 0.9, 0.99], seeds=1, **more)


def clock(folder, expected: list[Cell], costs: list[dict[str, float]]) -> Clock:
    """One that knows records of the first cells with these costs."""
    store = Store(folder)
    store.open_study(manifest(expected))
    for cell, cost in zip(expected, costs, strict=False):
        store.commit("records", cell.key, {**record(cell), "cost": {"training_seconds": 1.0, **cost}})
    return Clock(store, CPU)


def test_a_training_takes_what_others_of_its_criterion_and_sparsity_took(tmp_path):
    """Dense 80 s, snip 60 and 30 s: at 99.9 % it takes 30 and between both in the middle of the logarithm 45."""
    dense, _, at90, at99 = block(ONE_SHOT)
    known = clock(tmp_path, [dense, at90, at99], [{"wall_seconds": s} for s in (80.0, 60.0, 30.0)])

    assert [known.training(replace(c, seed=5)) for c in (dense, at90, at99)] == [80, 60, 30]
    assert known.training(replace(at90, sparsity=0.999)) == 30
    assert known.training(replace(at90, sparsity=1 - 10**-1.5)) == pytest.approx(45)
    assert (known.recorded, known.timed) == (5, 0)


def test_a_criterion_without_records_takes_what_the_others_took_and_its_own_go_first(tmp_path):
    """At 90 % snip took 60 s and synflow 20: a third takes their median; at 99 % synflow took 10."""
    _, _, snip, _, _, synflow, at99 = block(ONE_SHOT, ROUNDS)
    known = clock(tmp_path, [snip, synflow, at99], [{"wall_seconds": s} for s in (60.0, 20.0, 10.0)])

    assert known.training(replace(snip, criterion=CRITERIA["random"])) == 40
    assert known.training(replace(at99, criterion=CRITERIA["random"])) == 10
    assert [known.training(replace(c, seed=1)) for c in (snip, synflow)] == [60, 20]


def test_a_shuffled_mask_is_another_one_and_a_redrawn_network_trains_under_the_same(tmp_path):
    _, _, plain, *_ = block(ONE_SHOT)
    shuffle, reinit = replace(plain, ablation="shuffle"), replace(plain, ablation="reinit")
    known = clock(tmp_path, [plain, shuffle], [{"wall_seconds": 20.0}, {"wall_seconds": 50.0}])

    assert [known.training(c) for c in (plain, reinit, shuffle)] == [20, 20, 50]


def test_what_prunes_in_training_trains_for_each_sparsity_and_what_prunes_trained_weights_once(tmp_path):
    spec = replace(CRITERIA["magnitude"], trains=True, args={})
    after, gradual = (replace(spec, name=name) for name in ("magnitude_after_training", "gradual_magnitude"))
    dense, *rest = block(ONE_SHOT, after, gradual)
    shot, trained, pruned = rest[:3], rest[3:6], rest[6:]

    assert [trainings_before(masks) for masks in (shot, trained, pruned, pruned[:1])] == [0, 1, 3, 1]
    assert trainings_before([replace(cell, ablation="shuffle") for cell in pruned]) == 0
    assert trainings_before([replace(cell, ablation="random_labels") for cell in pruned]) == 0
    assert trainings_before([dense]) == 0


def test_of_one_scoring_for_all_sparsities_only_the_rest_is_for_each(tmp_path):
    """5 s for two masks, 3 of them for scoring: three masks take 3 + 3 x 1 s."""
    _, *masks = block(ONE_SHOT)
    costs = [{"pruning_seconds": 4.0, "scoring_seconds": 3.0}, {"pruning_seconds": 1.0, "scoring_seconds": 3.0}]
    known = clock(tmp_path, masks[:2], costs)

    assert known.pruning([replace(c, seed=7) for c in masks]) == pytest.approx(6)


def test_rounds_are_scored_for_each_sparsity(tmp_path):
    """5 s for two masks are 2.5 for each, whichever of them the seconds were written at."""
    _, *masks = block(ROUNDS)
    costs = [{"pruning_seconds": 4.9, "scoring_seconds": 2.4}, {"pruning_seconds": 0.1, "scoring_seconds": 2.4}]
    known = clock(tmp_path, masks[:2], costs)

    assert known.pruning(masks) == pytest.approx(7.5)


def test_masks_of_an_ablation_take_what_plain_ones_took_but_shuffles_are_not_scored(tmp_path):
    _, *masks = block(ROUNDS)
    known = clock(tmp_path, masks[:1], [{"pruning_seconds": 2.0}])

    assert known.pruning([replace(masks[0], ablation="invert")]) == 2
    assert known.pruning([replace(masks[0], ablation="shuffle")]) == 0


def test_figures_take_their_mean_and_those_that_nobody_measured_are_named(tmp_path):
    """Two files: 3 s and 1 s for a figure each; three more take 6 s."""
    _, *masks = block(ONE_SHOT)
    store = clock(tmp_path, masks, [])
    for cell, seconds in zip(masks, (3.0, 1.0), strict=False):
        data = file([entry((cell.pruning_key,), METRIC, {"spectrum": 1.0})], {"spectrum": seconds})
        Store(tmp_path).commit("metrics", data["key"], data)
    store = Clock(Store(tmp_path), CPU)
    networks, wanted = module._networks(masks), [((cell.pruning_key,), METRIC) for cell in masks]

    assert store.measuring(networks, wanted) == 6
    assert store.unknown == set()
    assert store.measuring(networks, [(wanted[0][0], MetricSpec("ntk"))]) == 0
    assert store.unknown == {"ntk"}


def test_the_seconds_of_pairs_are_shared_by_their_figures(tmp_path):
    """4 s for two metrics of two pairs: 2 s of each metric for one more pair of two."""
    _, a, b, c = block(ONE_SHOT)
    Store(tmp_path).open_study(manifest([a, b, c]))
    both = [MetricSpec("overlap", stage="pair"), MetricSpec("distance", stage="pair")]
    pairs = [tuple(sorted((a.pruning_key, other.pruning_key))) for other in (b, c)]
    data = file([entry(of, spec, {}) for of in pairs for spec in both], {"pairs": 4.0})
    Store(tmp_path).commit("metrics", data["key"], data)
    known = Clock(Store(tmp_path), CPU)

    assert known.measuring(module._networks([a, b, c]), [(pairs[0], spec) for spec in both]) == pytest.approx(2)


def test_without_records_a_scoring_is_guessed_from_a_training_image_by_image(tmp_path, monkeypatch):
    """An epoch of 100 images takes an hour. snip scores 100 images, once; two masks take three norms, of 100 each."""
    monkeypatch.setattr(module, "_calibrated", lambda *_: HOUR)
    (tmp_path / "some.yaml").write_text(
        "protocol: pai-v1\ndatasets: [{name: digits, train_per_class: 10}]\nmodels: [resnet8]\nseeds: 1\n"
        "criteria: [snip, {name: iter_snip, steps: 5}]\nsparsities: [0.5, 0.9]\nrecipe: {epochs: 1}\n"
    )
    found = Session.open(Options(suite=str(tmp_path / "some.yaml"), device="cpu")).cells
    snip, rounds = ([c for c in found if c.criterion.name == name] for name in ("snip", "iter_snip"))
    known = Clock(Store(tmp_path / "none"), CPU)

    assert known.pruning(snip) == pytest.approx(HOUR * (1 + 3))
    assert known.pruning(rounds) == pytest.approx(HOUR * (2 * 5 * module.DOUBLE + 3))


def test_tasks_are_told_by_their_kind(tmp_path):
    _, *masks = block(ROUNDS)
    known = clock(tmp_path, masks, [{"pruning_seconds": 2.0, "wall_seconds": 7.0}])
    named = {"p": masks[:2], "t": masks[:1]}
    seconds = known.of(Plan(masks, {}, by_task=named), Survey(Store(tmp_path)))

    assert [seconds(task(kind, key, "", {})) for kind, key in (("prune", "p"), ("train", "t"), ("check", "c"))] == [
        4,
        7,
        0,
    ]


def test_a_task_of_two_criteria_takes_what_both_take(tmp_path):
    """2 s for each mask of one, 4 s for all of the other."""
    _, one, _, _, other, *_ = masks = block(ROUNDS, ONE_SHOT)
    known = clock(tmp_path, [one, other], [{"pruning_seconds": 2.0}, {"pruning_seconds": 4.0, "scoring_seconds": 4.0}])
    seconds = known.of(Plan(masks, {}, by_task={"p": masks[1:]}), Survey(Store(tmp_path)))

    assert seconds(task("prune", "p", "", {})) == 3 * 2 + 4


def test_a_cell_and_its_record_are_of_one_kind_though_one_has_been_through_json():
    cell = cells()[0]
    cell = replace(cell, dataset=replace(cell.dataset, args={"mean": (0.5,), "size": 0}))

    again = Cell.from_json(json.loads(json.dumps({**cell.to_json()}, sort_keys=True)))

    assert training_kind(again) == training_kind(cell)


def test_doctests_hold():
    assert doctest.testmod(module).failed == 0


def test_another_training_takes_what_others_of_it_took_and_else_what_the_dense_network_takes(tmp_path, monkeypatch):
    """Plain 60 s, rigl 90 s. Of set there is no record: the whole network is timed as it is trained plainly."""
    _, _, at90, _ = block(ONE_SHOT)
    rigl, other = (replace(at90, train=TrainSpec(name, {}, {"every": 100}, 1)) for name in ("rigl", "set"))
    known = clock(tmp_path, [at90, rigl], [{"wall_seconds": 60.0, "pruning_seconds": 5.0}, {"wall_seconds": 90.0}])
    timed = []
    monkeypatch.setattr(known, "_apart", lambda function, cell: timed.append(cell) or 70.0)

    assert (known.training(at90), known.training(rigl), known.training(other)) == (60, 90, 70)
    assert timed == [at90]
    assert training_kind(at90) != training_kind(rigl)
    assert known.pruning([rigl]) == known.pruning([at90])
