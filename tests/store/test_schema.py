"""Documents of a store: what is no cell is said with its place."""

from __future__ import annotations

import pytest

from pabench.leaderboard.verification.folder import read
from pabench.store import schema

from ..synthetic import cells, record


def test_images_a_class_that_are_no_count_fall_at_level_one(submission):
    data = read(submission).study["cells"][1]
    data["criterion"]["args"]["examples_per_class"] = "x"

    with pytest.raises(ValueError, match=r"criterion\.args\.examples_per_class: expected a count, not x"):
        schema.cell(data)


@pytest.mark.parametrize(
    ("given", "where"),
    [({"top1": 100.5, "images": 10}, "training_images.top1"), ({"top1": 50.0, "images": 0}, "training_images.images")],
)
def test_an_accuracy_on_training_images_is_a_percentage_of_some(given, where):
    dense = cells([], models=["resnet20"], seeds=1)[0]

    (problem,) = schema.problems(schema.Record, {**record(dense), "training_images": given})

    assert problem[0] == where
    assert schema.problems(schema.Record, record(dense)) == []


TOP1 = {"name": "top1", "chance": 10.0}


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"right": "gYA=", "compared_by": TOP1}, ""),
        ({"right": "gY A="}, "result.right"),
        ({"right": [1, 0]}, "result.right"),
        ({"compared_by": {**TOP1, "chance": -1.0}}, "result.compared_by.chance"),
        ({"compared_by": {**TOP1, "name": "top9"}}, "result.compared_by.name"),
        ({"compared_by": {**TOP1, "name": "r2"}}, "result"),  # it has accuracies
        ({"test": {"images": 9, "classes": 10, "sha256": "0"}}, "result.test.sha256"),
    ],
)
def test_the_bits_of_a_test_set_are_base64_and_what_is_compared_is_named(given, where):
    good = record(cells([], models=["resnet20"], seeds=1)[0])

    found = schema.problems(schema.Record, {**good, "result": {**good["result"], **given}})

    assert [problem[0] for problem in found] == ([where] if where else [])


MASK = {"sha256": "0" * 64, "kept": 3, "stayed": 2, "layers": {"fc.weight": 3}}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({}, ""),
        ({"kept": -1}, "trained_mask.kept"),
        ({"sha256": "0"}, "trained_mask.sha256"),
        ({"layers": {"fc.weight": 0.5}}, "trained_mask.layers.fc.weight"),
    ],
)
def test_the_mask_at_the_end_of_a_training_has_a_hash_and_counts(change, where):
    cell = cells([], models=["resnet20"], seeds=1)[0]
    problems = schema.problems(schema.Record, {**record(cell), "trained_mask": {**MASK, **change}})
    assert [found[0] for found in problems] == ([where] if where else [])
