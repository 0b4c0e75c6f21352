"""Does it work on networks of every kind, and say so where it does not?"""

from __future__ import annotations

from functools import partial

import torch

from pabench.criterion import ScoreCriterion
from pabench.errors import PabenchError
from pabench.law import CheckOutcome, Law, asked, inapplicable, judged, kept
from pabench.pruning import SkippedError
from pabench.selection import Tensors
from pabench.specimen import BROKEN, CONVOLUTIONAL, LINEAR, PLAIN, RESIDUAL, TRANSFORMER, Specimen
from pabench.subject import Subject

DENSITY = 0.1


def network(specimen: Specimen, subject: Subject) -> CheckOutcome:
    """Finite scores, and masks of the exact count; a network it declines is none of its business."""
    scores, masks = subject.result(specimen), subject.masks(specimen, DENSITY)
    infinite, wrong = _not_finite(scores), kept(masks) - asked(masks, DENSITY)
    if infinite or wrong:
        return judged(False, f"{infinite} scores not finite, count off by {wrong}", "expected finite scores and N")
    if not isinstance(subject.rule, ScoreCriterion):
        return judged(True, "exact count", "")
    flat = torch.cat([s.flatten() for s in scores.values()])
    return judged(True, f"{int((flat == 0).sum()) / len(flat):.0%} of the scores are 0", "")


def single_class(subject: Subject) -> CheckOutcome:
    """All images are of one class: a mask of the exact count from finite scores, or an error in one line."""
    if not subject.rule.examples_per_class:
        return inapplicable("data-free")
    one = [(x, torch.zeros_like(y)) for x, y in subject.batches(CONVOLUTIONAL)]
    try:
        scores = subject.result(CONVOLUTIONAL, batches=one)
        masks = subject.masks(CONVOLUTIONAL, DENSITY, batches=one)
    except PabenchError as error:
        return _refused(error)
    infinite, exact = _not_finite(scores), kept(masks) == asked(masks, DENSITY)
    return judged(not infinite and exact, f"{infinite} scores not finite", "expected scores or an error")


def not_a_number(subject: Subject) -> CheckOutcome:
    """One weight of the network is not a number: an error in one line, or a mask that owes nothing to it."""
    try:
        scores, masks = subject.result(BROKEN), subject.masks(BROKEN, DENSITY)
    except PabenchError as error:
        return _refused(error)
    bad = sum(int(s.isnan().sum()) for s in scores.values())
    exact = kept(masks) == asked(masks, DENSITY)
    return judged(not bad and exact, f"{bad} scores are NaN", "a mask came of them; expected a PluginError")


def _refused(error: PabenchError) -> CheckOutcome:
    if isinstance(error, SkippedError):
        return judged(True, str(error), "")
    return judged("\n" not in str(error), "refused", "the error has more than one line")


def _not_finite(scores: Tensors) -> int:
    return sum(int((~s.isfinite()).sum()) for s in scores.values())


LAWS = (
    *(Law(s.name, partial(network, s)) for s in (PLAIN, CONVOLUTIONAL, RESIDUAL, TRANSFORMER, LINEAR)),
    Law("single class", single_class),
    Law("not a number", not_a_number),
)
