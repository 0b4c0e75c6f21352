"""Does it agree with itself in another precision, and with the code of its authors?"""

from __future__ import annotations

import torch

from pabench import oracle
from pabench.law import Law, Outcome, inapplicable, information, jaccard, judged, relative_error
from pabench.specimen import CONVOLUTIONAL
from pabench.subject import Subject


def precision(subject: Subject) -> Outcome:
    """Float32 against float64: the error of the scores, and the overlap of the masks at 90 % sparsity."""
    single, double = (subject.result(CONVOLUTIONAL, dtype=t) for t in (torch.float32, torch.float64))
    masks = [subject.masks(CONVOLUTIONAL, 0.1, dtype=t) for t in (torch.float32, torch.float64)]
    error = relative_error({n: s.double() for n, s in single.items()}, {n: s.double() for n, s in double.items()})
    return information(f"float32: error {error:.0e}, masks overlap {jaccard(*masks):.3f}")


def reference(subject: Subject) -> Outcome:
    """Scores and masks of official code on fixed networks, up to its scale, its sign and its count."""
    if subject.reference is None:
        return inapplicable("no folder of reference results given")
    entries = oracle.entries(subject.reference, subject.name)
    compared = [oracle.distance(subject.reference, entry) for entry in entries]
    if not compared:
        return inapplicable("no official result of this name")
    error, misplaced = max(c.error for c in compared), sum(c.misplaced for c in compared)
    figure = f"error {error:.0e} over {len(compared)} files, {misplaced} weights misplaced"
    return judged(error < 1e-6 and not misplaced, figure, "it is not what the official code computes")


LAWS = (
    Law("precision", precision, compares=True),
    Law("reference", reference),
)
