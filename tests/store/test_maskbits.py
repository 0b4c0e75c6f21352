"""Masks as bits in a file: what is none."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pabench.errors import DataError
from pabench.store import maskbits

from ..forgery import packed


def test_a_mask_of_no_weights_and_an_endless_side_is_no_mask():
    data = packed({"w": np.ones((2, 2), bool)}, {})
    header = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + header].replace(b"[2, 2]", b"[0, 1" + b"0" * 30 + b"]").replace(b'"shape":[1]', b'"shape":[0]')
    text = text.replace(b'"data_offsets":[0,1]', b'"data_offsets":[0,0]')

    with pytest.raises(DataError, match="no mask file of pabench"):
        maskbits.read(len(text).to_bytes(8, "little") + text)


def test_a_mask_is_counted_without_being_unpacked():
    rng = np.random.default_rng(0)
    masks = {"a": rng.random((3, 5)) < 0.3, "b": rng.random((4, 2, 3, 3)) < 0.8, "c": np.zeros((0, 7), bool)}
    data = packed(masks, {"criterion": "snip"})

    layers, receipt = maskbits.counted(data)

    read, _ = maskbits.read(data)
    assert receipt == {"criterion": "snip"}
    for layer, (name, mask) in zip(layers, masks.items(), strict=True):
        assert layer == {"name": name, "shape": list(mask.shape), "total": mask.size, "kept": int(mask.sum())}
        assert (read[name] == mask).all()


def lying(data: bytes, old: bytes, new: bytes) -> bytes:
    """The file with another text in its header."""
    length = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + length].replace(old, new)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"[3, 3]", b"[1000000, 1000000]", "w: 2 bytes for 1000000000000 weights"),
        (b"[3, 3]", b"[2, 3]", "w: 2 bytes for 6 weights"),
        (b"[3, 3]", b"[5, 2]", ""),
        (b"[3, 3]", b"[-3, -3]", "is no shape"),
        (b"[3, 3]", b"[1,1,1,1,1,1,1,3,3]", "is no shape"),
        (b"[3, 3]", b"[" + b"[" * 40 + b"]" * 40 + b"]", "nested deeper"),
        (b'"data_offsets":[0,2]', b'"data_offsets":[0,1000000000000]', "no mask file"),
        (b'"data_offsets":[0,2]', b'"data_offsets":[2,0]', "no mask file"),
        (b'"dtype":"U8"', b'"dtype":"F64"', "no mask file"),
        (b'"dtype":"U8"', b'"dtype":"I8"', "2 bytes for 9 weights"),
    ],
)
def test_a_header_that_lies_is_told_by_what_it_says(old, new, message):
    data = lying(packed({"w": np.eye(3, dtype=bool)}, {}), old, new)

    if message:
        with pytest.raises(DataError, match=message):
            maskbits.counted(data)
    else:  # as many bits in another shape: the network, or the receipt, says which
        assert maskbits.counted(data)[0][0]["kept"] == 3


@pytest.mark.parametrize("length", [0, 7, 2**62, 5 * 2**20])
def test_a_header_of_another_length_than_it_says_is_no_mask(length):
    data = packed({"w": np.eye(3, dtype=bool)}, {})

    with pytest.raises(DataError, match="no mask file of pabench"):
        maskbits.counted(length.to_bytes(8, "little") + data[8:])


def test_bits_behind_the_last_weight_are_refused():
    data = packed({"w": np.eye(3, dtype=bool)}, {})

    with pytest.raises(DataError, match="bits behind the last weight"):
        maskbits.counted(data[:-1] + b"\xff")


@pytest.mark.parametrize(
    ("mask", "pattern", "parts"),
    [
        ([[1, 1, 0, 0, 0, 1, 1, 0]], "2:4", 0),
        ([[1, 1, 1, 0, 0, 1, 1, 1]], "2:4", 2),
        ([[1, 1, 0, 0, 1, 1, 1]], "2:4", 1),  # the last three of seven inputs
        ([[1, 1], [0, 0], [0, 1]], "channels", 1),
        ([[1, 1], [0, 0], [0, 1]], "", 0),
        ([[[1, 0]], [[1, 1]]], "1:2", 0),  # two outputs of one input and kernels of two places
    ],
)
def test_parts_of_a_mask_that_are_not_of_its_form_are_counted(mask, pattern, parts):
    assert maskbits.unformed(np.array(mask, bool), pattern) == parts


def test_the_hash_of_bits_depends_on_names_shapes_order_and_bits_and_on_nothing_else():
    """Of one layer it is that of '["a",[2,2]]' and of the byte 1001 0000."""
    mask = np.array([[True, False], [False, True]])
    assert maskbits.bits_digest({"a": mask}) == hashlib.sha256(b'["a",[2,2]]\x90').hexdigest()

    others = [{"b": mask}, {"a": mask.reshape(4)}, {"a": ~mask}, {"a": mask, "b": mask}, {"b": mask, "a": mask}]
    assert len({maskbits.bits_digest(one) for one in [{"a": mask}, *others]}) == 6
    assert maskbits.bits_digest({"a": np.asfortranarray(mask)}) == maskbits.bits_digest({"a": mask})
