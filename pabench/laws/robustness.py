"""Does it work on networks of every kind, and say so where it does not?"""

from __future__ import annotations

from functools import partial

import torch

from pabench.errors import PabenchError
from pabench.law import Law, Outcome, inapplicable, judged
from pabench.pruning import SkippedError
from pabench.selection import Tensors, kept_count
from pabench.specimen import BROKEN, CONVOLUTIONAL, LINEAR, PLAIN, RESIDUAL, TRANSFORMER, Specimen
from pabench.subject import Subject


def network(specimen: Specimen, subject: Subject) -> Outcome:
    """Finite scores, and masks of the exact count; a network it declines is none of its business."""
    scores = subject.result(specimen)
    infinite = sum(int((~s.isfinite()).sum()) for s in scores.values())
    zero = sum(int((s == 0).sum()) for s in scores.values()) / sum(s.numel() for s in scores.values())
    wrong = _miscount(subject.masks(specimen, 0.1))
    if infinite or wrong:
        return judged(False, f"{infinite} scores not finite, count off by {wrong}", "expected finite scores and N")
    return judged(True, f"{zero:.0%} of the scores are 0" if subject.scores_weights else "exact count", "")


def single_class(subject: Subject) -> Outcome:
    """All images are of one class: a mask of the exact count from finite scores, or an error in one line."""
    if not subject.rule.examples_per_class:
        return inapplicable("data-free")
    one = [(x, torch.zeros_like(y)) for x, y in subject.batches(CONVOLUTIONAL)]
    try:
        scores, masks = (subject.result(CONVOLUTIONAL, batches=one), subject.masks(CONVOLUTIONAL, 0.1, batches=one))
    except PabenchError as error:
        return _refused(error)
    infinite = sum(int((~s.isfinite()).sum()) for s in scores.values())
    return judged(not infinite and not _miscount(masks), f"{infinite} scores not finite", "expected scores or an error")


def not_a_number(subject: Subject) -> Outcome:
    """One weight of the network is not a number: an error in one line, or a mask that owes nothing to it."""
    try:
        scores, masks = subject.result(BROKEN), subject.masks(BROKEN, 0.1)
    except PabenchError as error:
        return _refused(error)
    bad = sum(int(s.isnan().sum()) for s in scores.values())
    wrong = _miscount(masks)
    return judged(not bad and not wrong, f"{bad} scores are NaN", "a mask came of them; expected a PluginError")


def _refused(error: PabenchError) -> Outcome:
    if isinstance(error, SkippedError):
        return judged(True, str(error), "")
    return judged("\n" not in str(error), "refused", "the error has more than one line")


def _miscount(masks: Tensors) -> int:
    kept = sum(int(m.sum()) for m in masks.values())
    return kept - kept_count(0.1, sum(m.numel() for m in masks.values()))


LAWS = (
    *(Law(s.name, partial(network, s)) for s in (PLAIN, CONVOLUTIONAL, RESIDUAL, TRANSFORMER, LINEAR)),
    Law("single class", single_class),
    Law("not a number", not_a_number),
)
