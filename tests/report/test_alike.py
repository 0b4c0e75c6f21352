"""Whether cells of several studies may stand in one table."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pabench.errors import RefusedError
from pabench.report.join import join
from pabench.suite.specs import Augment, DatasetSpec, ModelSpec, Scoring, TrainSpec

from ..synthetic import folder, record
from .test_join import changed, grid, recipe


def test_blocks_that_started_otherwise_are_refused(tmp_path):
    """Another version of torch may draw other weights and orders: nothing would be paired, whatever the seeds are."""
    a = folder(tmp_path / "a", grid("random", "snip", ablations=["reinit"]), name="a")

    def drawn(cell):
        made = record(cell)
        return {**made, "pairing": {**made["pairing"], "weights": "0" * 64, "order": "1" * 64}}

    b = folder(tmp_path / "b", grid("random", "grasp"), drawn, name="b")

    with pytest.raises(RefusedError) as refused:
        join([b, a])
    assert str(refused.value).splitlines()[0] == (
        "these studies cannot stand in one table: cifar10 / resnet20, seed 0, 1: weights, order differ between a and "
        "b, so that nothing is paired"
    )
    later = [replace(c, seed=c.seed + 2) for c in grid("random", "grasp")]
    assert len(join([a, folder(tmp_path / "c", later, drawn, name="c")]).frame) == 16


UNLIKE = [
    (recipe(epochs=80), "recipe: epochs is 160 in a; 80 in b"),
    (recipe(augment=Augment(4, False)), "recipe on cifar10: augment is"),
    (recipe(precision="bfloat16"), 'recipe on cifar10: precision is "float32" in a; "bfloat16" in b'),
    (lambda c: replace(c, protocol="pai-v2"), 'protocol is "pai-v1" in a; "pai-v2" in b'),
    (lambda c: replace(c, scoring=Scoring(dtype="float32")), "scoring: dtype is"),
    (lambda c: replace(c, dataset=DatasetSpec("cifar10", fingerprint="e" * 64)), "dataset cifar10: fingerprint is"),
    (
        lambda c: replace(c, dataset=replace(c.dataset, args={"train_per_class": 300})),
        "dataset cifar10: train_per_class is",
    ),
    (lambda c: replace(c, model=ModelSpec("resnet20", {"zero_init_last": False})), "resnet20: zero_init_last is"),
]


@pytest.mark.parametrize(("change", "reason"), UNLIKE, ids=[reason.split(" is")[0] for _, reason in UNLIKE])
def test_studies_that_were_made_differently_are_refused_with_the_reason(tmp_path, change, reason):
    a = folder(tmp_path / "a", grid("snip"), name="a")
    b = folder(tmp_path / "b", changed(["snip"], change), name="b")

    with pytest.raises(RefusedError, match=re.escape(reason)) as first:
        join([a, b])
    with pytest.raises(RefusedError) as second:
        join([b, a])
    assert str(first.value) == str(second.value)


def test_another_dataset_may_have_its_own_augmentation_and_no_other_recipe(tmp_path):
    a = folder(tmp_path / "a", grid("snip"), name="a")
    other = [replace(c, recipe=replace(c.recipe, augment=Augment(0, True))) for c in grid("snip", datasets=["svhn"])]
    longer = [replace(c, recipe=replace(c.recipe, epochs=90)) for c in other]

    assert len(join([a, folder(tmp_path / "b", other, name="b")]).frame) == 8
    with pytest.raises(RefusedError, match="recipe: epochs"):
        join([a, folder(tmp_path / "c", longer, name="c")])


def test_another_network_of_one_name_has_its_own_tables(tmp_path):
    narrow = [replace(c, model=ModelSpec("resnet20", {"width": 8})) for c in grid("snip")]

    joint = join([folder(tmp_path / "a", grid("snip"), name="a"), folder(tmp_path / "b", narrow, name="b")])

    assert set(joint.frame["model"]) == {"resnet20", "resnet20 (width=8)"}


def test_trainings_of_one_name_and_other_parameters_are_refused_and_of_other_names_are_not(tmp_path):
    def trained(name, **args):
        return lambda c: replace(c, train=TrainSpec(name, {}, args, 1)) if c.criterion else c

    plain = folder(tmp_path / "plain", grid("snip"), name="plain")
    one = folder(tmp_path / "one", changed(["snip"], trained("set", drop=0.3)), name="one")
    other = folder(tmp_path / "other", changed(["snip"], trained("set", drop=0.2)), name="other")

    with pytest.raises(RefusedError, match=re.escape("training set: drop is 0.3 in one; 0.2 in other")):
        join([one, other])
    joint = join([plain, one])
    assert joint.trainings == ("set", "plain")  # in the order of the labels
    assert len(joint.under("set").frame) == len(joint.under("plain").frame) == len(plain_rows(joint))


def plain_rows(joint):
    return joint.frame[joint.frame["train"] == "plain"]
