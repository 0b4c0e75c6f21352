"""The difference between two studies, in lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pabench.report.difference import BEYOND_NOISE, SAME, Altered, Difference
from pabench.statistics.contrast import Contrast
from pabench.suite.specs import PLAIN
from pabench.words import NOTHING, count, number, percent, signed

SHOWN = 12
"""Lines of one kind that a terminal gets; `--json` has all."""


def difference_text(found: Difference) -> str:
    """How the second study differs from the first."""
    lines = [f"{found.first} and {found.second}", *_made(found), *_cells(found), *_older(found), *_altered(found)]
    lines += _changes(found)
    return "\n".join(line.replace("\n", " ") for line in [*lines, _verdict(found)])


def _verdict(found: Difference) -> str:
    """One sentence that the exit code stands for."""
    untested = sum(one.verdict == "not tested" for one in found.contrasts)
    rest = f"; {count(untested, 'comparison')} could not be tested" if untested else ""
    if found.code == BEYOND_NOISE:
        changed = sum(one.verdict in ("higher", "lower") for one in found.contrasts)
        told = [f"{count(found.unexplained, 'cell')} of one key with two results"] if found.unexplained else []
        told += [f"{count(changed, 'change')} of accuracy beyond noise"] if changed else []
        return f"verdict: different: {' and '.join(told)}{rest}"
    if found.code == SAME:
        if all(one.identical for one in found.contrasts):
            return "verdict: the same: every accuracy that both have is equal"
        return f"verdict: not separable: no change beyond noise was found, which proves no equality{rest}"
    if not found.contrasts:
        return "verdict: none: no finished cells correspond (same dataset, model, criterion, sparsity)"
    return "verdict: none: with so few seeds nothing can be tested, nor where cells failed or are missing"


def _made(found: Difference) -> Iterator[str]:
    yield "made differently:" if found.changes or found.suite else "made alike: suite, recipe, data, criteria, versions"
    for change in found.changes:
        yield f"  {change.what}: {change.first or NOTHING} -> {change.second or NOTHING}"
    if found.suite:
        yield "  the suite's text:"
        yield from _some([f"    {line}" for line in found.suite[2:]])


def _cells(found: Difference) -> Iterator[str]:
    alone = f"{len(found.only_first)} only in the first, {len(found.only_second)} only in the second"
    unfinished = found.shared - found.equal - len(found.altered) - len(found.unlike)
    neither = f", {unfinished} without a result in either" if unfinished else ""
    yield f"cells: {found.shared} of one key in both ({found.equal} with equal results{neither}), {alone}"
    if found.corresponding:
        yield f"  {found.corresponding} of those differ in the key alone: same names, sparsity and seed"
    for name, n in zip((found.first, found.second), found.broken, strict=True):
        if n:
            yield f"  {name}: {count(n, 'broken record')}, treated as absent"
    if found.unlike:
        yield "  finished in one study alone:"
        yield from _some([f"    {line}" for line in found.unlike])


def _older(found: Difference) -> Iterator[str]:
    if found.older:
        yield "older record: what one side does not say is no difference:"
    for one in found.older:
        cells = f" ({count(one.cells, 'cell')})" if one.cells else ""
        yield f"  {one.what}: not in {one.lacking}{cells}"


def _altered(found: Difference) -> Iterator[str]:
    if same := [f"  {_one(one)}" for one in found.altered if not one.environment]:
        yield "one key and two results on equal machines and versions (not deterministic, or altered afterwards):"
        yield from _some(same)
    if elsewhere := [f"  {_one(one)}" for one in found.altered if one.environment]:
        yield "one key and two results on other machines or versions, which may be why:"
        yield from _some(elsewhere)


def _one(one: Altered) -> str:
    change = ""
    if one.change:
        noise = f", seed SD {number(one.noise)}" if one.noise is not None else ""
        change = f": top-1 {number(one.first)} -> {number(one.second)} ({signed(one.change)}{noise})"
    where = f"; ran on {one.environment}" if one.environment else "; ran on equal versions and hardware"
    return f"{one.title}{change}; differs: {', '.join(one.what)}{where}"


def _changes(found: Difference) -> Iterator[str]:
    shown = [one for one in found.contrasts if not one.identical]
    if same := len(found.contrasts) - len(shown):
        yield f"accuracies that are equal to the last digit: {same} of {count(len(found.contrasts), 'comparison')}"
    if not shown:
        return
    yield f"change of top-1, second minus first, points, 95 % interval; Holm over {count(len(shown), 'comparison')}:"
    order = {"higher": 0, "lower": 0, "not separable": 1, "not tested": 2}
    yield from _some([f"  {_line(one)}" for one in sorted(shown, key=lambda one: order[one.verdict])], 4 * SHOWN)


def _line(one: Contrast) -> str:
    what = f"{one.dataset} / {one.model} / {one.criterion}"
    what += f" {percent(one.sparsity)}" if one.sparsity else ""
    what += f" / {one.ablation}" if one.ablation else ""
    what += f" / {one.train}" if one.train != PLAIN.name else ""
    spread = "no interval" if one.change.low is None else f"{signed(one.change.low)} to {signed(one.change.high)}"
    pairs = "paired" if one.paired else "unpaired: other weights"
    tested = "" if one.p is None else f", p = {one.p:.2g}"
    return f"{what}: {signed(one.change.mean)} ({spread}, n = {one.change.n}, {pairs}{tested}): {one.verdict}"


def _some(lines: Sequence[str], most: int = SHOWN) -> list[str]:
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())] if lines else ""
    more = [f"{indent}and {len(lines) - most} more (--json)"] if len(lines) > most else []
    return [*lines[:most], *more]
