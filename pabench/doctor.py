"""`pabench doctor`: a checkup in words, and that of a whole zoo as a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from pabench import registry
from pabench.cell import ModelSpec
from pabench.checkup import Checkup, Row, examine
from pabench.errors import SuiteError, did_you_mean
from pabench.remedy import Treatment, criterion_entry, flow, model_entry
from pabench.suite import find, load
from pabench.verdict import HEALTHY, percentage
from pabench.wording import count
from pabench.yamlfile import Tree, read

MARKS = ("<!-- zoo: generated -->", "<!-- end of zoo -->")
DTYPES = {"float64": torch.float64, "float32": torch.float32}


def consult(
    model: str,
    shape: tuple[int, int, int],
    *,
    classes: int,
    stem: str,
    zeros: str,
    args: Sequence[str],
    criteria: Sequence[str],
    dtype: str,
    plugins: Sequence[Path],
    as_json: bool,
) -> tuple[Checkup, str]:
    """The checkup that a command line asks for, and what to print of it. Values are YAML, as in a suite."""
    if dtype not in DTYPES:
        raise SuiteError(f"--dtype {dtype}: {did_you_mean(dtype, DTYPES)}")
    for path in plugins:
        registry.drop_in(path)
    given = dict(_argument(text) for text in args)
    entries = [_criterion(text) for text in criteria]
    spec = ModelSpec(model, given, stem, zeros)
    found = examine(spec, shape, entries, classes=classes, dtype=DTYPES[dtype])
    return found, json.dumps(found.to_json(), indent=2) if as_json else describe(found)


def table(suite: str, size: int, classes: int) -> Iterator[str]:
    """Every model of a suite before and after remedies, in lines of Markdown: a row a model, a column a criterion.

    Before: as timm builds it, without the suite's `stem`, `zeros` and `zero_init_last`; its other arguments stay.
    """
    chosen = load(find(suite))
    plain = list(dict.fromkeys(entry.name.partition("@")[0] for entry in chosen.criteria))
    yield f"| model | family | weights | {' | '.join(plain)} | remedy |"
    yield f"|---|---|---:|{'---|' * len(plain)}---|"
    for entry in chosen.models:
        spec = ModelSpec(entry.name, {k: v for k, v in entry.args.items() if k != "zero_init_last"})
        found = examine(spec, (3, size, size), [(name, {}) for name in plain], classes=classes)
        cells = " | ".join(_change(row) for row in found.rows)
        total = sum(found.weights.values())
        yield f"| {spec.name} | {found.family} | {total / 1e6:.2f} M | {cells} | {_prescription(found)} |"


def insert(made: str, file: Path) -> None:
    """Put a table between the two marks of a page."""
    before, first, rest = file.read_text().partition(MARKS[0])
    _, second, after = rest.partition(MARKS[1])
    if not first or not second:
        raise SuiteError(f"{file}: expected the lines {MARKS[0]} and {MARKS[1]}, between which the table goes")
    file.write_text(f"{before}{first}\n\n{made}\n\n{second}{after}")


def describe(found: Checkup) -> str:
    """The checkup in lines, for people."""
    images = " x ".join(map(str, found.shape))
    total = sum(found.weights.values())
    layers = count(len(found.weights), "layer")
    lines = [f"{model_entry(found.model)}: {found.family}, {total:,} prunable weights in {layers}"]
    lines += [f"{images} pixels, {found.classes} classes, scored in {found.dtype}", "", *_table(found.rows)]
    why = [(row.name, row.before.finding.detail) for row in found.rows if row.before.finding.detail]
    if why:
        lines += ["", "why", *(f"  {name}: {detail}" for name, detail in why)]
    if found.suite:
        lines += ["", "remedy, for a suite (tried: the last column)", *(f"  {line}" for line in found.suite)]
    left = [row.name for row in found.rows if row.after.finding.verdict != HEALTHY]
    if left:
        lines += ["", f"no remedy makes these healthy: {', '.join(left)}; leave them out, or read their flags"]
    lines += ["", "not prunable", *_unprunable(found)]
    if found.by_run != found.model:
        lines += [
            "",
            f"`pabench run` builds {model_entry(found.by_run)} where the suite says {model_entry(found.model)}",
        ]
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> list[str]:
    head = ("criterion", "verdict", "zero scores", "not finite", "dead layers", "saturated", "with the remedy")
    body = [(criterion_entry(r.name, r.before.given), *_cells(r.before), _after(r)) for r in rows]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (head, *body)]


def _cells(treatment: Treatment) -> tuple[str, str, str, str, str]:
    found = treatment.finding
    if found.reason:
        return found.verdict, "-", "-", "-", "-"
    dead = f"{len(found.dead)} of {found.layers}"
    saturated = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found.flat.items()) or "-"
    return found.verdict, percentage(found.zeros, found.total), str(found.non_finite), dead, saturated


def _after(row: Row) -> str:
    if not row.better:
        return ""
    verdict, zeros, infinite, dead, _ = _cells(row.after)
    return f"{verdict}: {zeros} zero, {infinite} not finite, {dead} dead"


def _unprunable(found: Checkup) -> list[str]:
    lines = []
    for kind, names in found.unprunable.items():
        shown = ", ".join(list(names)[:3]) + (", ..." if len(names) > 3 else "")
        lines.append(f"  {kind}: {sum(names.values()):,} numbers in {len(names)} ({shown})")
    if found.standardised:
        shown = ", ".join(found.standardised[:3]) + (", ..." if len(found.standardised) > 3 else "")
        lines.append(f"  standardised before use, so that a pruned weight is not 0 there: {shown}")
    return lines or ["  nothing else has parameters"]


def _argument(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise SuiteError(f"--args {text}: expected KEY=VALUE, as in --args depth=4")
    return key, _yaml(value, f"--args {text}")


def _criterion(text: str) -> tuple[str, dict[str, Any]]:
    """A name, or an entry of a suite: `{name: snip, steps: 3}`."""
    value = _yaml(text, f"-c {text}")
    entry = {"name": value} if isinstance(value, str) else value
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise SuiteError(f"-c {text}: expected a name, or a mapping as in a suite")
    return entry["name"], {k: v for k, v in entry.items() if k != "name"}


def _yaml(text: str, where: str) -> Any:
    tree = Tree(file="value")
    read(text, tree)
    if tree.findings:
        raise SuiteError("\n".join(f"{where}: {line}" for _, line in tree.findings))
    return tree.value


def _change(row: Row) -> str:
    """One cell of the table: the share of zero scores and the verdict, before and, where it is better, after."""
    return f"{_short(row.before)} → {_short(row.after)}" if row.better else _short(row.before)


def _short(treatment: Treatment) -> str:
    found = treatment.finding
    if found.reason:
        return "unsupported"
    share = "not finite" if found.non_finite else percentage(found.zeros, found.total)
    return share if found.verdict == HEALTHY else f"{share}, {found.verdict}"


def _prescription(found: Checkup) -> str:
    """The changes of model and criteria, in the words of a suite."""
    args = {k: v for k, v in found.prescribed.args.items() if found.model.args.get(k) != v}
    keys = {"stem": found.prescribed.stem, "zeros": found.prescribed.zeros, "args": args}
    parts = [f"{key}: {flow(value)}" for key, value in keys.items() if value]
    parts += [criterion_entry(row.name, row.after.given) for row in found.improved if row.after.given]
    return ", ".join(f"`{part}`" for part in parts)
