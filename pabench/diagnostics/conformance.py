"""Every check on a criterion, ours or a plugin's, and how much the masks of criteria have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from pabench import registry
from pabench.diagnostics.laws import LAWS
from pabench.diagnostics.laws.law import CheckOutcome, Law, inapplicable, judged
from pabench.diagnostics.metrics.overlap import Overlap
from pabench.diagnostics.specimens import CONVOLUTIONAL, PERCEPTRON, Specimen
from pabench.diagnostics.subject import Subject, in_few_rounds
from pabench.diagnostics.trace import restored
from pabench.errors import PabenchError, SuiteError, did_you_mean
from pabench.networks.network import Tensors
from pabench.scoring.control import Control
from pabench.scoring.criterion import Criterion
from pabench.scoring.pruning import SkippedError
from pabench.words import one_line

OPTIONAL_LAWS = ("homogeneous", "conservation")
SPARSITY = 0.9
NETWORKS = (CONVOLUTIONAL, PERCEPTRON)
"""Where overlaps are taken."""


@dataclass(frozen=True)
class Examination:
    """The outcome of every check by its name."""

    criterion: str
    outcomes: dict[str, CheckOutcome]

    @property
    def failed(self) -> list[str]:
        """Names of the checks that did not pass."""
        return [name for name, outcome in self.outcomes.items() if outcome.verdict == "FAIL"]


def names() -> list[str]:
    """All criteria that are installed, each followed by its variants. A control prunes nothing and is left out."""
    found: list[str] = []
    classes: dict[str, Any] = registry.group("criteria").classes
    for name, cls in sorted(classes.items()):
        if not issubclass(cls, Control):
            found += [name, *(f"{name}@{variant}" for variant in cls.variants)]
    return found


def examine(criterion: str | Criterion, *, reference: Path | None = None) -> Examination:
    """Run all checks on a criterion, by its name (`grasp`, `grasp@official`) or an instance of it.

    `reference` is a folder of official results with an `index.json`. SuiteError: no criterion of this name, or it
    declares a law or an exemption that there is not. Whatever else it raises is an outcome.
    """
    rule = registry.criterion(criterion) if isinstance(criterion, str) else criterion
    if isinstance(rule, Control):
        raise SuiteError(f"{rule.name} prunes nothing, it trains another network: there are no masks to check")
    _check_declared(rule, "laws", rule.laws, OPTIONAL_LAWS)
    _check_declared(rule, "exempt", rule.exempt, [law.name for law in LAWS])
    subject = Subject(criterion if isinstance(criterion, str) else rule.name, in_few_rounds(rule), reference)
    outcomes: dict[str, CheckOutcome] = {}
    for law in LAWS:
        outcomes[law.name] = _outcome(law, subject, outcomes)
    return Examination(subject.name, outcomes)


@dataclass(frozen=True)
class MaskOverlap:
    """Common weights of two masks over those that either keeps, and what chance gives at the same layer densities."""

    found: float | None
    chance: float | None


def overlaps(criteria: Sequence[str], specimen: Specimen) -> dict[tuple[str, str], MaskOverlap | None]:
    """Of every pair of criteria, in full rounds at 90 % sparsity on one network and one batch; None: one declined."""
    masks = {name: _masks(name, specimen) for name in criteria}
    return {(a, b): overlap(masks[a], masks[b]) for a, b in combinations(criteria, 2)}


def overlap(a: Tensors | None, b: Tensors | None) -> MaskOverlap | None:
    """Of two masks; None where one is not there."""
    if a is None or b is None:
        return None
    numbers = Overlap().measure(a, b)
    return MaskOverlap(numbers["jaccard"], numbers["chance_in_layers"])


def _outcome(law: Law, subject: Subject, before: dict[str, CheckOutcome]) -> CheckOutcome:
    if reason := subject.rule.exempt.get(law.name):
        return inapplicable(reason)
    if law.compares and before["determinism"].verdict == "FAIL":
        return inapplicable("two equal runs differ")
    try:
        with restored():  # what one check leaves behind is no burden to the next
            return law.check(subject)
    except SkippedError as error:
        return inapplicable(str(error))
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # a plugin that calls sys.exit has failed, and no more
        return judged(False, "", one_line(error) if isinstance(error, PabenchError) else registry.complaint(error))


def _check_declared(rule: Criterion, what: str, given: Iterable[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise SuiteError(f"{rule.name}: {what}: there is no {name!r}; {did_you_mean(name, known)}")


def _masks(name: str, specimen: Specimen) -> Tensors | None:
    try:
        with restored():
            return Subject(name, registry.criterion(name)).masks(specimen, 1 - SPARSITY)
    except PabenchError:
        return None
