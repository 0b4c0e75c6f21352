"""What `precision: auto` means on a machine, and how a record names what was computed in."""

from __future__ import annotations

import pytest
import torch

from pabench.training import precision
from pabench.training.precision import automatic, slow, told

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("features", "pixels", "expected"),
    [
        ({"amx_bf16": True}, 32, "bfloat16"),
        ({"amx_bf16": True, "avx512_f": True}, 224, "bfloat16"),
        ({"amx_bf16": True}, 8, "float32"),  # the digits: nothing was measured there
        ({"amx_bf16": False, "avx512_f": True, "cpu_name": "amx_bf16"}, 32, "float32"),
        ({}, 32, "float32"),
    ],
)
def test_a_cpu_trains_in_bfloat16_where_it_has_products_for_it(monkeypatch, features, pixels, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)

    assert automatic(CPU, pixels) == expected


def test_a_torch_that_cannot_say_what_a_cpu_has_means_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)

    assert automatic(CPU, 224) == "float32"


@pytest.mark.parametrize(
    ("native", "pixels", "expected"), [(True, 224, "bfloat16"), (True, 32, "float32"), (False, 224, "float32")]
)
def test_a_card_trains_large_images_in_bfloat16_unless_it_would_emulate_it(monkeypatch, native, pixels, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)

    assert automatic(CUDA, pixels) == expected


@pytest.mark.parametrize(
    ("features", "told_of"),
    [
        ({"avx512_bf16": False, "amx_bf16": False}, True),
        ({"avx512_bf16": True, "amx_bf16": False}, False),
        ({"avx512_bf16": False, "amx_bf16": True}, False),
        ({"sve": True}, False),  # another kind of processor: unknown
        ({}, False),
    ],
)
def test_a_cpu_that_emulates_bfloat16_is_told_of(monkeypatch, features, told_of):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features, raising=False)

    assert bool(slow("bfloat16", CPU)) is told_of
    assert slow("float32", CPU) == ""


@pytest.mark.parametrize("native", [True, False])
def test_a_card_that_emulates_bfloat16_is_told_of(monkeypatch, native):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert bool(slow("bfloat16", CUDA)) is not native
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # the login node of a cluster
    assert slow("bfloat16", CUDA) == ""


@pytest.mark.parametrize(
    ("capability", "allowed", "name"),
    [((9, 0), True, "float32, TF32 in convolutions"), ((9, 0), False, "float32"), ((7, 5), True, "float32")],
)
def test_a_record_says_where_float32_is_not_quite_float32(monkeypatch, capability, allowed, name):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(precision.torch.backends.cudnn, "allow_tf32", allowed)

    assert told("float32", CUDA) == name
    assert told("bfloat16", CUDA) == "bfloat16"
    assert told("float32", CPU) == "float32"


def test_every_row_of_the_table_says_how_it_is_known():
    """A factor by network for what was timed; nothing for what was counted only."""
    assert all(("ResNet-20" in row.times) is (row.device == "cpu") for row in precision.TABLE)
