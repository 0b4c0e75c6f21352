"""Ways to forge a good submission, each with what must be said of it and the level that says so."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pabench.store import imagebits, maskbits
from pabench.store.envelope import HEAD, MIDDLE, TAIL, seal, unseal
from pabench.suite.cell import Cell
from pabench.suite.digest import canonical

from ...forgery import Forgery, packed, sha
from .looking import hostile, of, restate, suite, swap, zeros

Forge = Callable[[Forgery], Any]
NOBODY = "0" * 64


@dataclass(frozen=True)
class Lie:
    """`forge` makes a lie of a `kind` in a good submission; a verification up to `level` has a flaw that says `told`.

    A forger of some diligence computes means and the list of files anew; not `careful`, he does not. `code` is the exit
    code: 5 where what he names is nowhere to be had, so that nothing is proved.
    """

    kind: str
    name: str
    forge: Forge
    told: str
    level: int
    careful: bool = True
    code: int = 4

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


# --- what is forged ---------------------------------------------------------------------------------------------------


def record(
    how: Callable[[dict[str, Any]], Any], criterion: str = "snip", sparsity: float = 0.9, seed: int = 0
) -> Forge:
    """A record alone."""
    return lambda f: f.change(f.record(criterion, sparsity, seed), how)


def both(how: Callable[[dict[str, Any]], Any], criterion: str = "snip", sparsity: float = 0.9, seed: int = 0) -> Forge:
    """A record and the receipt of its pruning."""
    return lambda f: f.both(f.record(criterion, sparsity, seed), how)


def throughout(how: Callable[[dict[str, Any]], Any], criterion: str = "snip", sparsity: float = 0.8) -> Forge:
    """A receipt in its record, its own file and the header of the mask."""
    return lambda f: restate(f, f.record(criterion, sparsity), how)


def every(how: Callable[[dict[str, Any]], Any], *kinds: str) -> Forge:
    """All files of these kinds."""

    def forge(f: Forgery) -> None:
        for kind in kinds:
            for path in sorted(f.folder.glob(f"{kind}/*.json")):
                f.change(path, how)

    return forge


def study(how: Callable[[dict[str, Any]], Any]) -> Forge:
    return lambda f: f.study(how)


def rule(how: Callable[[dict[str, Any]], None], name: str = "snip", seed: int | None = None) -> Forge:
    """The criterion of cells, keys and all that follows from them derived again."""
    return lambda f: f.cells(of(name, how, seed))


def part(name: str, seed: int | None = None, **values: Any) -> Forge:
    """A part of cells (of a seed), keys and all that follows from them derived again."""

    def how(cell: dict[str, Any]) -> None:
        if seed in (None, cell["seed"]):
            cell[name] = {**cell[name], **values} if isinstance(cell[name], dict) else values[name]

    return lambda f: f.cells(how)


def text(old: str, new: str) -> Forge:
    """The suite in the study."""
    return lambda f: suite(f, old, new)


def listed(how: Callable[[dict[str, Any]], Any]) -> Forge:
    """The list of files, after it was made anew."""

    def forge(f: Forgery) -> None:
        f.means()
        f.listing()
        path = f.folder / "submission.json"
        stated = json.loads(path.read_text())
        how(stated)
        path.write_text(json.dumps(stated))

    return forge


def means(how: Callable[[dict[str, Any]], Any]) -> Forge:
    def forge(f: Forgery) -> None:
        path = f.folder / "aggregates.json"
        stated = json.loads(path.read_text())
        how(stated)
        path.write_text(json.dumps(stated))
        f.listing()

    return forge


def raw(body: bytes, criterion: str = "snip") -> Forge:
    """The text of a record, in an envelope whose hash is right."""

    def forge(f: Forgery) -> None:
        f.record(criterion).write_bytes(HEAD + sha(body).encode() + MIDDLE + body + TAIL)
        f.listing()

    return forge


def added(body: Callable[[bytes], bytes]) -> Forge:
    """The text of a record edited as text, in an envelope whose hash is right."""

    def forge(f: Forgery) -> None:
        path = f.record()
        new = body(canonical(unseal(path.read_bytes())).encode())
        path.write_bytes(HEAD + sha(new).encode() + MIDDLE + new + TAIL)
        f.listing()

    return forge


def bits(how: Callable[[np.ndarray], Any], criterion: str = "snip", sparsity: float = 0.9) -> Forge:
    """The bits of a mask, and all names and hashes that follow."""
    return lambda f: f.mask(f.record(criterion, sparsity), how)


def header(**entries: Any) -> Forge:
    """The receipt in the header of a mask, and not in the record."""

    def forge(f: Forgery) -> None:
        path = f.record()
        before = unseal(path.read_bytes())["receipt"]
        f.mask(path, lambda flat: None, **entries)
        f.both(path, lambda r: r["receipt"].update({name: before[name] for name in entries}))

    return forge


def masked(how: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Forge:
    """The layers of a mask, and the names that follow."""

    def forge(f: Forgery) -> None:
        path = f.record()
        old = f.folder / "masks" / f"{unseal(path.read_bytes())['receipt']['mask']}.safetensors"
        masks, receipt = maskbits.read(old.read_bytes())
        data = packed(how(masks), receipt)
        old.unlink()
        (old.parent / f"{sha(data)}.safetensors").write_bytes(data)
        f.both(path, lambda r: r["receipt"].update(mask=sha(data)))

    return forge


def file(how: Callable[[Path], Any], kind: str = "masks") -> Forge:
    """A file of a kind as it lies there."""
    return lambda f: how(sorted(p for p in (f.folder / kind).iterdir())[0])


def borrowed(criterion: str, sparsity: float, seed: int) -> Forge:
    """The mask of another cell for snip at 90 % with seed 0."""

    def forge(f: Forgery) -> None:
        other = unseal(f.record(criterion, sparsity, seed).read_bytes())["receipt"]["mask"]
        f.both(f.record(), lambda r: r["receipt"].update(mask=other))

    return forge


def copied(what: tuple[str, ...], seed: int = 1) -> Forge:
    """Parts of the record of another seed."""

    def forge(f: Forgery) -> None:
        other = unseal(f.record(seed=seed).read_bytes())
        f.both(f.record(), lambda r: r.update({name: other[name] for name in what if name in r}))

    return forge


def another_cell(change: dict[str, Any], kind: str = "records") -> Forge:
    """A record (or receipt) of a cell that the study does not have."""

    def forge(f: Forgery) -> None:
        path = f.record()
        data = unseal(path.read_bytes())
        data["cell"].update(change)
        cell = Cell.from_json(data["cell"])
        key = cell.key if kind == "records" else cell.pruning_key
        document = data if kind == "records" else unseal(f.receipt(path).read_bytes())
        (f.folder / kind / f"{key}.json").write_bytes(seal({**document, "key": key}))

    return forge


def without(drop: Callable[[Cell], bool]) -> Forge:
    """Cells taken out of study, records and receipts."""

    def forge(f: Forgery) -> None:
        for path in list(f.folder.glob("records/*.json")):
            if drop(Cell.from_json(unseal(path.read_bytes())["cell"])):
                f.receipt(path).unlink(missing_ok=True)
                path.unlink()
        f.study(lambda s: s.update(cells=[c for c in s["cells"] if not drop(Cell.from_json(c))]))

    return forge


def ended(status: str, kind: str) -> Forge:
    """A cell with a result that is said to have none."""

    def forge(f: Forgery) -> None:
        path = f.record()
        (f.folder / "masks" / f"{unseal(path.read_bytes())['receipt']['mask']}.safetensors").unlink()
        f.both(path, lambda r: r.update(status=status, kind=kind, message="", result=None, receipt=None, flags=[]))

    return forge


def invented(f: Forgery) -> None:
    """Another accuracy of snip in all its cells, with bits that add up to it."""
    for sparsity in (0.8, 0.9):
        for seed in (0, 1):
            f.scored(f.record("snip", sparsity, seed), 98.0 + seed)


def flags(*names: str) -> Callable[[dict[str, Any]], Any]:
    return lambda r: r.update(flags=[{"flag": name, "detail": ""} for name in names])


def beside(name: str, data: bytes = b"{}") -> Forge:
    """A file that does not belong there, in the list."""

    def forge(f: Forgery) -> None:
        path = f.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)

    return forge


def in_place(how: Callable[[Path], Any], kind: str) -> Forge:
    """What is no regular file in place of one."""

    def forge(f: Forgery) -> None:
        f.means()
        f.listing()
        path = f.record() if kind == "records" else sorted((f.folder / kind).iterdir())[0]
        data = path.read_bytes()
        path.unlink()
        (f.folder.parent / "elsewhere").write_bytes(data)
        how(path)

    return forge


def moved(f: Forgery) -> None:
    """A folder that is a link to what it was."""
    f.listing()
    (f.folder / "receipts").rename(f.folder.parent / "receipts")
    (f.folder / "receipts").symlink_to(f.folder.parent / "receipts")


def renamed(f: Forgery, new: str) -> None:
    """A record under another name."""
    path = f.record()
    path.rename(path.parent / new)


def recut(f: Forgery) -> None:
    """Another weight in place of one that was kept, in a row of cells: all counts stay."""
    f.mask(f.record(), swap)


def steeper(f: Forgery) -> None:
    """Another criterion under the name of one, all that follows from its code derived from the new."""
    f.source("steep", "w.abs()", "-w.abs()")


def first(values: list[Any], value: Any) -> list[Any]:
    return [value, *values[1:]]


def bank(**entries: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda r: r.update(bank={"study": "other", "digest": NOBODY, "record": NOBODY, **entries})


def one_dense(r: dict[str, Any]) -> None:
    r["result"]["parameters"]["dense"] = 1.0


def right(count: int, images: int = 100) -> str:
    return imagebits.packed(np.arange(images) < count)


def more(flat: np.ndarray) -> None:
    flat[np.flatnonzero(~flat)[0]] = True


def fewer(flat: np.ndarray) -> None:
    flat[np.flatnonzero(flat)[0]] = False


def last_first(masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return dict(reversed(masks.items()))


def called(masks: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {name if i == 0 else n: m for i, (n, m) in enumerate(masks.items())}


def turned(masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n: m.T for n, m in masks.items()}


def clipped(masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return dict(list(masks.items())[:-1])


# --- the list ---------------------------------------------------------------------------------------------------------

LIES = [
    Lie(
        "data, splits and networks",
        "data of another content",
        part("dataset", fingerprint=NOBODY),
        "receipt: expected a mask, found failed (data)",
        3,
        code=5,
    ),
    *(
        Lie("accuracy", name, forge, told, level)
        for name, forge, told, level in (
            (
                "above 100 %",
                record(lambda r: r["result"].update(top1=100.5)),
                "result.top1: expected Input should be less",
                1,
            ),
            (
                "below 0",
                record(lambda r: r["result"].update(top1=-1.0)),
                "result.top1: expected Input should be greater",
                1,
            ),
            (
                "a text",
                record(lambda r: r["result"].update(top1="93")),
                "result.top1: expected Input should be a valid number",
                1,
            ),
            (
                "a truth value",
                record(lambda r: r["result"].update(top1=True)),
                "result.top1: expected Input should be a valid number",
                1,
            ),
            ("none at all", record(lambda r: r["result"].pop("top1")), "expected top1 and top5, or neither", 1),
            (
                "not what its images add up to",
                record(lambda r: r["result"].update(top1=99.0, top5=99.5)),
                "result.top1: expected 100 *",
                2,
            ),
            (
                "a tenth more than its images",
                record(lambda r: r["result"].update(top1=r["result"]["top1"] + 0.1, top5=100.0)),
                "result.top1: expected 100 *",
                2,
            ),
            (
                "more images right than there are",
                record(lambda r: r["result"].update(right=right(120, 120))),
                "result.right: expected a bit for each of 100",
                2,
            ),
            (
                "bits beyond the last image",
                record(lambda r: r["result"].update(right=right(104, 104))),
                "bits are set beyond the 100 images",
                2,
            ),
            (
                "bits that are no base64",
                record(lambda r: r["result"].update(right="!" * 20)),
                "result.right: expected String should match",
                1,
            ),
            (
                "bits cut short",
                record(lambda r: r["result"].update(right="AAA")),
                "result.right: expected a bit for each",
                2,
            ),
            (
                "bits left out",
                record(lambda r: r["result"].pop("right")),
                "which test images, and which of them are right",
                2,
            ),
            (
                "another test set",
                record(lambda r: r["result"]["test"].update(sha256=NOBODY)),
                "result.test: expected",
                2,
            ),
            (
                "fewer test images",
                record(lambda r: r["result"]["test"].update(images=50)),
                "result.right: expected a bit for each of 50",
                2,
            ),
            (
                "chance lower than it is",
                record(lambda r: r["result"]["compared_by"].update(chance=1.0)),
                "chance: expected 100 / 10 classes",
                2,
            ),
            (
                "compared by another number",
                record(lambda r: r["result"]["compared_by"].update(name="top5")),
                "compared_by.name: expected Input should be",
                1,
            ),
            (
                "top-5 below top-1",
                record(lambda r: r["result"].update(top5=0.5)),
                "result.top5: expected at least top-1",
                2,
            ),
            (
                "a negative loss",
                record(lambda r: r["result"].update(loss=-0.1)),
                "result.loss: expected Input should be greater",
                1,
            ),
            (
                "a loss beyond all numbers",
                record(lambda r: r["result"].update(loss=1e308)),
                "result.loss: expected Input should be less",
                1,
            ),
            ("invented throughout", invented, "no difference that is significant at 0.01", 4),
        )
    ),
    *(
        Lie("curve", name, forge, told, level)
        for name, forge, told, level in (
            (
                "an epoch more",
                record(lambda r: r["result"]["curve"]["loss"].append(1.0)),
                "curve.loss: expected 1 epochs, found 2",
                2,
            ),
            (
                "no epoch",
                record(lambda r: r["result"]["curve"].update(top1=[])),
                "curve.top1: expected 1 epochs, found 0",
                2,
            ),
            (
                "values above 100 %",
                record(lambda r: r["result"]["curve"].update(top1=[1e6])),
                "curve.top1.0: expected Input should be less",
                1,
            ),
            (
                "negative values",
                record(lambda r: r["result"]["curve"].update(top1=[-5.0])),
                "curve.top1.0: expected Input should be greater",
                1,
            ),
            (
                "texts",
                record(lambda r: r["result"]["curve"].update(lr=["0.1"])),
                "curve.lr.0: expected Input should be a valid number",
                1,
            ),
            ("left out", record(lambda r: r["result"].update(curve={})), "curve.loss: expected Field required", 1),
            (
                "of another kind, with texts",
                record(lambda r: r["result"]["curve"].update(more=["x"])),
                "curve.more.0: expected Input",
                1,
            ),
            (
                "of another kind, too short",
                record(lambda r: r["result"]["curve"].update(more=[])),
                "curve.more: expected 1 epochs",
                2,
            ),
            (
                "no list",
                record(lambda r: r["result"]["curve"].update(loss={})),
                "curve.loss: expected Input should be a valid list",
                1,
            ),
        )
    ),
    *(
        Lie("seconds", name, forge, told, level)
        for name, forge, told, level in (
            (
                "negative",
                record(lambda r: r["cost"].update(scoring_seconds=-1.0)),
                "cost.scoring_seconds: expected Input should be greater",
                1,
            ),
            (
                "more than a life",
                record(lambda r: r["cost"].update(training_seconds=1e308)),
                "cost.training_seconds: expected Input should be less",
                1,
            ),
            (
                "trained in none",
                record(lambda r: r["cost"].update(training_seconds=0.0)),
                "cost.training_seconds: expected more than 0",
                2,
            ),
            ("all left out", record(lambda r: r["cost"].clear()), "cost.wall_seconds: expected more than 0", 2),
            (
                "less than its parts",
                record(lambda r: r["cost"].update(wall_seconds=1e-9)),
                "cost.wall_seconds: expected at least",
                2,
            ),
            (
                "scored faster than its receipt",
                record(lambda r: r["cost"].update(scoring_seconds=1e-9)),
                "cost.scoring_seconds: expected",
                2,
            ),
            (
                "scored with images that are no number a class",
                both(lambda r: r["cost"].update(scoring_images=7)),
                "scoring_images: expected a multiple of 10",
                2,
            ),
            (
                "scored with images that it does not ask for",
                both(lambda r: r["cost"].update(scoring_images=100), "random"),
                "scoring_images: expected 0",
                2,
            ),
            ("half an image", both(lambda r: r["cost"].update(scoring_images=0.5)), "cost.scoring_images: expected", 1),
            (
                "scored with fewer images than it was",
                both(lambda r: r["cost"].update(scoring_images=10)),
                "scoring_images: expected 100 (made here)",
                3,
            ),
        )
    ),
    *(
        Lie("counts", name, forge, told, level)
        for name, forge, told, level in (
            (
                "one weight more than the mask",
                both(lambda r: r["receipt"].update(kept=5021)),
                "receipt.kept: expected 5020 (counted in the mask)",
                2,
            ),
            (
                "a layer's weights",
                both(lambda r: r["receipt"]["layers"][0].update(kept=1)),
                "receipt.layers: expected",
                2,
            ),
            (
                "a layer's shape",
                both(lambda r: r["receipt"]["layers"][0].update(shape=[1, 1])),
                "receipt.layers: expected",
                2,
            ),
            ("a layer left out", both(lambda r: r["receipt"]["layers"].pop()), "receipt.layers: expected", 2),
            (
                "a layer twice",
                both(lambda r: r["receipt"]["layers"].append(r["receipt"]["layers"][0])),
                "expected no layer",
                2,
            ),
            (
                "a sparsity that it does not have",
                both(lambda r: r["receipt"].update(sparsity=0.95)),
                "receipt.sparsity: expected 1 - 5020 / 50200",
                2,
            ),
            (
                "a sparsity that was not asked for",
                both(lambda r: r["receipt"].update(requested_sparsity=0.8)),
                "requested_sparsity: expected 0.9 (the cell's)",
                2,
            ),
            ("no weights at all", both(lambda r: r["receipt"].update(total=0)), "receipt.total: expected 50200", 2),
            (
                "a dead layer that lives",
                both(lambda r: r["receipt"].update(dead_layers=["fc1.weight"])),
                "receipt.dead_layers: expected []",
                2,
            ),
            (
                "parameters",
                record(lambda r: r["result"]["parameters"].update(pruned=5000)),
                "parameters.pruned: expected 5430 (from the mask)",
                2,
            ),
            ("parameters of the dense network", record(one_dense), "result.parameters.dense: expected", 2),
            (
                "FLOPs",
                record(lambda r: r["result"]["flops"].update(pruned=9000)),
                "flops.pruned: expected 10040 (from the mask)",
                2,
            ),
            (
                "FLOPs of a layer that is none",
                record(lambda r: r["result"]["flops"]["layers"].update(best=2.0)),
                "flops.layers.best: expected a multiple",
                2,
            ),
            (
                "FLOPs of layers beyond all",
                record(lambda r: r["result"]["flops"].update(dense=10.0)),
                "layers that add up to no more than dense",
                2,
            ),
            (
                "scores of 0, in sum",
                throughout(lambda r: r.update(zero_scores=7), "random"),
                "zero_scores: expected 0 (the sum of its layers)",
                2,
            ),
            (
                "scores of 0, more than weights",
                throughout(lambda r: r["layers"][0].update(zero_scores=10**6), "random"),
                "at most 19200 scores of 0",
                2,
            ),
            (
                "more kept of ties than tied",
                throughout(lambda r: r.update(kept_of_tied=60000), "random"),
                "kept_of_tied: expected at most",
                2,
            ),
            ("no round", throughout(lambda r: r.update(rounds=0), "random"), "receipt.rounds: expected at least 1", 2),
            (
                "a histogram with more scores",
                throughout(lambda r: r["score_histogram"]["positive"].append(5), "random"),
                "score_histogram: expected 50200",
                2,
            ),
            (
                "quantiles that fall",
                throughout(lambda r: r["scores"].update({"0": 1e9}), "random"),
                "quantiles in ascending order",
                2,
            ),
            (
                "ties that are not there",
                throughout(lambda r: r.update(tied_at_threshold=3)),
                "tied_at_threshold: expected 1 (made here)",
                3,
            ),
            (
                "rounds that were not",
                throughout(lambda r: r.update(rounds=2)),
                "receipt.rounds: expected 1 (made here)",
                3,
            ),
            (
                "an infinite number of weights",
                both(lambda r: r["receipt"].update(total=10**400)),
                "receipt.total: expected whole numbers below 2**63",
                1,
            ),
            (
                "a negative number of weights",
                both(lambda r: r["receipt"].update(kept=-1)),
                "receipt.kept: expected Input should be greater",
                1,
            ),
        )
    ),
    *(
        Lie("flags", name, forge, told, level)
        for name, forge, told, level in (
            (
                "a degenerate ranking not told",
                throughout(zeros),
                "flags: expected degenerate (from the receipt's numbers)",
                2,
            ),
            (
                "infinite scores not told",
                throughout(lambda r: r.update(non_finite_scores=5000, score_histogram={})),
                "flags: expected non-finite",
                2,
            ),
            (
                "ties not told",
                throughout(lambda r: r.update(tied_at_threshold=40000, kept_of_tied=2000)),
                "flags: expected tied",
                2,
            ),
            ("one that is not earned", both(flags("tied")), "flags: expected none (from the receipt's numbers)", 2),
            (
                "one that its receipt does not have",
                record(flags("collapsed")),
                "flags: expected none (the receipt's file)",
                2,
            ),
            (
                "a dead network not told",
                record(lambda r: r.update(logits={"classes": 1, "spread": 0.0, "effective_weights": 0})),
                "flags: expected dead (from its logits)",
                2,
            ),
            ("a live network told dead", record(flags("dead")), "flags: expected none (from its logits)", 2),
            ("no list", record(lambda r: r.update(flags={})), "flags: expected Input should be a valid list", 1),
        )
    ),
    *(
        Lie("receipts", name, forge, told, level)
        for name, forge, told, level in (
            ("of another version", both(lambda r: r["receipt"].update(version=9)), "receipt.version: expected", 2),
            ("of another source", both(lambda r: r["receipt"].update(source=NOBODY)), "receipt.source: expected", 2),
            (
                "of another criterion",
                both(lambda r: r["receipt"].update(criterion="random")),
                "receipt.criterion: expected snip",
                2,
            ),
            ("of a variant", both(lambda r: r["receipt"].update(variant="best")), "receipt.variant: expected", 2),
            (
                "of other parameters",
                both(lambda r: r["receipt"].update(parameters={})),
                "receipt.parameters: expected",
                2,
            ),
            (
                "of another dtype",
                both(lambda r: r["receipt"].update(dtype="float16")),
                "receipt.dtype: expected float32 (the cell's)",
                2,
            ),
            (
                "other than the record's",
                record(lambda r: r["receipt"].update(tied_at_threshold=7)),
                "tied_at_threshold: expected 1",
                2,
            ),
            (
                "none, in a pruned cell",
                record(lambda r: r.update(receipt=None)),
                "receipt: expected a receipt, found none",
                2,
            ),
            (
                "one, in a dense cell",
                lambda f: f.change(
                    f.record("dense", 0.0), lambda r: r.update(receipt=unseal(f.record().read_bytes())["receipt"])
                ),
                "receipt: expected none, the cell is dense",
                2,
            ),
            ("its file left out", lambda f: f.receipt(f.record()).unlink(), "receipt: expected the file receipts/", 2),
            (
                "under another key",
                lambda f: f.change(f.receipt(f.record()), lambda r: r.update(key=NOBODY)),
                ": key: expected",
                1,
            ),
            (
                "of a cell of no study",
                another_cell({"seed": 9}, "receipts"),
                "key: expected a receipt of a cell in study.json",
                1,
            ),
            (
                "another network in place of a mask",
                both(lambda r: r["receipt"].update(model={"name": "lenet_300_100", "args": {}, "stem": ""})),
                "receipt.model: expected a mask, it is no control",
                2,
            ),
        )
    ),
    *(
        Lie("masks", name, forge, told, level, careful)
        for name, forge, told, level, careful in (
            (
                "a bit flipped in place",
                file(lambda p: p.write_bytes(p.read_bytes()[:-1] + bytes([p.read_bytes()[-1] ^ 1]))),
                "which its name is not (truncated or altered)",
                1,
                True,
            ),
            ("cut short", file(lambda p: p.write_bytes(p.read_bytes()[:-9])), "which its name is not", 1, True),
            ("one weight too many", bits(more), "5020, which is N - floor(sparsity * N), found 5021", 2, True),
            ("one weight too few", bits(fewer), "5020, which is N - floor(sparsity * N), found 5019", 2, True),
            ("all weights", bits(lambda flat: flat.fill(True)), "receipt.kept: expected", 2, True),
            ("no weights", bits(lambda flat: flat.fill(False)), "receipt.kept: expected", 2, True),
            (
                "a layer of another name",
                masked(lambda m: called(m, "best.weight")),
                "receipt.layers: expected best.weight",
                2,
                True,
            ),
            ("layers in another order", masked(last_first), "receipt.layers: expected", 2, True),
            ("layers turned round", masked(turned), "receipt.layers: expected", 2, True),
            ("a layer left out", masked(clipped), "receipt.layers: expected no layer", 2, True),
            ("a header of another rounds", header(rounds=3), "receipt.rounds: expected 3 (the mask file's)", 2, True),
            (
                "a header of another criterion",
                header(criterion="best"),
                "receipt.criterion: expected best (the mask file's)",
                2,
                True,
            ),
            ("of another seed", borrowed("snip", 0.9, 1), "receipt.", 2, True),
            (
                "of another sparsity",
                borrowed("snip", 0.8, 0),
                "receipt.kept: expected 10040 (counted in the mask)",
                2,
                True,
            ),
            ("of another criterion", borrowed("random", 0.9, 0), "(the mask file's)", 2, True),
            (
                "no mask of that name",
                both(lambda r: r["receipt"].update(mask=NOBODY)),
                "receipt.mask: expected a mask file",
                2,
                True,
            ),
            (
                "a mask left out",
                lambda f: [p.unlink() for p in f.folder.glob("masks/*")],
                "receipt.mask: expected a mask file",
                2,
                True,
            ),
            (
                "one that no receipt names",
                lambda f: (f.folder / "masks" / f"{sha(packed({'w': np.ones(8, bool)}, {}))}.safetensors").write_bytes(
                    packed({"w": np.ones(8, bool)}, {})
                ),
                "expected the mask of a cell of study.json",
                2,
                True,
            ),
            (
                "not of safetensors",
                lambda f: (f.folder / "masks" / f"{sha(b'x' * 99)}.safetensors").write_bytes(b"x" * 99),
                "no mask file of pabench",
                1,
                True,
            ),
            ("two weights swapped", recut, "expected equal masks (same torch, timm and device)", 3, True),
        )
    ),
    *(
        Lie("keys and hashes", name, forge, told, level, careful)
        for name, forge, told, level, careful in (
            (
                "a number changed in place",
                lambda f: f.record().write_bytes(f.record().read_bytes().replace(b'"attempt":1', b'"attempt":2')),
                "do not match their SHA-256",
                1,
                False,
            ),
            (
                "sealed again and not listed",
                record(lambda r: r.update(attempt=2)),
                "sha256 in submission.json: expected",
                1,
                False,
            ),
            ("a record's key", record(lambda r: r.update(key=NOBODY)), "key: expected", 1, True),
            ("a record's block", record(lambda r: r.update(block=NOBODY)), "block: expected", 1, True),
            ("a record's parent", record(lambda r: r.update(parent=NOBODY)), "parent: expected", 1, True),
            ("a key in capitals", record(lambda r: r.update(key=r["key"].upper())), "key: expected", 1, True),
            (
                "a record under another's name",
                lambda f: renamed(f, f"{NOBODY}.json"),
                "a record of a cell in study.json",
                1,
                True,
            ),
            (
                "the study's hash",
                lambda f: (f.folder / "study.json").write_text(
                    canonical({**json.loads((f.folder / "study.json").read_text()), "sha256": NOBODY})
                ),
                "study.json: sha256: expected",
                1,
                True,
            ),
            (
                "the study changed and its hash not",
                lambda f: (f.folder / "study.json").write_text(
                    canonical({**json.loads((f.folder / "study.json").read_text()), "title": "Best"})
                ),
                "study.json: sha256: expected",
                1,
                True,
            ),
            (
                "the submission's digest",
                listed(lambda s: s.update(digest=NOBODY)),
                "submission.json: digest: expected",
                1,
                False,
            ),
            (
                "the hash of a listed file",
                listed(lambda s: s["files"]["study.json"].update(sha256=NOBODY)),
                "study.json: sha256 in submission.json: expected",
                1,
                False,
            ),
            (
                "weights of another block",
                both(lambda r: r["pairing"].update(weights=NOBODY)),
                "pairing.weights: expected",
                2,
                True,
            ),
            (
                "order of another block",
                both(lambda r: r["pairing"].update(order=NOBODY)),
                "pairing.order: expected",
                2,
                True,
            ),
            (
                "augmentation of another block",
                both(lambda r: r["pairing"].update(augmentation=NOBODY)),
                "pairing.augmentation: expected",
                2,
                True,
            ),
            (
                "scoring batch of another block",
                both(lambda r: r["pairing"].update(scoring_batch=NOBODY)),
                "pairing.scoring_batch: expected",
                2,
                True,
            ),
            (
                "no hashes of weights in any cell",
                every(lambda r: r["pairing"].pop("weights", None), "records", "receipts"),
                "found no weights",
                2,
                True,
            ),
            (
                "empty hashes in all cells",
                every(lambda r: r["pairing"].update(order=""), "records", "receipts"),
                "found no order",
                2,
                True,
            ),
            ("the hashes of another seed", copied(("pairing",)), "pairing.", 2, True),
            (
                "hashes of weights that no seed draws, in all cells",
                every(lambda r: r["pairing"].update(weights=NOBODY), "records", "receipts"),
                "pairing.weights: expected",
                3,
                True,
            ),
        )
    ),
    *(
        Lie("suite against study", name, forge, told, level)
        for name, forge, told, level in (
            ("a suite of more seeds", text("seeds: 2", "seeds: 3"), "seeds: expected 0, 1, 2 (the suite's)", 1),
            (
                "a suite of fewer sparsities",
                text("[0, 0.8, 0.9]", "[0, 0.9]"),
                "sparsities: expected 0, 0.9 (the suite's)",
                1,
            ),
            (
                "a suite of another criterion",
                text("random, snip", "synflow, snip"),
                "criteria: expected snip, steep, synflow (the suite's)",
                1,
            ),
            ("a suite of another model", text("[lenet_300_100]", "[lenet_5]"), "models: expected lenet_5", 1),
            ("a suite of another dataset", text("name: digits", "name: cifar10"), "datasets: expected cifar10", 1),
            (
                "a suite of a wider model",
                text("[lenet_300_100]", "[{name: lenet_300_100, stem: cifar}]"),
                "models.lenet_300_100: expected stem=cifar",
                1,
            ),
            (
                "a suite of more epochs",
                text("epochs: 1", "epochs: 160"),
                "recipe.epochs: expected 160 (the suite's)",
                1,
            ),
            ("a suite of another rate", text("lr: 0.05", "lr: 0.1"), "recipe.lr: expected 0.1 (the suite's)", 1),
            (
                "a suite of more images",
                text("train_per_class: 10", "train_per_class: 100"),
                "datasets.digits: expected train_per_class=100 (the suite's), found train_per_class=10",
                1,
            ),
            (
                "an override that was none",
                study(lambda s: s.update(overrides=["seeds=5"])),
                "seeds: expected 0, 1, 2, 3, 4 (the suite's)",
                1,
            ),
            (
                "an override that is no suite's",
                study(lambda s: s.update(overrides=["nothing.at.all=1"])),
                "suite: expected a valid suite",
                1,
            ),
            ("no suite", study(lambda s: s.update(suite="")), "suite: expected a valid suite", 1),
            ("another protocol in the cells", part("protocol", protocol="pai-v0"), "protocol: expected pai-v1", 1),
            (
                "a suite with ablations",
                text("seeds: 2", "seeds: 2\nablations: [shuffle]"),
                "ablations: expected shuffle",
                1,
            ),
            (
                "an ablation that the suite has not",
                lambda f: f.cells(
                    lambda c: (
                        c.update(ablation="shuffle") if c["criterion"] and c["criterion"]["name"] == "snip" else None
                    )
                ),
                "ablation",
                1,
            ),
            (
                "a suite of 10^9 cells",
                study(lambda s: s.update(overrides=["seeds=1000000000"])),
                "000,000,000 (the suite's)",
                1,
            ),
            (
                "100,000 overrides",
                study(lambda s: s.update(overrides=["seeds=2"] * 100_000)),
                "overrides: expected List should have at most 100",
                1,
            ),
            (
                "a weight decay that the suite has not",
                part("recipe", weight_decay=0.01),
                "recipe.weight_decay: expected 0.0001 (the suite's)",
                1,
            ),
            (
                "a suite of two documents",
                text("protocol: pai-v1", "protocol: pai-v1\n---\na: 1"),
                "suite: expected a valid suite",
                1,
            ),
            ("a suite with aliases", text("seeds: 2", "seeds: &a 2"), "suite: expected a valid suite", 1),
        )
    ),
    *(
        Lie("cells", name, forge, told, level, careful)
        for name, forge, told, level, careful in (
            (
                "a record taken away",
                lambda f: f.record().unlink(),
                "expected a record of every cell of the study",
                1,
                True,
            ),
            (
                "a cell taken away everywhere",
                without(lambda c: c.title.endswith("snip 0.9 / seed 0")),
                "expected a whole grid",
                1,
                True,
            ),
            ("a seed dropped", without(lambda c: c.seed == 1), "seeds: expected 0, 1 (the suite's)", 1, True),
            (
                "a sparsity dropped",
                without(lambda c: c.sparsity == 0.9),
                "sparsities: expected 0, 0.8, 0.9 (the suite's)",
                1,
                True,
            ),
            (
                "a criterion dropped",
                without(lambda c: bool(c.criterion and c.criterion.name == "random")),
                "criteria: expected random, snip, steep",
                1,
                True,
            ),
            (
                "the dense network dropped",
                without(lambda c: c.criterion is None),
                "sparsities: expected 0, 0.8, 0.9",
                1,
                True,
            ),
            ("a cell twice", study(lambda s: s["cells"].append(s["cells"][3])), "each cell once", 1, True),
            (
                "a cell more",
                study(lambda s: s["cells"].append({**s["cells"][3], "seed": 7})),
                "expected a record of every cell",
                1,
                True,
            ),
            (
                "a record of another study",
                another_cell({"sparsity": 0.99}),
                "a record of a cell in study.json",
                1,
                True,
            ),
            ("no cell", study(lambda s: s.update(cells=[])), "(the suite's)", 1, True),
            (
                "a cell that is none",
                study(lambda s: s["cells"].__setitem__(3, {})),
                "cells.3: expected a cell",
                1,
                True,
            ),
            ("a negative seed", study(lambda s: s["cells"][3].update(seed=-1)), "cells.3: expected a cell", 1, True),
            (
                "a sparsity of 1",
                study(lambda s: s["cells"][3].update(sparsity=1.0)),
                "cells.3: expected a cell",
                1,
                True,
            ),
            (
                "a truth value for a seed",
                study(lambda s: s["cells"][3].update(seed=True)),
                "cells.3: expected a cell",
                1,
                True,
            ),
            (
                "one declared missing that there is not",
                listed(lambda s: s.update(incomplete=["f" * 64])),
                "incomplete: expected only cells of study.json",
                1,
                False,
            ),
            (
                "declared missing and there",
                lambda f: listed(lambda s: s.update(incomplete=[f.record().stem]))(f),
                "incomplete: expected only cells without a record",
                1,
                False,
            ),
            ("a bad seed called a failure", ended("failed", "plugin-error"), "found its masks were made here", 3, True),
            ("a bad seed called degenerate", ended("failed", "degenerate"), "found its masks were made here", 3, True),
            (
                "a failed cell with a result",
                record(lambda r: r.update(status="failed")),
                "a result if and only if the status is ok",
                1,
                True,
            ),
            (
                "a finished cell without one",
                record(lambda r: r.update(result=None)),
                "a result if and only if the status is ok",
                1,
                True,
            ),
            (
                "a status that is none",
                record(lambda r: r.update(status="best")),
                "status: expected Input should be",
                1,
                True,
            ),
            (
                "a bad training called diverged",
                record(lambda r: r.update(status="failed", kind="diverged", result=None, receipt=None, flags=[])),
                "expected failed (diverged), as the record says",
                4,
                True,
            ),
        )
    ),
    *(
        Lie("versions and environment", name, forge, told, level)
        for name, forge, told, level in (
            ("another schema", record(lambda r: r.update(schema=2)), "schema: expected", 1),
            ("a schema that is true", record(lambda r: r.update(schema=True)), "schema: expected", 1),
            (
                "another schema of the list",
                listed(lambda s: s.update(schema=99)),
                "submission.json: schema: expected",
                1,
            ),
            (
                "another kind of the list",
                listed(lambda s: s.update(kind="pabench-site")),
                "submission.json: kind: expected Input",
                1,
            ),
            ("another version of the criterion", rule(lambda r: r.update(version=9)), "receipt.version: expected 9", 2),
            (
                "an environment of 50,000 entries",
                record(lambda r: r["environment"].update({str(n): 0 for n in range(5_000)})),
                "environment: expected at most 1,000 entries",
                1,
            ),
            ("an environment of objects", record(lambda r: r["environment"].update(torch={})), "environment.torch", 1),
            ("no environment", record(lambda r: r.pop("environment")), "environment: expected Field required", 1),
            (
                "an environment of the study that is a list",
                study(lambda s: s.update(environment=[])),
                "environment: expected Input should be a valid dictionary",
                1,
            ),
        )
    ),
    *(
        Lie("data, splits and networks", name, forge, told, level)
        for name, forge, told, level in (
            (
                "another fingerprint of one seed",
                part("dataset", seed=1, fingerprint=NOBODY),
                "one meaning of the dataset digits",
                1,
            ),
            (
                "another split of one seed",
                lambda f: f.cells(lambda c: c["dataset"]["args"].update(train_per_class=99) if c["seed"] else None),
                "one meaning of the dataset digits",
                1,
            ),
            (
                "another model of one seed",
                lambda f: f.cells(lambda c: c["model"]["args"].update(x=1) if c["seed"] else None),
                "a whole grid",
                1,
            ),
            (
                "another recipe of one seed",
                lambda f: f.cells(lambda c: c["recipe"].update(lr=0.5) if c["seed"] else None),
                "one meaning of the recipe on digits",
                1,
            ),
            (
                "another dtype of one seed",
                lambda f: f.cells(lambda c: c["scoring"].update(dtype="float32", because="") if c["seed"] else None),
                "one meaning of the scoring on digits",
                1,
            ),
            (
                "a dataset without a name",
                study(lambda s: s["cells"][3]["dataset"].pop("name")),
                "cells.3: expected a cell",
                1,
            ),
        )
    ),
    *(
        Lie("criteria", name, forge, told, level, careful)
        for name, forge, told, level, careful in (
            (
                "a file edited",
                lambda f: file(lambda p: p.write_text(p.read_text() + "# x\n"), "criteria")(f),
                "the source of a criterion of the study",
                2,
                True,
            ),
            (
                "a file edited and not listed",
                file(lambda p: p.write_text(p.read_text() + "# x\n"), "criteria"),
                "sha256 in submission.json",
                1,
                False,
            ),
            ("a file left out", file(Path.unlink, "criteria"), "criteria: expected the file of steep", 2, True),
            (
                "a file more",
                beside("criteria/best-12345678.py", b"x = 1\n"),
                "the source of a criterion of the study",
                2,
                True,
            ),
            (
                "a source that is not its file's",
                rule(lambda r: r.update(source=NOBODY), "steep"),
                "criteria.steep.source: expected",
                2,
                True,
            ),
            (
                "a built-in criterion of another source",
                rule(lambda r: r.update(source=NOBODY)),
                "criteria.snip.source: expected",
                2,
                True,
            ),
            (
                "a label that the suite has not",
                rule(lambda r: r.update(given={"steps": 100})),
                "criteria: expected random, snip, steep",
                1,
                True,
            ),
            (
                "a label that its parameters are not",
                lambda f: (
                    rule(lambda r: r.update(given={"steps": 100}))(f),
                    suite(f, "snip", "{name: snip, steps: 100}"),
                ),
                "expected steps=100 (the suite's), found steps=1",
                1,
                True,
            ),
            (
                "two settings under one label",
                rule(lambda r: r["args"].update(examples_per_class=1), seed=1),
                "one meaning of the criterion snip",
                1,
                True,
            ),
            (
                "one setting under two labels",
                rule(lambda r: r.update(given={"steps": 1}), seed=1),
                "one meaning of the criterion snip and snip",
                1,
                True,
            ),
            (
                "withdrawn from the ranking",
                rule(lambda r: r.update(reference_line="not ranked")),
                "criteria.snip.reference_line: expected ''",
                2,
                True,
            ),
            (
                "said to look at trained weights",
                rule(lambda r: r.update(trains=True)),
                "criteria.snip.trains: expected False",
                2,
                True,
            ),
            (
                "a variant that there is not",
                lambda f: (
                    rule(lambda r: r.update(name="snip@best"))(f),
                    suite(f, "snip", "snip@best"),
                    [
                        f.mask(f.record("snip@best", s, i), lambda flat: None, variant="best")
                        for s in (0.8, 0.9)
                        for i in (0, 1)
                    ],
                ),
                "a variant that the criterion has",
                2,
                True,
            ),
            (
                "the densities of one that it does not name",
                rule(lambda r: r.update(donor={"name": "magnitude"})),
                "donor: expected none, by its allocation",
                2,
                True,
            ),
            (
                "a number of images that is none",
                rule(lambda r: r["args"].update(examples_per_class=-1)),
                "examples_per_class: expected a count",
                1,
                True,
            ),
            ("code that gives other masks", steeper, "0.0000 of the kept weights in common", 3, True),
            (
                "code that ends its process",
                lambda f: hostile(f, "import os; os._exit(0)"),
                "importing its file ended the process",
                3,
                True,
            ),
            (
                "code that rewrites its judge",
                lambda f: (
                    steeper(f),
                    hostile(
                        f, "from pabench.leaderboard.verification import rederived; rederived.overlap = lambda *_: 1.0"
                    ),
                ),
                "0.0000 of the kept weights in common",
                3,
                True,
            ),
        )
    ),
    *(
        Lie("means and boards", name, forge, told, level, False)
        for name, forge, told, level in (
            ("a mean", means(lambda s: s["rows"][1].update(top1_mean=99.0)), "top1_mean: expected", 2),
            (
                "a mean of the tenth digit",
                means(lambda s: s["rows"][1].update(top1_mean=s["rows"][1]["top1_mean"] * (1 + 1e-7))),
                "top1_mean: expected",
                2,
            ),
            ("a deviation", means(lambda s: s["rows"][1].update(top1_sd=0.0)), "top1_sd: expected", 2),
            ("a count", means(lambda s: s["rows"][1].update(ok=9)), ": ok: expected 2", 2),
            ("a row left out", means(lambda s: s["rows"].pop()), "rows: expected 7", 2),
            ("a row twice", means(lambda s: s["rows"].append(s["rows"][0])), "rows: expected 7", 2),
            ("rows in another order", means(lambda s: s["rows"].reverse()), "aggregates.json: ", 2),
            ("a column more", means(lambda s: s["rows"][1].update(best=True)), "aggregates.json: row: expected", 2),
            ("no rows", means(lambda s: s.update(rows=5)), "rows: expected 7", 2),
            ("a mean that is a text", means(lambda s: s["rows"][1].update(top1_mean="99")), "top1_mean: expected", 2),
            (
                "left out",
                lambda f: ((f.folder / "aggregates.json").unlink(), f.listing()),
                "aggregates.json: expected means over seeds",
                2,
            ),
        )
    ),
    *(
        Lie("banks", name, forge, told, level)
        for name, forge, told, level in (
            ("no object", record(lambda r: r.update(bank="a")), "bank: expected", 1),
            ("a digest that is none", record(bank(digest="x")), "bank.digest: expected", 1),
            ("a record that is none", record(bank(record=5)), "bank.record: expected", 1),
            (
                "a bank of a bank without a study",
                record(bank(via={"digest": NOBODY, "record": NOBODY})),
                "bank.via.study: expected",
                1,
            ),
        )
    ),
    *(
        Lie("metrics and checks", name, forge, told, level)
        for name, forge, told, level in (
            (
                "a metric named like a column",
                study(lambda s: s.update(metrics=[{"name": "top1"}])),
                "names of metrics that no other column",
                1,
            ),
            (
                "a metric twice",
                study(lambda s: s.update(metrics=[{"name": "a"}, {"name": "a"}])),
                "names of metrics that no other column",
                1,
            ),
            (
                "a metric that is a formula",
                study(lambda s: s.update(metrics=[{"name": '=HYPERLINK("http://x","y")'}])),
                "metrics.0.name: expected String should match",
                1,
            ),
            (
                "numbers under another key",
                lambda f: f.change(sorted(f.folder.glob("metrics/*"))[0], lambda m: m.update(key=NOBODY)),
                ": key: expected",
                1,
            ),
            (
                "numbers of another cell",
                lambda f: f.change(
                    sorted(f.folder.glob("metrics/*"))[0], lambda m: m["entries"][0].update(of=[NOBODY])
                ),
                ": key: expected",
                1,
            ),
            (
                "numbers that are texts",
                lambda f: f.change(
                    sorted(f.folder.glob("metrics/*"))[0], lambda m: m["entries"][0].update(numbers={"a": "x"})
                ),
                "entries.0.numbers.a: expected",
                1,
            ),
            (
                "a check under another key",
                lambda f: f.change(sorted(f.folder.glob("checks/*"))[0], lambda c: c.update(key=NOBODY)),
                "a finding on a cell in study.json",
                1,
            ),
            (
                "a check of another cell",
                lambda f: (f.folder / "checks" / f"{NOBODY}.json").write_bytes(seal({"key": NOBODY})),
                "a finding on a cell in study.json",
                1,
            ),
        )
    ),
    *(
        Lie("links, pipes, devices, files", name, forge, told, 1, False)
        for name, forge, told in (
            (
                "a record that is a link",
                in_place(lambda p: p.symlink_to(p.parents[2] / "elsewhere"), "records"),
                "no regular file",
            ),
            (
                "a mask that is a link",
                in_place(lambda p: p.symlink_to(p.parents[2] / "elsewhere"), "masks"),
                "no regular file",
            ),
            (
                "a criterion that is a link to the system's",
                in_place(lambda p: p.symlink_to("/etc/passwd"), "criteria"),
                "no regular file",
            ),
            ("a pipe", in_place(os.mkfifo, "records"), "no regular file"),
            ("a device", in_place(lambda p: p.symlink_to("/dev/zero"), "records"), "no regular file"),
            ("a folder in place of a record", in_place(Path.mkdir, "records"), "no regular file"),
            ("a folder that is a link", moved, "receipts: expected a folder"),
            (
                "a file in place of a folder",
                lambda f: (shutil.rmtree(f.folder / "checks"), (f.folder / "checks").write_text("x")),
                "checks: expected a folder",
            ),
            ("a file of a tebibyte", lambda f: os.truncate(f.record(), 2**40), "1099511627776 bytes, more than"),
            ("an empty record", lambda f: os.truncate(f.record(), 0), "do not match their SHA-256"),
            ("a hidden file", beside(".hidden"), ".hidden: expected nothing but"),
            ("an archive", beside("results.tar.gz"), "results.tar.gz: expected nothing but"),
            ("a pickle", beside("data.pkl", b"\x80\x04cos\nsystem\n(S'false'\ntR."), "data.pkl: expected nothing but"),
            ("a claim that was left", beside("claims/x.json"), "claims: expected nothing but"),
            ("a checkpoint that was left", beside("checkpoints/x.pt"), "checkpoints: expected nothing but"),
            ("a log that was left", beside("logs/x.log"), "logs: expected nothing but"),
            (
                "a verification of its own",
                beside("verification.json", seal({"passed": 4})),
                "verification.json: expected nothing but",
            ),
            (
                "a verification among records",
                beside(f"records/{NOBODY}.txt", seal({"passed": 4})),
                "expected names like",
            ),
            (
                "a file that is not listed",
                beside(f"checks/{NOBODY}.json", seal({"key": NOBODY})),
                "only files that submission.json lists",
            ),
            (
                "a listed file that is not there",
                listed(lambda s: s["files"].update({f"checks/{NOBODY}.json": {"sha256": NOBODY, "bytes": 1}})),
                "the file that submission.json lists",
            ),
            (
                "a list that points out of the folder",
                listed(lambda s: s["files"].update({"../../etc/passwd": {"sha256": NOBODY, "bytes": 1}})),
                "../../etc/passwd: expected the file that",
            ),
            (
                "a list of an absolute path",
                listed(lambda s: s["files"].update({"/etc/passwd": {"sha256": NOBODY, "bytes": 1}})),
                "/etc/passwd: expected the file that",
            ),
            (
                "no list of files, but another word",
                listed(lambda s: s.update(files=[])),
                "files: expected Input should be a valid dictionary",
            ),
        )
    ),
    *(
        Lie("names", name, forge, told, 1)
        for name, forge, told in (
            (
                "a criterion of another alphabet",
                record(lambda r: r["labels"].update(criterion="snıp")),
                "labels: expected",
            ),
            (
                "a label with escapes",
                record(lambda r: r["labels"].update(criterion="\x1b[2Jbest\n")),
                "labels: expected",
            ),
            ("a label of a dataset", record(lambda r: r["labels"].update(dataset="cifar10")), "labels: expected"),
            ("a label more", record(lambda r: r["labels"].update(ablation="shuffle")), "labels: expected"),
            ("a record with a name of 63 digits", lambda f: renamed(f, f"{'0' * 63}.json"), "expected names like"),
            ("a record with a name in capitals", lambda f: renamed(f, f"{'A' * 64}.json"), "expected names like"),
            ("a name with a line break", lambda f: renamed(f, f"{'0' * 63}\n.json"), "expected names like"),
            ("a criterion's file with a blank", beside("criteria/a b.py", b"x=1"), "expected names like"),
            ("a criterion's file with a dot", beside("criteria/.steep.py", b"x=1"), "expected names like"),
            ("full-width digits", lambda f: renamed(f, f"{'0' * 63}\uff10.json"), "expected names like"),
        )
    ),
    *(
        Lie("encodings and JSON", name, forge, told, 1, False)
        for name, forge, told in (
            ("not a number", raw(b'{"key":NaN}'), "not strict JSON: NaN is not a number"),
            ("an infinity", raw(b'{"key":-Infinity}'), "not strict JSON"),
            ("a number beyond all", raw(b'{"key":1e999}'), "not strict JSON"),
            ("a key twice", added(lambda b: b[:-1] + b',"status":"ok"}'), "not strict JSON: key 'status' twice"),
            (
                "a key twice by an escape",
                added(lambda b: b[:-1] + b',"\\u0073tatus":"ok"}'),
                "not strict JSON: key 'status' twice",
            ),
            ("200,000 levels", raw(b"[" * 200_000), "nested deeper than 32 levels"),
            ("5,000 digits", raw(b'{"key":' + b"9" * 5000 + b"}"), "not strict JSON"),
            ("latin-1", raw(b'{"key":"\xff"}'), "not strict JSON"),
            ("UTF-16", raw('{"key":1}'.encode("utf-16")), "not strict JSON"),
            ("a byte order mark", raw(b'\xef\xbb\xbf{"key":1}'), "not strict JSON"),
            ("half a surrogate pair", record(lambda r: r["labels"].update(model="\ud800")), "records/"),
            ("two documents", raw(b"{} {}"), "not strict JSON"),
            ("a list", raw(b"[]"), "holds a list, not a record"),
            ("nothing", raw(b"null"), "holds a NoneType, not a record"),
            ("a comment", raw(b'{"key":1} // fine'), "not strict JSON"),
            ("a comma too many", raw(b'{"key":1,}'), "not strict JSON"),
            ("a number with a leading zero", raw(b'{"key":01}'), "not strict JSON"),
            ("300,000 values", raw(b"[" + b"1," * 300_000 + b"1]"), "more than 250,000 values"),
            (
                "an envelope with a blank",
                lambda f: f.record().write_bytes(f.record().read_bytes().replace(b'","record"', b'", "record"')),
                "do not match their SHA-256",
            ),
            (
                "an envelope with a second line",
                lambda f: f.record().write_bytes(f.record().read_bytes() * 2),
                "do not match their SHA-256",
            ),
        )
    ),
    *(
        Lie("dates", name, forge, told, 1)
        for name, forge, told in (
            (
                "a word",
                record(lambda r: r.update(created="yesterday")),
                "created: expected String should match pattern",
            ),
            (
                "another zone",
                record(lambda r: r.update(created="2026-01-01T00:00:00+09:00")),
                "created: expected String should match pattern",
            ),
            ("a number", record(lambda r: r.update(created=1)), "created: expected Input should be a valid string"),
            ("none", record(lambda r: r.pop("created")), "created: expected Field required"),
            (
                "a month that there is not",
                record(lambda r: r.update(created="2026-13-45T99:99:99Z")),
                "created: expected",
            ),
        )
    ),
]
