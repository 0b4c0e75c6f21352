"""Which test images a network got right, as text of a record: a bit an image, eight a byte, the bytes in base64."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np

from pabench.errors import DataError


def packed(right: np.ndarray[Any, Any]) -> str:
    """The text of bits (N,), the first image in the highest bit of the first byte.

    >>> packed(np.array([True, False, False, False, False, False, False, True, True]))  # 0b10000001, 0b10000000
    'gYA='
    """
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def unpacked(text: str, images: int) -> np.ndarray[Any, Any]:
    """The bits of so many images; DataError where the text is not what `packed` gives for that many.

    >>> unpacked("gYA=", 9).nonzero()[0].tolist()
    [0, 7, 8]
    """
    try:
        data = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"no bits in base64 ({error})") from None
    if len(data) != -(-images // 8):
        raise DataError(f"{len(data)} bytes, not the {-(-images // 8)} of {images} images")
    bits = np.unpackbits(data).astype(bool)
    if bits[images:].any():
        raise DataError(f"bits are set beyond the {images} images")
    return bits[:images]
