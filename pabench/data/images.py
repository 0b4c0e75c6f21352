"""One picture: a file or its bytes, decoded and brought to size."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from pabench.errors import DataError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def load(source: str | bytes, where: str, mode: str = "") -> Image.Image:
    """A decoded picture from a path or from bytes; `where` names it in errors.

    `mode` is RGB or L; empty: L (grey) if it is stored as such, else RGB.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return image.convert(mode or ("L" if image.mode in ("1", "L") else "RGB"))
    except OSError as error:
        raise DataError(f"{where}: cannot be read as a picture ({error}); expected JPEG, PNG, ...") from None


def centre(image: Image.Image, resize: int, size: int) -> Image.Image:
    """The central `size` pixels square after bringing the shorter side to `resize` (bilinear)."""
    width, height = image.size
    scale = resize / min(width, height)
    width, height = max(size, round(width * scale)), max(size, round(height * scale))
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


def to_array(image: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pixels uint8 (C, H, W)."""
    pixels = np.array(image, dtype=np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) if pixels.ndim == 3 else pixels[None]


def stack(pictures: Iterable[tuple[str, str | bytes]], *, count: int, mode: str, size: int) -> np.ndarray[Any, Any]:
    """`count` pictures, (where, path or bytes) each, as uint8 (N, C, H, W); size 0: as they are, all of one size."""
    stacked: np.ndarray[Any, Any] | None = None
    for i, (where, source) in enumerate(pictures):
        image = load(source, where, mode)
        pixels = to_array(centre(image, size, size) if size else image)
        if stacked is None:
            stacked = np.empty((count, *pixels.shape), dtype=np.uint8)
        if pixels.shape != stacked.shape[1:]:
            shapes = f"shape {pixels.shape}, the first one is {stacked.shape[1:]}"
            raise DataError(f"{where}: {shapes}; give `size` to bring all to one size")
        stacked[i] = pixels
    if stacked is None:
        raise DataError("no pictures in the split")
    return stacked
