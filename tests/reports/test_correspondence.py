"""Which cells a published figure corresponds to, and in what they differ."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pabench_reports import correspondence
from pabench_reports.correspondence import corresponds, differences, same_sparsity
from pabench_reports.publication import shipped

from pabench.suite.specs import CriterionSpec, DatasetSpec, ModelSpec

from .test_literature import FIGURE, cell, grid


def test_the_shipped_recipes_are_of_keys_that_cells_have():
    one = cell()
    for recipe in shipped().recipes.values():
        assert set(recipe.training) <= {*one["recipe"], *one["recipe"]["augment"]}
        assert set(recipe.training) <= set(correspondence.TRAINING)
        assert {key for known in recipe.scoring.values() for key in known} <= set(correspondence.SCORING)


@pytest.mark.parametrize(
    ("published", "ours", "same"),
    [
        (0.98221721, 0.98, False),  # keeps 1.78 %, not 2 %
        (0.98221721, 0.982, True),  # 1.78 % and 1.8 %: rounding explains it
        (0.98221721, 0.983, False),
        (0.98221721, 0.98221721, True),
        (0.99437659, 0.994, False),
        (0.99437659, 0.9944, True),
        (0.9, 0.9, True),
        (0.9822, 0.98221721, True),
        (0.9, 0.91, False),
        (0.0, 0.0, True),
        (None, 0.9, False),
    ],
)
def test_sparsities_correspond_as_far_as_rounding_explains(published, ours, same):
    assert same_sparsity(published, ours) is same


def test_names_of_papers_are_found_by_their_aliases():
    assert corresponds(FIGURE, cell())
    assert not corresponds(replace(FIGURE, model="lottery_vgg16_bn"), cell())
    assert not corresponds(replace(FIGURE, dataset="cifar100"), cell())
    assert not corresponds(replace(FIGURE, criterion="OBD"), cell())
    tiny = cell(dataset=DatasetSpec("tiny_imagenet"), model=ModelSpec("resnet18", stem="cifar"))
    assert corresponds(replace(FIGURE, dataset="tinyimagenet", model="resnet18"), tiny)
    assert not corresponds(replace(FIGURE, model="tiny_wide_resnet18"), cell(model=ModelSpec("resnet18")))


def test_a_variant_corresponds_and_says_in_what_it_scores_otherwise():
    """Synaptic-Flow scores with stored BatchNorm statistics: our own default differs, our variant of it does not."""
    figure = next(
        f
        for f in shipped().figures
        if (f.table, f.model, f.criterion, f.sparsity) == ("Fig. 6", "lottery_vgg11_bn", "grasp", 0.9)
    )
    recipe = shipped().recipe(figure)
    own = CriterionSpec("grasp", args={"bn": "train", "steps": 1, "examples_per_class": 10})
    theirs = CriterionSpec("grasp@synaptic-flow", args={"bn": "eval", "steps": 1, "examples_per_class": 10})

    assert corresponds(figure, cell(criterion="random") | {"criterion": theirs.identity()})
    told = {s.name: list(differences(figure, recipe, cell() | {"criterion": s.identity()}, 3)) for s in (own, theirs)}
    assert "BatchNorm while scoring: eval there, train here" in told["grasp"]
    assert not [t for t in told["grasp@synaptic-flow"] if "while scoring" in t]
    assert "milestones: 60 and 120 there, 80 and 120 here" in told["grasp"]
    assert "Nesterov: yes there, no here" in told["grasp"]


def test_a_part_of_the_images_is_named_with_its_number():
    """300 of each of 10 classes: 3,000 of CIFAR-10's 50,000."""
    part = DatasetSpec("parquet", {"title": "cifar10", "train_per_class": 300, "test_per_class": 200})

    told = list(differences(FIGURE, None, cell(dataset=part), 3))

    assert corresponds(FIGURE, cell(dataset=part))
    assert "training images: 50,000 there, 3,000 here (300 a class)" in told
    assert "test images: 10,000 there, 2,000 here (200 a class)" in told
    assert any("called cifar10 by its title" in text for text in told)
    assert any("training recipe is not in our table" in text for text in told)


def test_at_sparsity_0_every_criterion_is_the_dense_baseline():
    dense = grid()[0].to_json()

    assert corresponds(replace(FIGURE, sparsity=0.0), dense)
    assert not corresponds(replace(FIGURE, sparsity=0.9), dense)
