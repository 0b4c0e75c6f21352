"""Data of our own: a place for them that is thrown away, and pictures of one value."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from PIL import Image

from pabench.data.dataset import Dataset
from pabench.data.split import Images


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PABENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PABENCH_DATA", str(tmp_path / "data"))


def png(value: int, side: int = 4, mode: str = "RGB") -> bytes:
    """A picture of one value, encoded without loss."""
    encoded = io.BytesIO()
    Image.new(mode, (side, side), (value,) * 3 if mode == "RGB" else value).save(encoded, "PNG")
    return encoded.getvalue()


def values(dataset: Dataset, part: str) -> list[int]:
    return getattr(dataset, part)().pixels[:, 0, 0, 0].tolist()


def numbered(n: int, classes: int = 2) -> Images:
    """Image i has 4 x 4 pixels of value i and label i mod classes."""
    pixels = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 1, 4, 4).contiguous()
    return Images(pixels, torch.arange(n) % classes)
