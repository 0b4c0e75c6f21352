"""Tests of pabench.diagnostics.remedy: what is tried in which order, and how it is written down."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest
import torch

from pabench.diagnostics import remedy
from pabench.diagnostics.remedy import Patient, Treatment, criterion_entry
from pabench.networks import models
from pabench.suite.specs import ModelSpec
from pabench.suite.yaml import Tree, read


def patient(**more) -> Patient:
    return Patient(10, (3, 8, 8), lambda rule: [(torch.randn(20, 3, 8, 8), torch.arange(20) % 10)], **more)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(remedy).failed == 0


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "two words",
        "1e-3",
        "0",
        "yes: no",
        "{a}",
        "",
        "ü",
        "a, b",
        1e-5,
        3,
        -1,
        True,
        None,
        [1, "x"],
        {"k": [0.5]},
    ],
)
def test_what_is_printed_for_a_suite_is_read_again_as_it_was(value):
    tree = Tree("suite.yaml")

    read(criterion_entry("mine", {"key": value}), tree)

    assert not tree.findings
    assert tree.value == {"name": "mine", "key": value}


def test_the_fewest_parameters_are_tried_first_and_none_that_is_given_already():
    """SynFlow has three remedies of its own; with one given two are left, and the pair of them."""
    given = {"clamps": "off"}

    tried = [t.given for t in remedy._own_remedies(Treatment("synflow", given, ModelSpec("resnet8")))]

    norms, unlimited = {"norms": "scale"}, {"range": "unlimited"}
    assert tried == [given | norms, given | unlimited, given | norms | unlimited]


def test_a_network_is_built_once_and_three_are_kept_at_most(monkeypatch):
    built = []
    monkeypatch.setattr(models, "build", lambda spec, *_: built.append(spec.name) or torch.nn.Linear(1, 1))
    ill = patient()

    for name in ("a", "a", "b", "c", "d", "a"):
        ill.module(ModelSpec(name))

    assert built == ["a", "b", "c", "d", "a"]


def test_a_healthy_criterion_is_left_as_it_is():
    ill = patient()
    well = ill.examined(Treatment("magnitude", {}, ModelSpec("resnet8")))

    assert ill.treat(well) is well


def test_a_block_that_starts_at_0_is_healed_by_the_model_and_not_by_the_criterion():
    """The last BatchNorm of each block of timm's ResNets is 0: no gradient reaches the weights before it."""
    ill = replace(
        patient(), shape=(3, 32, 32), batches=lambda rule: [(torch.randn(20, 3, 32, 32), torch.arange(20) % 10)]
    )
    asked = ill.examined(Treatment("snip", {}, ModelSpec("test_resnet")))

    found = ill.treat(asked)

    assert "layer1.0.conv1.weight" in asked.finding.dead
    assert found.finding.dead == ()
    assert found.entries == {
        "model": "{name: test_resnet, args: {zero_init_last: false}}",
        "criterion": "snip",
        "scoring": "",
    }
