"""Level 2: a submission agrees with itself. Counts from mask bits, sizes and FLOPs from counts, means from records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from pabench import counted, rules, stated
from pabench.ablation import alike
from pabench.aggregates import aggregates, difference
from pabench.cell import Cell, digest
from pabench.foreign import AGGREGATES, Flaw
from pabench.record import PARTS
from pabench.source import is_built_in, is_built_in_source
from pabench.wellformed import Wellformed

LEVEL = 2
OF_BANK = "other-environment"
"""The flag of a cell that was taken from a bank of another environment; no receipt has it."""

Say = Callable[[str, Any, Any], Flaw]


def check(found: Wellformed) -> list[Flaw]:
    """Everything that level 2 finds in what level 1 left valid."""
    flaws: list[Flaw] = []
    for key, record in found.records.items():
        cell, path = found.cells[key], f"records/{key}.json"

        def say(field: str, expected: Any, there: Any, cell: Cell = cell, path: str = path) -> Flaw:
            return Flaw(LEVEL, path, str(expected), str(there), field, cell.title)

        if record["status"] == "ok":
            flaws += _record(found, cell, record, say)
    flaws += rules.check(found)
    flaws += _layers(found)
    flaws += _same(found)
    flaws += _paired(found)
    flaws += _sources(found)
    flaws += _aggregates(found)
    return flaws


def _record(found: Wellformed, cell: Cell, record: Mapping[str, Any], say: Say) -> Iterator[Flaw]:
    result, receipt = record["result"], record["receipt"]
    if result["top5"] + 1e-9 < result["top1"]:
        yield say("result.top5", f"at least top-1, {result['top1']}", result["top5"])
    filed = found.receipts.get(cell.pruning_key) if cell.criterion else None
    for wrong in (*stated.curves(cell, result), *stated.costs(cell, record, filed)):
        yield say(*wrong)
    hashed = [part for part in PARTS if part != "weights" or "model" not in (receipt or {})]
    if lacking := [part for part in hashed if not record["pairing"].get(part)]:
        yield say("pairing", f"hashes of {', '.join(hashed)}", f"no {', '.join(lacking)}")
    if cell.criterion is None:
        if receipt is not None:
            yield say("receipt", "none, the cell is dense", "a receipt")
        return
    if receipt is None:
        yield say("receipt", "a receipt", "none")
        return
    yield from _receipt(cell, receipt, say)
    yield from _filed(found, cell, record, receipt, say)
    if "model" in receipt:
        for wrong in rules.replaced(result, receipt, counted.kept(cell, receipt["total"])):
            yield say(*wrong)
        return
    mask = found.foreign.masks.get(receipt.get("mask") or "")
    if mask is None:
        yield say("receipt.mask", "a mask file", f"no masks/{str(receipt.get('mask'))[:64]}.safetensors")
        return
    told = (
        counted.mask(cell, receipt, mask),
        counted.sizes(result, mask),
        stated.scored(receipt),
        stated.flagged(record),
    )
    for wrong in chain(*told):
        yield say(*wrong)


def _receipt(cell: Cell, receipt: Mapping[str, Any], say: Say) -> Iterator[Flaw]:
    """The receipt against the cell that it was made for."""
    assert cell.criterion is not None
    name, _, variant = cell.criterion.name.partition("@")
    expected = {"criterion": name, "variant": variant, "version": cell.criterion.version}
    expected |= {"source": cell.criterion.source, "requested_sparsity": cell.sparsity}
    expected["parameters"] = dict(cell.criterion.args)
    if "model" not in receipt:
        expected["dtype"] = cell.scoring.dtype
    for field, value in expected.items():
        if receipt.get(field) != value:
            yield say(f"receipt.{field}", f"{value} (the cell's)", receipt.get(field))
    total, kept = receipt["total"], receipt["kept"]
    if not total or abs(receipt["sparsity"] - (1 - kept / total)) > 1e-12:
        yield say("receipt.sparsity", f"1 - {kept} / {total}", receipt["sparsity"])


def _filed(
    found: Wellformed, cell: Cell, record: Mapping[str, Any], receipt: Mapping[str, Any], say: Say
) -> Iterator[Flaw]:
    """The record's receipt against the file of the pruning; a re-drawn network has its parent's without its norms."""
    filed = found.receipts.get(cell.pruning_key)
    if filed is None:
        yield say("receipt", f"the file receipts/{cell.pruning_key}.json", "no such file")
        return
    again = ("gradient_norm",) if cell.ablation == "reinit" else ()
    there = filed["receipt"] or {}
    for field in sorted(set(there) | set(receipt)):
        if field not in again and there.get(field) != receipt.get(field):
            yield say(f"receipt.{field}", f"{there.get(field)} (the receipt's file)", receipt.get(field))
    flags = [flag for flag in record["flags"] if flag["flag"] != OF_BANK]
    if flags != filed["flags"]:
        yield say("flags", f"{_names(filed['flags'])} (the receipt's file)", _names(record["flags"]))
    if cell.ablation != "reinit" and "model" not in receipt:
        for part, value in filed["pairing"].items():
            if record["pairing"].get(part) != value:
                yield say(f"pairing.{part}", f"{value} (the receipt's file)", record["pairing"].get(part))


def _layers(found: Wellformed) -> Iterator[Flaw]:
    """Dense FLOPs of a layer are two for each weight and position that it is applied at, and no more than all."""
    for key, record in found.records.items():
        flops = (record["result"] or {}).get("flops", {})
        if not flops.get("layers"):
            continue
        sizes = {layer["name"]: layer["total"] for layer in (record["receipt"] or {}).get("layers", [])}
        wrong = [n for n, f in flops["layers"].items() if n not in sizes or f % (2 * max(1, sizes[n]))]
        title, path = found.title(key), f"records/{key}.json"
        for name in wrong:
            expected = f"a multiple of 2 * {sizes.get(name, 0)} weights"
            yield Flaw(LEVEL, path, expected, f"{flops['layers'][name]}", f"result.flops.layers.{name}", title)
        if sum(flops["layers"].values()) > flops["dense"]:
            yield Flaw(LEVEL, path, "layers that add up to no more than dense", "more", "result.flops.layers", title)


def _same(found: Wellformed) -> Iterator[Flaw]:
    """What is of a dense network is the same in all cells of a dataset and model."""
    seen: dict[str, tuple[str, Any]] = {}
    for key, record in found.records.items():
        if record["status"] != "ok":
            continue
        cell, result = found.cells[key], record["result"]
        place = digest([cell.dataset.identity(), cell.model.identity()])
        facts = {f"result.{name}.dense": result[name]["dense"] for name in ("parameters", "flops")}
        facts |= {"result.flops.layers": result["flops"]["layers"]} if result["flops"].get("layers") else {}
        facts |= {"receipt.total": record["receipt"]["total"]} if record["receipt"] else {}
        for field, value in facts.items():
            first, expected = seen.setdefault(f"{place}{field}", (key, value))
            if value != expected:
                where = f"{expected} (as {found.title(first)})"
                yield Flaw(LEVEL, f"records/{key}.json", where, str(value), field, cell.title)


def _paired(found: Wellformed) -> Iterator[Flaw]:
    """The cells of a block whose hashes are not those of most of its cells, apart from what an ablation changes."""
    groups: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for key, record in found.records.items():
        for part, value in record["pairing"].items():
            groups[record["block"], part, alike(found.cells[key].ablation, part)][key] = value
    for (block, part, ablation), values in groups.items():
        usual, _ = Counter(values.values()).most_common(1)[0]
        plain = set(groups.get((block, part, ""), {}).values()) if ablation else set()
        for key, value in values.items():
            path, title = f"records/{key}.json", found.title(key)
            if value != usual:
                yield Flaw(LEVEL, path, f"{usual} (most cells of its block)", value, f"pairing.{part}", title)
            elif value in plain:
                expected = "another hash than the plain cells', which the ablation changes"
                yield Flaw(LEVEL, path, expected, value, f"pairing.{part}", title)


def _sources(found: Wellformed) -> Iterator[Flaw]:
    """The files of criteria against what the cells say that they were run with."""
    files = {path: sha for path, sha in found.foreign.files.items() if path.startswith("criteria/")}
    rules = {c.criterion.source: c.criterion for c in found.cells.values() if c.criterion}
    for path, sha in files.items():
        if sha not in rules:
            yield Flaw(LEVEL, path, "the source of a criterion of the study", f"SHA-256 {sha}, which no cell has")
    if found.foreign.is_submission:
        for source, rule in rules.items():
            known = is_built_in_source(source) or is_built_in(rule.name)
            if not known and source not in files.values():
                yield Flaw(LEVEL, "criteria", f"the file of {rule.name} with SHA-256 {source}", "no such file")


def _aggregates(found: Wellformed) -> Iterator[Flaw]:
    """Means over seeds, computed again from the records."""
    stated = found.foreign.documents.get(AGGREGATES)
    if stated is None:
        if found.foreign.is_submission:
            yield Flaw(LEVEL, AGGREGATES, "means over seeds", "no such file")
        return
    wrong = difference(stated.get("rows"), aggregates(found.cells.values(), found.records))
    if wrong:
        where, computed, claimed = wrong
        yield Flaw(LEVEL, AGGREGATES, f"{computed} (computed from the records)", claimed, where)


def uncounted(found: Wellformed) -> int:
    """Pruned cells whose FLOPs level 2 cannot compute: their record does not say what each layer takes."""
    pruned = [r for r in found.records.values() if r["status"] == "ok" and (r["receipt"] or {}).get("mask")]
    return sum(record["result"]["flops"].get("layers") is None for record in pruned)


def _names(flags: list[dict[str, str]]) -> str:
    return ", ".join(flag["flag"] for flag in flags) or "none"
