"""Permutations that change the order and nothing else: of masks within layers, of labels, of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pabench.scoring.apply import as_mask
from pabench.scoring.arguments import refuse_no_masks, refuse_seed
from pabench.scoring.context import Batch, permuted
from pabench.scoring.masks import Masks


def shuffle(masks: Mapping[str, Tensor], *, seed: int) -> Masks:
    """The masks permuted within each layer: as many ones in each, elsewhere (Frankle et al. 2021, arXiv:2009.08576).

    What of a criterion is left when only its layer densities are. `masks` are tensors by parameter name, bool or
    numbers that are all 0 or 1 (else SuiteError); the result depends on them and on `seed` alone. Its receipt is that
    of `masks`, and under "shuffle" what became of them:

    `layers_mixed`: layers that are neither full nor empty, the only ones that can change; `layers_changed`;
    `overlap`: intersection over union of the kept weights before and after; `overlap_by_chance`: its usual value.
    """
    refuse_no_masks(masks)
    refuse_seed(seed)
    generator = torch.Generator().manual_seed(int(seed) % 2**63)
    before = {name: as_mask(name, mask) for name, mask in masks.items()}
    found = {name: permuted(mask, generator) for name, mask in before.items()}
    report = _compared(before, found)
    flags = list(getattr(masks, "flags", []))
    if not report["layers_changed"]:
        flags.append({"flag": "unchanged", "detail": "shuffling within layers changed no layer's mask"})
    return Masks(found, {**getattr(masks, "receipt", {}), "shuffle": report}, flags)


def _compared(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, Any]:
    kept = sum(int(m.sum()) for m in before.values())
    both = sum(int((m & after[n]).sum()) for n, m in before.items())
    chance = sum(int(m.sum()) ** 2 / m.numel() for m in before.values() if m.numel())
    return {
        "layers_mixed": sum(0 < int(m.sum()) < m.numel() for m in before.values()),
        "layers_changed": sum(not torch.equal(m, after[n]) for n, m in before.items()),
        "overlap": both / max(1, 2 * kept - both),
        "overlap_by_chance": chance / max(1.0, 2 * kept - chance),
    }


def scrambled(batches: Sequence[Batch], ablation: str, seed: int) -> list[Batch]:
    """Scoring batches under the ablation `random_labels` or `shuffled_pixels`; batches of equal size: the same draw."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    return [_SCRAMBLES[ablation](x, y, generator) for x, y in batches]


def _labels(x: Tensor, y: Tensor, generator: torch.Generator) -> Batch:
    """The labels in another order: as many of each class. The numbers of a target stay together."""
    return x, permuted(y, generator) if y.dim() == 1 else y[torch.randperm(len(y), generator=generator).to(y.device)]


def _pixels(x: Tensor, y: Tensor, generator: torch.Generator) -> Batch:
    """The positions of each image (N, C, H, W) permuted, one permutation an image, the same for its channels."""
    moved = torch.empty_like(x, memory_format=torch.contiguous_format)
    for before, after in zip(x.flatten(2), moved.flatten(2), strict=True):  # one by one: an order is 8 bytes a pixel
        after.copy_(before[:, torch.randperm(before.shape[1], generator=generator).to(x.device)])
    return moved, y


_SCRAMBLES = {"random_labels": _labels, "shuffled_pixels": _pixels}
