"""Does it agree with itself in another precision, and with the code of its authors?"""

from __future__ import annotations

import torch

from pabench.diagnostics import oracle
from pabench.diagnostics.laws.law import CheckOutcome, Law, inapplicable, information, judged, relative_error, worst
from pabench.diagnostics.metrics.overlap import Overlap
from pabench.diagnostics.specimens import CONVOLUTIONAL
from pabench.diagnostics.subject import Subject

ERROR = 1e-6
"""Official code runs in float64, too, and differs in the order of its sums: by 1e-15 where it computes the same."""


def precision(subject: Subject) -> CheckOutcome:
    """Float32 against float64: the error of the scores, and the overlap of the masks at 90 % sparsity."""
    single, double = (subject.result(CONVOLUTIONAL, dtype=t) for t in (torch.float32, torch.float64))
    masks = (subject.masks(CONVOLUTIONAL, 0.1, dtype=t) for t in (torch.float32, torch.float64))
    error = relative_error(single, double)
    return information(f"float32: error {error:.0e}, masks overlap {Overlap().measure(*masks)['jaccard']:.3f}")


def reference(subject: Subject) -> CheckOutcome:
    """Scores and masks of official code on fixed networks, up to its scale, its sign and its count."""
    if subject.reference is None:
        return inapplicable("no folder of reference results given")
    results = oracle.index(subject.reference, subject.name)
    if not results:
        return inapplicable("no official result of this name")
    errors, misplaced = zip(*(oracle.distance(subject.reference, result) for result in results), strict=True)
    error, misplaced = worst(errors), sum(misplaced)
    figure = f"error {error:.0e} over {len(results)} files, {misplaced} weights misplaced"
    return judged(error < ERROR and not misplaced, figure, "it is not what the official code computes")


LAWS = (Law(precision, compares=True), Law(reference))
