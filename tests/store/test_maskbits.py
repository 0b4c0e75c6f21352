"""Masks as bits in a file: what is none."""

from __future__ import annotations

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
