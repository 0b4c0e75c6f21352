"""Every check on a criterion, ours or a plugin's, and how much the masks of criteria have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pabench import registry
from pabench.control import Control
from pabench.criterion import Criterion
from pabench.errors import PabenchError, SuiteError, did_you_mean
from pabench.law import Law, Outcome, inapplicable, jaccard, judged
from pabench.laws import LAWS
from pabench.pruning import SkippedError
from pabench.selection import Tensors
from pabench.specimen import CONVOLUTIONAL, PERCEPTRON, Specimen
from pabench.subject import Subject
from pabench.trace import restored

OPTIONAL_LAWS = ("homogeneous", "conservation")
SPARSITY = 0.9
NETWORKS = (CONVOLUTIONAL, PERCEPTRON)
"""Where overlaps are taken."""


@dataclass(frozen=True)
class Examination:
    """The outcome of every check by its name."""

    criterion: str
    outcomes: dict[str, Outcome]

    @property
    def failed(self) -> list[str]:
        """Names of the checks that did not pass."""
        return [name for name, outcome in self.outcomes.items() if outcome.verdict == "FAIL"]


def names() -> list[str]:
    """All criteria that are installed, each followed by its variants. A control prunes nothing and is left out."""
    found = registry.group("criteria").classes
    classes = {name: cls for name, cls in found.items() if not issubclass(cls, Control)}
    return [full for name in sorted(classes) for full in (name, *(f"{name}@{v}" for v in classes[name].variants))]  # type: ignore[attr-defined]


def examine(criterion: str | Criterion, *, reference: Path | None = None) -> Examination:
    """Run all checks on a criterion, by its name (`grasp`, `grasp@official`) or an instance of it.

    `reference` is a folder of official results with an `index.json`. SuiteError: no criterion of this name, or it
    declares a law or an exemption that there is not. Whatever else it raises is an outcome.
    """
    rule = registry.criterion(criterion) if isinstance(criterion, str) else criterion
    if isinstance(rule, Control):
        raise SuiteError(f"{rule.name} prunes nothing, it trains another network: there are no masks to check")
    subject = Subject(criterion if isinstance(criterion, str) else rule.name, rule, reference)
    _declared(rule)
    outcomes: dict[str, Outcome] = {}
    for law in LAWS:
        outcomes[law.name] = _outcome(law, subject, outcomes)
    return Examination(subject.name, outcomes)


@dataclass(frozen=True)
class Overlap:
    """Common weights of two masks over those that either keeps, and what chance gives at the same layer densities."""

    found: float
    chance: float


def overlaps(criteria: Sequence[str], specimen: Specimen) -> dict[tuple[str, str], Overlap | None]:
    """Of every pair of criteria, in full rounds at 90 % sparsity on one network and one batch; None: one declined."""
    masks = {name: _masks(name, specimen) for name in criteria}
    return {(a, b): _overlap(masks[a], masks[b]) for i, a in enumerate(criteria) for b in criteria[i + 1 :]}


def chance(a: Tensors, b: Tensors) -> float:
    """Jaccard index to expect of two masks that keep as many weights of each layer, at random within it.

    The expected intersection over the expected union.
    """
    kept = [(int(a[n].sum()), int(b[n].sum()), a[n].numel()) for n in a]
    both = sum(i * j / total for i, j, total in kept)
    return both / (sum(i + j for i, j, _ in kept) - both)


def _outcome(law: Law, subject: Subject, before: dict[str, Outcome]) -> Outcome:
    if reason := subject.rule.exempt.get(law.name):
        return inapplicable(reason)
    if law.compares and before["determinism"].verdict == "FAIL":
        return inapplicable("two equal runs differ")
    try:
        with restored():
            return law.check(subject)
    except SkippedError as error:
        return inapplicable(str(error))
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:
        text = str(error).partition("\n")[0]
        return judged(False, "", text if isinstance(error, PabenchError) else f"{type(error).__name__}: {text}")


def _declared(rule: Criterion) -> None:
    for kind, given, known in (
        ("laws", rule.laws, OPTIONAL_LAWS),
        ("exempt", rule.exempt, [law.name for law in LAWS]),
    ):
        for name in given:
            if name not in known:
                raise SuiteError(f"{rule.name}: {kind}: there is no {name!r}; {did_you_mean(name, known)}")


def _masks(name: str, specimen: Specimen) -> Tensors | None:
    rule = registry.criterion(name)
    try:
        with restored():
            return Subject(name, rule).masks(specimen, 1 - SPARSITY, rule=rule)
    except PabenchError:
        return None


def _overlap(a: Tensors | None, b: Tensors | None) -> Overlap | None:
    return Overlap(jaccard(a, b), chance(a, b)) if a and b else None
