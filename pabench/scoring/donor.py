"""Layer densities taken over from another criterion: `allocation: as:NAME`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pabench import registry
from pabench.errors import SuiteError
from pabench.networks.network import Tensors
from pabench.parameters import ParameterError, told
from pabench.scoring.allocation import AS
from pabench.scoring.control import Control
from pabench.scoring.criterion import Criterion, Precision
from pabench.source import file_digest, source_digest


def donor(rule: Criterion) -> Criterion | None:
    """The criterion whose layer densities a rule takes over, with its own defaults; None for one that takes none.

    ParameterError: there is no such criterion, or it takes its densities over as well.
    """
    allocation = getattr(rule, "allocation", "")
    if not allocation.startswith(AS):
        return None
    try:
        found = registry.criterion(allocation.removeprefix(AS))
        if isinstance(found, Control):
            raise SuiteError(f"{found.name} gives no masks; name a criterion that does")
        if getattr(found, "allocation", "").startswith(AS):
            raise SuiteError(f"{found.name} takes its layer densities over itself; name a criterion that does not")
    except SuiteError as error:
        raise ParameterError(rule.name, [("allocation", str(error))]) from None
    return found


def _identity(rule: Criterion) -> dict[str, Any]:
    """All parameters, version and both hashes of the code."""
    hashes = {"source": source_digest(type(rule)), "sha256": file_digest(type(rule))}
    return {"args": told(rule), "version": rule.version, **hashes}


def donor_identity(rule: Criterion) -> dict[str, Any]:
    """Name, all parameters, version and both hashes of the code of the donor of a rule; empty where it has none."""
    found = donor(rule)
    return {"name": found.name, **_identity(found)} if found else {}


def precision(rule: Criterion) -> Precision:
    """What a rule and its donor are scored in where nobody says: float32 where it does for both.

    Rounds add up what float32 moves: with more of them than its class has a criterion is scored in float64.
    """
    both = (rule, donor(rule) or rule)
    return "float32" if all(map(_does_with_float32, both)) else "float64"


def _does_with_float32(rule: Criterion) -> bool:
    return rule.precision == "float32" and getattr(rule, "steps", 1) <= getattr(type(rule), "steps", 1)


def nature(rule: Criterion) -> dict[str, Any]:
    """What a `CriterionSpec` says of a rule: identity, `donor`, and `trains`, `reference_line`, `precision` of both."""
    both = [found for found in (rule, donor(rule)) if found is not None]
    return {
        **_identity(rule),
        "trains": any(found.trains for found in both),
        "reference_line": next((found.reference_line for found in both if found.reference_line), ""),
        "precision": precision(rule),
        "donor": donor_identity(rule),
    }


def donor_layers(
    rule: Criterion, prune: Callable[[Criterion, float], Tensors]
) -> Callable[[str, float], Mapping[str, int]] | None:
    """For `Sources.layers`: how many weights of each layer the donor of `rule` keeps at a density, each asked for once.

    `prune(criterion, density)` gives the donor's masks, of the same dense network. None where the rule has no donor.
    """
    found = donor(rule)
    if found is None:
        return None

    @cache
    def layers(allocation: str, density: float) -> Mapping[str, int]:
        return {n: int(m.sum()) for n, m in prune(found, density).items()}

    return layers
