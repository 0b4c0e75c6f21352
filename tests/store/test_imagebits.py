"""A bit a test image: there and back, and nothing else is taken for it."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from pabench.errors import DataError
from pabench.store import imagebits
from pabench.store.imagebits import packed, unpacked


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(imagebits).failed == 0


@pytest.mark.parametrize("images", [1, 7, 8, 9, 360, 2_000, 10_000])
def test_bits_come_back_in_their_order_and_take_four_letters_for_24_images(images):
    right = np.random.default_rng(images).random(images) < 0.7

    text = packed(right)

    assert unpacked(text, images).tolist() == right.tolist()
    assert len(text) == 4 * -(-images // 24)


@pytest.mark.parametrize(
    ("text", "images", "why"),
    [
        ("gYA=", 17, "2 bytes, not the 3 of 17 images"),
        ("gYA=", 8, "2 bytes, not the 1 of 8 images"),
        ("gYE=", 9, "bits are set beyond the 9 images"),
        ("gY A=", 9, "no bits in base64"),
        ("gYA", 9, "no bits in base64"),
    ],
)
def test_text_that_is_not_of_so_many_images_is_refused(text, images, why):
    with pytest.raises(DataError, match=why):
        unpacked(text, images)
