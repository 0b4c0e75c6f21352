"""Guesses at what was meant: close, or none."""

from __future__ import annotations

import doctest

import pytest

from pabench import errors
from pabench.errors import close, did_you_mean

KEYS = ["datasets", "models", "criteria", "sparsities", "seeds", "recipe", "epochs", "batch_size", "lr", "momentum"]
KEYS += ["weight_decay", "optimizer", "warmup", "snip", "grasp", "iter_snip", "synflow", "cifar10", "mnist", "svhn"]
SLIPS = {
    **{"dataset": "datasets", "sparsity": "sparsities", "criterion": "criteria", "sedes": "seeds"},
    **{"epohcs": "epochs", "epoch": "epochs", "batchsize": "batch_size", "momentun": "momentum", "moment": "momentum"},
    **{"optimiser": "optimizer", "weight-decay": "weight_decay", "warm_up": "warmup"},
    **{"snp": "snip", "snpi": "snip", "SNIP": "snip", "gasp": "grasp", "Iter-Snip": "iter_snip", "synflw": "synflow"},
    **{"CIFAR-10": "cifar10", "mnsit": "mnist"},
}  # fmt: skip


@pytest.mark.parametrize(("slip", "meant"), SLIPS.items())
def test_a_slip_is_told_what_was_meant(slip, meant):
    assert close(slip, KEYS) == [meant]


@pytest.mark.parametrize("name", ["learning_rate", "wd", "bs", "r", "img_size", "pruner", "l1", "random"])
def test_a_name_of_something_else_gets_no_guess(name):
    assert close(name, KEYS) == []


def test_part_of_another_name_is_no_slip_of_it():
    assert close("img_sizee", ["dynamic_img_size", "patch_size"]) == []
    assert did_you_mean("img_sizee", ["img_size", "dynamic_img_size"]).startswith("did you mean 'img_size'? known: ")


def test_the_examples_hold():
    assert doctest.testmod(errors).failed == 0
