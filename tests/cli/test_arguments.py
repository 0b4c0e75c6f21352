"""How the texts of options become values, and what is said of one that cannot be read."""

from __future__ import annotations

import doctest

import pytest

from pabench.cli import arguments
from pabench.cli.arguments import criteria, datasets, model_args
from pabench.errors import SuiteError


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(arguments) == (0, 2)


def test_values_are_those_of_a_suite():
    assert model_args(["patch_size=4", "drop = 0.5", "depths=[2, 2]", "act=no", "zero=false"]) == {
        **{"patch_size": 4, "drop": 0.5, "depths": [2, 2], "act": "no", "zero": False}
    }
    assert datasets(["cifar10=/data/a b=c"]) == {"cifar10": "/data/a b=c"}  # a path is text


def test_criteria_are_names_or_entries_and_params_are_of_each():
    assert criteria(["snip", "{name: grasp@official, temperature: 100}"], ["steps=3"]) == [
        ("snip", {"steps": 3}),
        ("grasp@official", {"temperature": 100, "steps": 3}),
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: model_args(["patch_size"]),
            "--model-arg patch_size: expected KEY=VALUE, as in --model-arg patch_size=4",
        ),
        (lambda: model_args(["=4"]), "--model-arg =4: expected KEY=VALUE"),
        (lambda: datasets(["cifar10"]), "--data cifar10: expected NAME=PATH, as in --data cifar10=/data/cifar10"),
        (lambda: criteria(None, ["steps=3"]), "--param: name its criterion"),
        (lambda: criteria(["[snip]"], None), r"-c \[snip\]: expected a name, or a mapping as in a suite"),
        (lambda: criteria(["{steps: 3}"], None), "expected a name, or a mapping as in a suite"),
        (lambda: model_args(["a=[1"]), "--model-arg a"),
    ],
)
def test_what_cannot_be_read_is_said_with_an_example(call, message):
    with pytest.raises(SuiteError, match=message):
        call()
