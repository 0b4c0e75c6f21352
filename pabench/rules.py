"""Level 2: what a study says of its criteria against what the criteria that come with pabench say of themselves.

Whether a criterion is ranked, what its label means and whether it needs a mask is decided by its class, and not by who
submits its numbers. Of a criterion whose file this pabench does not have, level 3 asks the class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from pabench.cell import CriterionSpec, digest
from pabench.foreign import STUDY, Flaw
from pabench.source import Declared, declared
from pabench.wellformed import Wellformed

LEVEL = 2
AS = "as:"
"""How `allocation` names the criterion whose layer densities are taken over (`pabench.allocation`)."""


def check(found: Wellformed) -> Iterator[Flaw]:
    """What a criterion of the study says and its class does not; a mask where there must be one."""
    rules = {digest(c.criterion.identity()): c.criterion for c in found.cells.values() if c.criterion}
    for rule in rules.values():
        yield from _taken_over(rule)
        known = declared().get(rule.name.partition("@")[0])
        if known is not None:
            yield from _declared(rule, known)
    yield from _masks(found)


def nature(expected: tuple[bool, str], rule: CriterionSpec, *, exact: bool) -> Iterator[tuple[str, str, str]]:
    """(field, expected, found) of `trains` and `reference_line`; not `exact`: its words may be of another version."""
    trains, line = expected
    if rule.trains != trains:
        yield "trains", f"{trains} (its class)", f"{rule.trains}"
    if bool(rule.reference_line) != bool(line) or (exact and rule.reference_line != line):
        yield "reference_line", f"{line!r} (its class)", f"{rule.reference_line!r}"


def _declared(rule: CriterionSpec, known: Declared) -> Iterator[Flaw]:
    giver = declared().get(str(rule.donor.get("name"))) if rule.donor else Declared("")
    exact = rule.source == known.source
    if giver is not None:
        facts = (known.trains or giver.trains, known.reference_line or giver.reference_line)
        for name, expected, there in nature(facts, rule, exact=exact and rule.donor.get("source", "") == giver.source):
            yield _flaw(rule, name, expected, there)
    variant = rule.name.partition("@")[2]
    if not exact or not variant:
        return
    if variant not in known.variants:
        names = ", ".join(known.variants) or "none"
        yield _flaw(rule, "name", f"a variant that the criterion has ({names})", variant)
    for key, value in known.variants.get(variant, {}).items():
        if key not in rule.given and rule.args.get(key) != value:
            yield _flaw(rule, f"args.{key}", f"{value} (the variant's)", f"{rule.args.get(key)}")


def _taken_over(rule: CriterionSpec) -> Iterator[Flaw]:
    """`allocation: as:NAME` and the donor that the key is made of."""
    allocation = rule.args.get("allocation", "")
    named = allocation.removeprefix(AS) if isinstance(allocation, str) and allocation.startswith(AS) else ""
    giver = rule.donor.get("name", "")
    if not isinstance(giver, str) or named.partition("@")[0] != giver:
        yield _flaw(rule, "donor", f"{named or 'none'}, by its allocation", str(giver or "none"))


def _masks(found: Wellformed) -> Iterator[Flaw]:
    """Only a control trains another network, and then in all cells of its row: whatever prunes shows its mask."""
    rows: dict[str, dict[bool, str]] = defaultdict(dict)
    for key, record in found.records.items():
        cell, receipt = found.cells[key], record["receipt"]
        if record["status"] != "ok" or cell.criterion is None or receipt is None:
            continue
        instead, path = "model" in receipt, f"records/{key}.json"
        known = declared().get(cell.criterion.name.partition("@")[0])
        if known is not None and known.control != instead:
            there = "another network, trained in its place" if instead else "a mask"
            expected = "another network, it is a control" if known.control else "a mask, it is no control"
            yield Flaw(LEVEL, path, expected, there, "receipt.model", cell.title)
        if instead and receipt.get("mask"):
            yield Flaw(LEVEL, path, "no mask beside another network", "both", "receipt.mask", cell.title)
        rows[digest(cell.criterion.identity())].setdefault(instead, key)
    for kinds in rows.values():
        if len(kinds) > 1:
            title, path = found.title(kinds[True]), f"records/{kinds[True]}.json"
            expected = f"a mask, as {found.title(kinds[False])} has one"
            yield Flaw(LEVEL, path, expected, "another network, trained in its place", "receipt.model", title)


def replaced(result: Mapping[str, Any], receipt: Mapping[str, Any], asked: int) -> Iterator[tuple[str, Any, Any]]:
    """(field, expected, found) of a cell that trained another network, where `asked` weights would have been kept."""
    left = result["parameters"]["dense"] - receipt["total"] + asked
    if receipt.get("left") != left:
        yield "receipt.left", f"{left:.0f}, what is left of the network when pruned", receipt.get("left")
    if result["parameters"]["pruned"] != receipt.get("parameters_instead"):
        yield "result.parameters.pruned", receipt.get("parameters_instead"), result["parameters"]["pruned"]
    for name, value, most in (
        ("parameters", result["parameters"]["pruned"], left),
        ("flops", result["flops"]["pruned"], result["flops"]["dense"]),
    ):
        if not 0 < value <= most:
            yield f"result.{name}.pruned", f"more than 0 and at most {most:.0f}", value


def _flaw(rule: CriterionSpec, field: str, expected: str, there: str) -> Flaw:
    return Flaw(LEVEL, STUDY, expected, there, f"criteria.{rule.label}.{field}")
