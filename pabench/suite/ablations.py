"""Ablations: what each changes of a cell, all else being equal (Frankle et al. 2021, arXiv:2009.08576).

Standard library only. Their parent is the plain cell of the same block, criterion and sparsity; what is drawn at random
derives from the block, so that all criteria of a block get the same draw.
"""

from __future__ import annotations

ABLATIONS = {
    "shuffle": "the mask is permuted within each layer: the layer densities stay, the choice of weights goes",
    "reinit": "the mask stays, and the weights are drawn again from their distribution",
    "invert": "the lowest scores are kept instead of the highest, in every round",
    "random_labels": "scored with the labels of the scoring batch permuted; the training is as it was",
    "shuffled_pixels": "scored with the pixels of each scoring image permuted; the training is as it was",
}
IN_BATCH = ("random_labels", "shuffled_pixels")
"""Those that change the scoring batch, and mean nothing to a criterion without one."""
INAPPLICABLE = "inapplicable"
"""The kind of a skipped cell whose ablation means nothing to its criterion: nothing has gone wrong."""
_CHANGED = {"reinit": "weights", "random_labels": "scoring_batch", "shuffled_pixels": "scoring_batch"}


def alike(ablation: str, part: str) -> str:
    """Cells of a block for which this is equal must share a part of the pairing (weights, order, ...).

    >>> alike("reinit", "weights"), alike("reinit", "order"), alike("", "weights")
    ('reinit', '', '')
    """
    return ablation if _CHANGED.get(ablation) == part else ""
