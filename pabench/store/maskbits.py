"""Masks read from their file with numpy alone: what a verification counts, without torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from pabench.errors import DataError
from pabench.store.envelope import parse
from pabench.suite.digest import canonical

FORMAT = "pabench-masks-1"
MAX_HEADER_BYTES = 4 * 2**20
DIMENSIONS = 8
"""Of a layer's weights at most: three more than those of a 3-d convolution."""


def read(data: bytes) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    """(masks, receipt) from a file's bytes: bool arrays, True = kept, in the order they were packed in.

    DataError: no mask file, or one whose header and content differ. Nothing is allocated beyond 8 bytes a bit given.
    """
    packed, receipt = _packed(data)
    try:
        return {name: _unpacked(bits, shape) for name, (bits, shape) in packed.items()}, receipt
    except (ValueError, OverflowError) as error:  # [0, 10**30] is a shape of no weights, and of no array
        raise DataError(f"no mask file of pabench ({error})") from None


def counted(data: bytes) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(layers, receipt) as `read`, each layer by `name`, `shape`, `total` and `kept`; its bits stay packed."""
    packed, receipt = _packed(data)
    layers = [
        {"name": name, "shape": shape, "total": math.prod(shape), "kept": int.from_bytes(bits.tobytes()).bit_count()}
        for name, (bits, shape) in packed.items()
    ]
    return layers, receipt


def _packed(data: bytes) -> tuple[dict[str, tuple[np.ndarray[Any, Any], list[int]]], dict[str, Any]]:
    """By name the packed bits of each layer with its shape, which fit one another; and the receipt."""
    length = int.from_bytes(data[:8], "little")
    try:
        if length > MAX_HEADER_BYTES:
            raise DataError(f"a header of {length} bytes, more than {MAX_HEADER_BYTES}")
        # ours first: that of safetensors knows no such bounds
        header = parse(parse(data[8 : 8 + length])["__metadata__"]["pabench"].encode())
        bits = load(data)
        shapes, receipt = parse(header["shapes"].encode()), parse(header["receipt"].encode())
    except (SafetensorError, DataError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"no mask file of pabench ({error})") from None
    named = isinstance(shapes, dict) and isinstance(receipt, dict) and header.get("format") == FORMAT
    if not named or set(shapes) != set(bits):
        raise DataError("a mask file of another version of pabench, or one whose header and content differ")
    for name, shape in shapes.items():
        _fits(name, bits[name], shape)
    return {name: (bits[name].reshape(-1), shape) for name, shape in shapes.items()}, receipt


def _fits(name: str, bits: np.ndarray[Any, Any], shape: Any) -> None:
    """DataError: a layer of that shape has other bits."""
    sides = isinstance(shape, list) and len(shape) <= DIMENSIONS and all(type(n) is int and n >= 0 for n in shape)
    if not sides:
        raise DataError(f"{name}: {str(shape)[:80]} is no shape")
    size = math.prod(shape)
    if bits.dtype != np.uint8 or bits.size != (size + 7) // 8:
        raise DataError(f"{name}: {bits.size} bytes for {size} weights")
    if size % 8 and bits.reshape(-1)[-1] & 0xFF >> size % 8:
        raise DataError(f"{name}: bits behind the last weight")


def bits_digest(masks: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """SHA-256 of names, shapes and bits of masks in their order, whatever file they are in; 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for name, mask in masks.items():
        sha.update(canonical([name, list(mask.shape)]).encode())
        sha.update(np.packbits(mask.reshape(-1)).tobytes())
    return sha.hexdigest()


def unformed(mask: np.ndarray[Any, Any], pattern: str) -> int:
    """How many parts of a layer's mask are not of a pattern's form (`pabench.scoring.pattern`).

    `channels`: output channels that are kept in part; `n:m`: groups of m neighbouring inputs that keep more than n.

    >>> unformed(np.array([[1, 1, 0, 0, 1, 1, 1, 0]], bool), "2:4")
    1
    >>> unformed(np.array([[1, 1], [0, 1]], bool), "channels")
    1
    """
    if mask.ndim < 2 or not pattern:
        return 0
    if pattern == "channels":
        rows = mask.reshape(len(mask), -1)
        return int((rows.any(1) & ~rows.all(1)).sum())
    n, m = map(int, pattern.split(":"))
    moved = np.moveaxis(mask, 1, -1)
    padded = np.pad(moved, [(0, 0)] * (mask.ndim - 1) + [(0, -moved.shape[-1] % m)])
    return int((padded.reshape(-1, m).sum(1) > n).sum())


def _unpacked(bits: np.ndarray[Any, Any], shape: list[int]) -> np.ndarray[Any, Any]:
    return np.unpackbits(bits, count=math.prod(shape)).view(bool).reshape(shape)
