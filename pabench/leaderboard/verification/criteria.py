"""What a submission says of its criteria and of their scores, against what the criteria say of themselves.

Whether a criterion is ranked, what its label means and whether it needs a mask is decided by its class, and not by who
submits its numbers. Level 2 reads it from the files of the criteria that come with pabench; of all others, and of
scores, level 3 asks the class itself, which is imported and run for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from pabench.leaderboard.verification.folder import STUDY, Flaw
from pabench.leaderboard.verification.wellformed import Wellformed
from pabench.source import Declared, declared
from pabench.store.verdict import DEAD, OF_BANK, UNDERIVED
from pabench.suite.cell import Cell
from pabench.suite.digest import digest
from pabench.suite.specs import CriterionSpec

AS = "as:"
"""How `allocation` names the criterion whose layer densities are taken over (`pabench.scoring.allocation`)."""
FIXED = ("rounds", "dense_epochs", "resumes_at", "total_epochs", "gradual")
"""What a receipt says that no rounding changes."""
COUNTED = ("zero_scores", "non_finite_scores", "tied_at_threshold", "kept_of_tied")
WITHIN = 0.01
"""Share of all weights by which counts of scores may differ on another machine, where rounding parts what was equal."""
INSTEAD = ("model", "parameters_instead", "left", "total", "kept")
"""What a receipt says of the network that was trained in place of a pruned one."""
IMAGES = ("scoring_images", "gradient_images")
REPLACED = "another network, trained in its place"


# --- level 2: by the files of built-in criteria -----------------------------------------------------------------------


def check(found: Wellformed) -> Iterator[Flaw]:
    """What a criterion of the study says and its class does not; a mask where there must be one."""
    rules = {digest(cell.criterion.identity()): cell.criterion for cell in found.cells.values() if cell.criterion}
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
    giver = declared().get(str(rule.donor.get("name"))) if rule.donor else Declared()
    exact = rule.sha256 == known.sha256
    if giver is not None:
        facts = (known.trains or giver.trains, known.reference_line or giver.reference_line)
        for name, expected, there in nature(facts, rule, exact=exact and rule.donor.get("sha256", "") == giver.sha256):
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
    if named.partition("@")[0] != giver:
        yield _flaw(rule, "donor", f"{named or 'none'}, by its allocation", str(giver or "none"))


def _masks(found: Wellformed) -> Iterator[Flaw]:
    """Only a control trains another network, and then in all cells of its row: whatever prunes shows its mask."""
    rows: dict[str, dict[bool, Cell]] = defaultdict(dict)
    for cell, record in found.finished:
        receipt = record["receipt"]
        if cell.criterion is None or receipt is None:
            continue
        instead = "model" in receipt
        known = declared().get(cell.criterion.name.partition("@")[0])
        if known is not None and known.control != instead:
            expected = "another network, it is a control" if known.control else "a mask, it is no control"
            yield Flaw.of(2, cell, "receipt.model", expected, REPLACED if instead else "a mask")
        if instead and receipt.get("mask"):
            yield Flaw.of(2, cell, "receipt.mask", "no mask beside another network", "both")
        rows[digest(cell.criterion.identity())].setdefault(instead, cell)
    for kinds in rows.values():
        if len(kinds) > 1:
            yield Flaw.of(2, kinds[True], "receipt.model", f"a mask, as {kinds[False].title} has one", REPLACED)


def replaced(result: Mapping[str, Any], receipt: Mapping[str, Any], asked: int) -> Iterator[tuple[str, Any, Any]]:
    """(field, expected, found) of a cell that trained another network, where `asked` weights would have been kept."""
    size, stated, flops = result["parameters"], receipt.get("parameters_instead"), result["flops"]
    left = size["dense"] - receipt["total"] + asked
    if receipt.get("left") != left:
        yield "receipt.left", f"{left:.0f}, what is left of the network when pruned", receipt.get("left")
    if size["pruned"] != stated:
        yield "result.parameters.pruned", stated, size["pruned"]
    for name, value, most in (("parameters", size["pruned"], left), ("flops", flops["pruned"], flops["dense"])):
        if not 0 < value <= most:
            yield f"result.{name}.pruned", f"more than 0 and at most {most:.0f}", value


def _flaw(rule: CriterionSpec, field: str, expected: str, there: str) -> Flaw:
    return Flaw(2, STUDY, expected, there, f"criteria.{rule.label}.{field}")


# --- level 3: by the class and the receipt made here ------------------------------------------------------------------


def asked(cell: Cell, own: Cell) -> Iterator[Flaw]:
    """Whether the criterion is what its class makes of its label. Of another version nothing is proved by its words
    and its defaults: then level 3 cannot tell."""
    assert cell.criterion is not None
    assert own.criterion is not None
    stated, derived = cell.criterion, own.criterion
    where = f"criteria.{stated.label}"
    exact = stated.sha256 == derived.sha256 and stated.donor == derived.donor
    for field, expected, there in nature((derived.trains, derived.reference_line), stated, exact=exact):
        yield Flaw(3, STUDY, expected, there, f"{where}.{field}", cell.title)
    if cell.scoring.because == "criterion" and cell.scoring.dtype != derived.precision:
        expected = f"{derived.precision} (what the criterion needs)"
        yield Flaw.of(3, cell, "cell.scoring.dtype", expected, cell.scoring.dtype, not exact)
    if not derived.given:
        expected = "a variant and parameters that its class has"
        yield Flaw(3, STUDY, expected, "others", where, cell.title, not exact)
    for key, means in derived.given.items():
        if key in stated.args and stated.args[key] != means:
            expected, there = f"{means} (what the label means)", f"{stated.args[key]}"
            yield Flaw(3, STUDY, expected, there, f"{where}.args.{key}", cell.title, not exact)


def kind(receipt: Mapping[str, Any]) -> str:
    """What a receipt is of."""
    return "another network" if "model" in receipt else "a mask"


def receipts(cell: Cell, record: Mapping[str, Any], made: Mapping[str, Any], *, alike: bool) -> Iterator[Flaw]:
    """The record against the receipt `made` here: counts of scores and ties, flags, images. Not `alike`: on another
    machine, where counts may differ by rounding, and more than that proves nothing."""
    stated, derived = record["receipt"], made["receipt"]

    def flaw(field: str, expected: Any, there: Any, unable: bool = False) -> Flaw:
        return Flaw.of(3, cell, field, f"{expected} (made here)", there, unable)

    for field in INSTEAD if "model" in stated else FIXED:
        if stated.get(field) != derived.get(field):
            yield flaw(f"receipt.{field}", derived.get(field), stated.get(field))
    if "model" in stated:
        return
    if "dense" in stated and stated["dense"] != derived["dense"]:  # records made before there was any have none
        yield flaw("receipt.dense", derived["dense"], stated["dense"])
    slack = 0 if alike else WITHIN * derived["total"]
    for field in COUNTED:
        if abs(stated[field] - derived[field]) > slack:
            yield flaw(f"receipt.{field}", derived[field], stated[field], not alike)
    earned, there = flagged(made), flagged(record)
    differing = (earned ^ there) - {OF_BANK, DEAD}  # no receipt has these
    # on another machine a count may pass the threshold of a flag; what the criterion says of the network does not
    if differing and (alike or differing & {*UNDERIVED}):
        yield flaw("flags", listed(earned), listed(there), not alike)
    for field in IMAGES:
        value = record["cost"].get(field)
        if value is not None and value != made["cost"].get(field):
            yield flaw(f"cost.{field}", made["cost"].get(field), value)


# --- flags, for both levels -------------------------------------------------------------------------------------------


def flagged(outcome: Mapping[str, Any]) -> set[str]:
    """The names of the flags of a record or a receipt."""
    return {flag["flag"] for flag in outcome["flags"]}


def listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
