"""Masks by parameter name: as a dict with a receipt, and as a file. On live networks: `pabench.scoring.apply`.

A file is safetensors: eight weights a byte, with their shapes and their receipt in the header. A ResNet-18's masks take
1.4 MB instead of 11.2. No pickle is written or read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor, nn

from pabench.errors import DataError
from pabench.scoring import export
from pabench.scoring.apply import as_mask
from pabench.store import maskbits
from pabench.store.verdict import called
from pabench.suite.digest import canonical

M = TypeVar("M", bound=nn.Module)


class Masks(dict[str, Tensor]):
    """bool tensors by parameter name, True = kept, with the `receipt` and the `flags` of how they came about.

    SuiteError where one is neither bool nor of numbers that are all 0 or 1, as scores are.

    >>> Masks({"fc.weight": torch.tensor([True, False, False, False])}, {"criterion": "snip"}, [])
    Masks(snip: sparsity 0.75, 1 of 4 weights kept)
    """

    def __init__(self, masks: Mapping[str, Tensor], receipt: Mapping[str, Any], flags: list[dict[str, str]]) -> None:
        super().__init__({name: as_mask(name, mask) for name, mask in masks.items()})
        self.receipt = dict(receipt)
        self.flags = flags

    @property
    def sparsity(self) -> float:
        """The fraction of the weights that is removed, counted; 0 where there are none."""
        return 1 - self._kept / self._total if self._total else 0.0

    def __repr__(self) -> str:
        """One line; the tensors themselves fill screens."""
        criterion = f"{self.receipt['criterion']}: " if "criterion" in self.receipt else ""
        names = dict.fromkeys(called(flag["flag"]) for flag in self.flags)
        flags = "".join(f"; {name}" for name in names)
        kept = f"{self._kept:,} of {self._total:,} weights kept"
        return f"Masks({criterion}sparsity {self.sparsity:.6g}, {kept}{flags})"

    @property
    def _kept(self) -> int:
        return sum(int(m.sum()) for m in self.values())

    @property
    def _total(self) -> int:
        return sum(m.numel() for m in self.values())

    def save(self, path: str | Path) -> None:
        """Write them as safetensors, eight weights a byte, with receipt and flags; no pickle."""
        Path(path).write_bytes(pack(self, {**self.receipt, "flags": self.flags}))

    def torch_prune(self, model: M) -> M:
        """As `torch.nn.utils.prune` has them: `pabench.scoring.export.torch_prune`."""
        return export.torch_prune(model, self)

    def state_dict(self, model: nn.Module) -> dict[str, Any]:
        """The weights of the model under them, plain: `pabench.scoring.export.state_dict`."""
        return export.state_dict(model, self)

    def two_of_four(self) -> list[str]:
        """Names of those that 2:4 kernels can hold: `pabench.scoring.export.two_of_four`."""
        return export.two_of_four(self)

    @classmethod
    def load(cls, path: str | Path) -> Masks:
        """Masks on the CPU; DataError where the file is no mask file."""
        try:
            masks, receipt = unpack(Path(path).read_bytes())
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        return cls(masks, receipt, receipt.pop("flags", []))


def pack(masks: Mapping[str, Tensor], receipt: Mapping[str, Any]) -> bytes:
    """One file's bytes; equal masks and receipts give equal bytes."""
    bits = {n: np.packbits(m.cpu().numpy().astype(bool).reshape(-1)) for n, m in masks.items()}
    shapes = {n: list(m.shape) for n, m in masks.items()}
    header = {"format": maskbits.FORMAT, "shapes": json.dumps(shapes), "receipt": canonical(dict(receipt))}
    return save(bits, {"pabench": canonical(header)})


def unpack(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(masks, receipt) from a file's bytes, in the order they were packed in."""
    masks, receipt = maskbits.read(data)
    return {name: torch.from_numpy(mask) for name, mask in masks.items()}, receipt
