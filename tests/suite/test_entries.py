"""The entries of a suite: what may stand in them, and what a cell gets of them."""

from __future__ import annotations

import json
import re

import pytest

from pabench.suite import suite
from pabench.suite.specs import Augment, Recipe

from .conftest import GOOD, changed, findings


def test_reads_names_and_mappings_alike():
    read = suite.parse(GOOD, "s.yaml")

    assert [(d.name, d.path, d.params) for d in read.datasets] == [
        ("digits", "", {}),
        ("parquet", "/data", {"per_class": 5}),
    ]
    assert [(m.name, m.stem, m.args) for m in read.models] == [
        ("resnet20", "", {}),
        ("resnet18", "cifar", {"zero_init_last": False}),
    ]
    assert [(c.name, c.params) for c in read.criteria] == [
        ("random", {}),
        ("synflow", {"steps": 100}),
        ("grasp@official", {}),
    ]
    assert read.sparsities == (0.0, 0.9)
    assert list(read.seed_values) == [0, 1, 2]


def test_builds_the_recipe_of_a_cell():
    read = suite.parse(changed("epochs: 160", "epochs: 160, momentum: 0.8, gamma: 0.5"), "s.yaml")

    assert read.recipe.build(augment=Augment(crop=4, flip=True), precision="bfloat16") == Recipe(
        epochs=160,
        lr=0.001,
        momentum=0.8,
        schedule="step",
        milestones=(80, 120),
        gamma=0.5,
        augment=Augment(crop=4, flip=True),
        precision="bfloat16",
        compact=True,
    )


@pytest.mark.parametrize(
    ("written", "built"),
    [
        ("auto", Augment(crop=4, flip=True)),
        ("none", Augment()),
        ("{crop: 2, cutout: 8}", Augment(crop=2, cutout=8)),
    ],
)
def test_augment_of_the_recipe_wins_over_that_of_the_dataset(written, built):
    read = suite.parse(changed("epochs: 160", f"epochs: 160, augment: {written}, precision: float32"), "s.yaml")

    recipe = read.recipe.build(augment=Augment(crop=4, flip=True), precision="bfloat16")

    assert (recipe.augment, recipe.precision) == (built, "float32")


BAD = {
    "unknown key": (
        changed("lr:", "momentun: 1, lr:"),
        '12:23: recipe.momentun: unknown key; did you mean "momentum"?',
    ),
    "unknown section": (GOOD + "recipes: 1\n", '13:1: recipes: unknown key; did you mean "recipe"?'),
    "unknown key of a model": (changed("stem: cifar", "stm: cifar"), "5:22: models.1.stm: unknown key; did you mean"),
    "missing section": (changed("seeds: 3\n", ""), "1:1: seeds: missing; add `seeds: 3`"),
    "missing key": (changed("epochs: 160, ", ""), "12:1: recipe.epochs: missing"),
    "entry without name": (changed("name: synflow, ", ""), "8:5: criteria.1.name: missing"),
    "entry that is a number": (changed("- random", "- 7"), "7:5: criteria.0: expected a name or a mapping with a name"),
    "a name before its parameters": (
        changed("- random", "- snip: {steps: 3}"),
        '7:5: criteria.0: expected the name beside its parameters: {name: "snip", steps: ...}',
    ),
    "name": (changed("- random", "- ../x"), '7:5: criteria.0.name: "../x" is no name'),
    "two variants": (changed("grasp@official", "a@b@c"), '9:5: criteria.2.name: "a@b@c" is no name'),
    "variant of a model": (changed("resnet20", "resnet20@x"), '4:5: models.0.name: "resnet20@x" has a variant'),
    "protocol": (changed("pai-v1", "pai-v2"), '1:1: protocol: expected pai-v1, not "pai-v2"; did you mean "pai-v1"?'),
    "quoted number": (
        changed("160", '"3"'),
        '12:10: recipe.epochs: expected a whole number, not "3"; remove the quotes',
    ),
    "fraction of an epoch": (changed("160", "1.5"), "12:10: recipe.epochs: expected a whole number, not 1.5; round it"),
    "true epochs": (changed("160", "true"), "12:10: recipe.epochs: expected a whole number, not true"),
    "no epochs": (changed("160", "0"), "12:10: recipe.epochs: must be at least 1, not 0"),
    "learning rate": (changed("1e-3", "-1"), "12:23: recipe.lr: must be more than 0, not -1"),
    "true number": (changed("1e-3", "yes"), '12:23: recipe.lr: expected a number, not "yes"'),
    "unknown kind": (
        GOOD + "scoring: {include: [atention]}\n",
        '13:21: scoring.include.0: expected attention or recurrent, not "atention"; did you mean "attention"?',
    ),
    "a kind alone": (
        GOOD + "scoring: {include: attention}\n",
        '13:11: scoring.include: expected a list, not "attention"; put it in [ ]',
    ),
    "a kind twice": (
        GOOD + "scoring: {include: [attention, attention]}\n",
        "13:11: scoring.include: a kind a second time in attention, attention; name each once",
    ),
    "batch below 0": (GOOD + "scoring: {batch: -1}\n", "13:11: scoring.batch: must be at least 0, not -1"),
    "nothing": (changed(" [0, 0.9]", ""), "10:1: sparsities: expected a list, not nothing"),
    "no list": (changed("[0, 0.9]", "0.9"), "10:1: sparsities: expected a list, not 0.9; put it in [ ]"),
    "empty list": (changed("[0, 0.9]", "[]"), "10:1: sparsities: an empty list; name at least one"),
    "per cent": (changed("0.9]", "90]"), "10:17: sparsities.1: must be at least 0 and less than 1, not 90"),
    "no seed": (changed("seeds: 3", "seeds: 0"), "11:1: seeds: must be at least 1, not 0"),
    "seed below 0": (changed("seeds: 3", "seeds: [-1]"), "11:9: seeds.0: must be at least 0, not -1"),
    "unreached step": (changed("160", "100"), "12:33: recipe.schedule: the step at epoch 120 is never reached in 100"),
    "step order": (changed("[80, 120]", "[120, 80]"), "recipe.schedule.step: the epochs [120, 80] do not increase"),
    "schedule": (
        changed("{step: [80, 120]}", "cosin"),
        "recipe.schedule: expected constant or cosine or a mapping, not ",
    ),
    "gamma of cosine": (changed("{step: [80, 120]}", "cosine, gamma: 0.1"), "recipe.gamma: only schedule: {step"),
    "nesterov": (changed("lr:", "momentum: 0, nesterov: true, lr:"), "recipe.nesterov: nesterov needs optimizer: sgd"),
    "momentum of adamw": (changed("lr:", "optimizer: adamw, momentum: 0.9, lr:"), "recipe.momentum: adamw has no"),
    "warm-up": (changed("lr:", "warmup: 160, lr:"), "recipe.warmup: 160 epochs of warm-up in 160 epochs"),
    "augment": (changed("lr:", "augment: {crp: 4}, lr:"), 'recipe.augment.crp: unknown key; did you mean "crop"?'),
    "batch of 1": (changed("lr:", "batch_size: 1, lr:"), "recipe.batch_size: must be at least 2, not 1"),
    "scoring": (GOOD + "scoring: {dtype: float16}\n", "scoring.dtype: expected auto or float64 or float32"),
    "duplicate criterion": (
        changed("- random", "- random\n  - {name: random}"),
        "8:5: criteria.1: the same as criteria.0",
    ),
    "duplicate sparsity": (changed("[0,", "[0, 0.0,"), "10:17: sparsities.1: the same as sparsities.0"),
    "ablation": (GOOD + "ablations: [shufle]\n", "13:13: ablations.0: expected shuffle or reinit or invert or "),
    "ablation meant": (GOOD + "ablations: [shufle]\n", 'not "shufle"; did you mean "shuffle"?'),
    "duplicate ablation": (GOOD + "ablations: [invert, invert]\n", "13:21: ablations.1: the same as ablations.0"),
    "one ablation": (GOOD + "ablations: shuffle\n", 'ablations: expected a list, not "shuffle"; put it in [ ]'),
}


@pytest.mark.parametrize("what", BAD)
def test_refuses_a_bad_file_with_its_place(what):
    text, expected = BAD[what]

    told = findings(text)

    assert all(line.startswith("s.yaml:") for line in told)
    assert any(expected in line for line in told), told


@pytest.mark.parametrize("text", ["a\0b", "x" * 256, "/".join(["y" * 100] * 41)], ids=["NUL", "name", "whole"])
@pytest.mark.parametrize(
    ("before", "after", "at"),
    [
        ("path: /data", "path: {}", "datasets.1.path"),
        ("stem: cifar", "stem: cifar, init: pretrained, checkpoint: {}", "models.1.checkpoint"),
        ("protocol: pai-v1", "protocol: pai-v1\nplugins: [{}]", "plugins.0"),
    ],
)
def test_what_no_file_can_be_called_is_told_at_its_place(text, before, after, at):
    (found,) = findings(changed(before, after.format(json.dumps(text))))

    assert re.search(rf"^s.yaml:\d+:\d+: {at}: .* can be no path", found)
