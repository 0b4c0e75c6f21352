"""Narrower networks: as many parameters as allowed, one unit more is too many, and arguments that are proved."""

from __future__ import annotations

import doctest
from math import prod

import pytest

from pabench.errors import SuiteError
from pabench.networks import width
from pabench.networks.models import build, parameter_shapes, weights_digest
from pabench.networks.width import find_knob, narrowed
from pabench.suite.specs import ModelSpec

DIGIT = (1, 8, 8)


def count(spec: ModelSpec, shape=DIGIT) -> int:
    return sum(map(prod, parameter_shapes(spec, 10, shape).values()))


@pytest.mark.parametrize(
    ("name", "shape", "arguments"),
    [
        ("resnet8", DIGIT, {"width": 16}),
        ("vgg11_cifar", (3, 16, 16), {"width": 64}),
        ("lenet_300_100", DIGIT, {"hidden": [300, 100]}),
        ("lenet_5", (1, 28, 28), {"hidden": [20, 50, 500]}),
        ("test_resnet", (3, 32, 32), {"channels": [32, 48, 48, 96]}),  # a bottleneck among its basic blocks
        ("test_convnext", (3, 32, 32), {"dims": [24, 32, 48, 64]}),
        ("test_vit", (3, 160, 160), {"embed_dim": 64}),
    ],
)
def test_one_unit_of_width_more_has_more_parameters_than_allowed(name, shape, arguments):
    spec = ModelSpec(name, {"zero_init_last": False} if name == "test_resnet" else {})
    knob = find_knob(spec, 10, shape)
    allowed = count(spec, shape) // 5

    found = narrowed(spec, 10, shape, allowed)

    assert knob.values == arguments
    at = next(w for w in range(1, knob.units + 1) if spec.args | knob.at(w) == found.args)
    next_wider = next(size for w in range(at + 1, knob.units) if (size := count(ModelSpec(name, knob.at(w)), shape)))
    assert 0 < count(found, shape) <= allowed < next_wider
    assert sum(p.numel() for p in build(found, 10, shape, seed=0).parameters()) == count(found, shape)


def test_a_network_that_fits_is_left_as_it_is():
    """ResNet-8 on grey images has 77,754 parameters; one less takes a sixteenth of its width."""
    spec = ModelSpec("resnet8", {"shortcut": "projection"})

    assert narrowed(spec, 10, DIGIT, 77754) == spec
    assert narrowed(spec, 10, DIGIT, 77753).args == {"shortcut": "projection", "width": 15}


def test_a_width_that_a_suite_has_set_is_where_narrowing_begins():
    spec = ModelSpec("resnet8", {"width": 6})

    assert find_knob(spec, 10, DIGIT).values == {"width": 6}
    assert narrowed(spec, 10, DIGIT, count(spec) - 1).args == {"width": 5}


def test_heads_stay_and_share_the_width():
    """test_vit has 2 heads of 32: every width is a multiple of 2."""
    knob = find_knob(ModelSpec("test_vit"), 10, (3, 160, 160))

    assert (knob.units, knob.at(7)) == (32, {"embed_dim": 14})


def test_the_narrowest_network_may_be_too_large():
    """ResNet-8 of width 1: the stem 9; stages 18, 56 and 224; nine BatchNorms of 21 channels, 42; linear 50: 399."""
    with pytest.raises(SuiteError, match=r"\(width=1\) is the narrowest, with 399 parameters where 398 are left"):
        narrowed(ModelSpec("resnet8"), 10, DIGIT, 398)
    assert narrowed(ModelSpec("resnet8"), 10, DIGIT, 399).args == {"width": 1}


def test_an_architecture_without_a_known_argument_is_named():
    with pytest.raises(SuiteError, match=r"sets the width of test_efficientnet \(EfficientNet\) is known"):
        narrowed(ModelSpec("test_efficientnet"), 10, DIGIT, 1000)


@pytest.mark.parametrize(
    ("name", "shape", "digest"),
    [
        ("vgg11_cifar", (3, 32, 32), "0103b433ca989f911c4c2eaec7119bb455c5b90ab3de2615b21633976f6b2dbb"),
        ("lenet_300_100", (1, 8, 8), "b1face01540b60446649daadfcadf75762a909c8c62742d1baaeb6a3000b5bc5"),
        ("lenet_5", (1, 16, 16), "e5baa4c53f2ac5cd467d49b2441c196f1801f1c80a0c82a0bf87d044c64b9cda"),
    ],
)
def test_a_width_argument_left_out_gives_the_weights_of_before_there_was_one(name, shape, digest):
    assert weights_digest(build(ModelSpec(name), 10, shape, seed=7)) == digest


def test_examples_in_docstrings():
    assert doctest.testmod(width).failed == 0
