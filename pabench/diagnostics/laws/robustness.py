"""Does it work on networks of every kind, and say so where it does not?"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from pabench.diagnostics.laws.law import CheckOutcome, Law, asked, flat, inapplicable, judged, kept
from pabench.diagnostics.specimens import BROKEN, CONVOLUTIONAL, LINEAR, PLAIN, RESIDUAL, TRANSFORMER, Specimen
from pabench.diagnostics.subject import Subject
from pabench.errors import PabenchError
from pabench.scoring.criterion import ScoreCriterion
from pabench.scoring.pruning import SkippedError

DENSITY = 0.1


def network(specimen: Specimen, subject: Subject) -> CheckOutcome:
    """Finite scores, and masks of the exact count; a network it declines is none of its business."""
    scores, excess = _pruned(subject, specimen)
    infinite = int((~scores.isfinite()).sum())
    if infinite or excess:
        return judged(False, f"{infinite} scores not finite, count off by {excess}", "expected finite scores and N")
    if not isinstance(subject.rule, ScoreCriterion):
        return judged(True, "exact count", "")
    return judged(True, f"{int((scores == 0).sum()) / len(scores):.0%} of the scores are 0", "")


def single_class(subject: Subject) -> CheckOutcome:
    """All images are of one class: a mask of the exact count from finite scores, or an error in one line."""
    if not subject.rule.examples_per_class:
        return inapplicable("data-free")
    one = [(x, torch.zeros_like(y)) for x, y in subject.batches(CONVOLUTIONAL)]
    try:
        scores, excess = _pruned(subject, CONVOLUTIONAL, batches=one)
    except PabenchError as error:
        return _refused(error)
    infinite = int((~scores.isfinite()).sum())
    return judged(not infinite and not excess, f"{infinite} scores not finite", "expected scores or an error")


def not_a_number(subject: Subject) -> CheckOutcome:
    """One weight of the network is not a number: an error in one line, or a mask that owes nothing to it."""
    try:
        scores, excess = _pruned(subject, BROKEN)
    except PabenchError as error:
        return _refused(error)
    bad = int(scores.isnan().sum())
    return judged(not bad and not excess, f"{bad} scores are NaN", "a mask came of them; expected a PluginError")


def _pruned(subject: Subject, specimen: Specimen, **changes: Any) -> tuple[Tensor, int]:
    """All scores in a row (masks, of a criterion that gives no scores), and how many weights too many it keeps."""
    scores, masks = subject.result(specimen, **changes), subject.masks(specimen, DENSITY, **changes)
    return flat(scores), kept(masks) - asked(masks, DENSITY)


def _refused(error: PabenchError) -> CheckOutcome:
    if isinstance(error, SkippedError):
        return judged(True, str(error), "")
    return judged("\n" not in str(error), "refused", "the error has more than one line")


LAWS = (
    *(Law(partial(network, s), called=s.name) for s in (PLAIN, CONVOLUTIONAL, RESIDUAL, TRANSFORMER, LINEAR)),
    Law(single_class),
    Law(not_a_number),
)
