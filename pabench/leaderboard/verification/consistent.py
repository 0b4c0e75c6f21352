"""Level 2: a submission agrees with itself. What follows from masks, cells and receipts is derived, and compared."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from pabench.errors import DataError
from pabench.leaderboard.aggregates import aggregates, difference
from pabench.leaderboard.verification import criteria
from pabench.leaderboard.verification.criteria import flagged, listed
from pabench.leaderboard.verification.folder import AGGREGATES, STUDY, Flaw, MaskFacts, content
from pabench.leaderboard.verification.wellformed import Wellformed
from pabench.source import code_digest, declared, is_built_in, is_built_in_file
from pabench.store import maskbits
from pabench.store.imagebits import unpacked
from pabench.store.quality import R2
from pabench.store.record import OF_NETWORK, PARTS, STATISTICS
from pabench.store.verdict import DEAD, OF_BANK, UNDERIVED, dead, flags
from pabench.suite.ablations import IN_BATCH, alike
from pabench.suite.cell import Cell
from pabench.suite.digest import digest

LEVEL = 2
Wrong = tuple[str, Any, Any]
"""(field, what was expected, what is there)."""
APART = (*STATISTICS, "mask")
"""Entries of a receipt that its mask file does not repeat."""
COUNTS = ("zero_scores", "non_finite_scores", "tied_at_threshold", "kept_of_tied", "rounds")
QUANTILES = ("0", "0.25", "0.5", "0.75", "1")
TIMED = ("training_seconds", "evaluation_seconds", "wall_seconds")
SCORED = ("", "invert", *IN_BATCH)
"""Ablations that are scored themselves; the others have their parent's scores, and no time of their own for them."""
ROUNDING = 1e-6
"""Of the dense FLOPs, whose layers' densities were float32 numbers; of seconds, which were added in another order."""
EXACT = 1e-12
"""Between a sparsity, an accuracy or chance and the quotient it is: both are float64."""
FILE = "the receipt's file"


def check(found: Wellformed) -> list[Flaw]:
    """Everything that level 2 finds in what level 1 left valid."""
    flaws = [Flaw.of(LEVEL, cell, *wrong) for cell, record in found.finished for wrong in _record(found, cell, record)]
    for part in (criteria.check, _same, _paired, _named, _sources, _aggregates):
        flaws += part(found)
    return flaws


def _differing(at: str, expected: Mapping[str, Any], there: Mapping[str, Any], whose: str) -> Iterator[Wrong]:
    """What is there and not as expected, among the entries that are expected."""
    for name, value in expected.items():
        if there.get(name) != value:
            yield f"{at}.{name}", f"{value} ({whose})", there.get(name)


# --- a record ---------------------------------------------------------------------------------------------------------


def _record(found: Wellformed, cell: Cell, record: Mapping[str, Any]) -> Iterator[Wrong]:
    """A finished record against its cell, the file of its pruning and its mask, as far as it has them."""
    result, receipt = record["result"], record["receipt"]
    yield from _training(cell, result, receipt)
    yield from _tested(result)
    yield from _seconds(cell, record)
    yield from _images(cell, record["cost"].get("scoring_images"))
    yield from _hashed(record)
    yield from _dead(cell, record)
    yield from _layers(result["flops"], receipt)
    yield from _trained_mask(found, cell, record)
    if cell.criterion is None:
        if receipt is not None:
            yield "receipt", "none, the cell is dense", "a receipt"
    elif receipt is None:
        yield "receipt", "a receipt", "none"
    else:
        yield from _pruned(found, cell, record)


def _training(cell: Cell, result: Mapping[str, Any], receipt: Mapping[str, Any] | None) -> Iterator[Wrong]:
    # equal counts of images may differ in the last digit
    if R2.name not in result and result["top5"] + 1e-9 < result["top1"]:
        yield "result.top5", f"at least top-1, {result['top1']}", result["top5"]
    trains = cell.criterion is not None and cell.criterion.trains  # level 3 asks its class whether it resumes
    epochs = cell.recipe.epochs - ((receipt or {}).get("resumes_at") or 0 if trains else 0)
    for name, values in result["curve"].items():
        if len(values) != epochs:
            yield f"result.curve.{name}", f"{epochs} epochs", f"{len(values)} values"


def _tested(result: Mapping[str, Any]) -> Iterator[Wrong]:
    """Top-1 is the share of test images that are right, and chance that of a guess; an older record says neither."""
    test: Mapping[str, Any] = result.get("test") or {}
    named, right = result.get("compared_by"), result.get("right")
    if R2.name in result:
        if named and named["chance"] != 0:
            yield "result.compared_by.chance", "0, the R² of the targets' mean", named["chance"]
        return
    if named and (not test or abs(named["chance"] - 100 / test["classes"]) > EXACT):
        expected = f"100 / {test['classes']} classes" if test else "a test set that it follows from"
        yield "result.compared_by.chance", expected, named["chance"]
    if (right is None) is not (test.get("sha256") is None):
        yield "result", "which test images, and which of them are right", "one of the two"
    elif right is not None:
        yield from _counted_right(result["top1"], right, test["images"])


def _counted_right(top1: float, right: str, images: int) -> Iterator[Wrong]:
    try:
        count = int(unpacked(right, images).sum())
    except DataError as error:
        yield "result.right", f"a bit for each of {images} test images", error
        return
    if abs(100 * count / images - top1) > EXACT:
        yield "result.top1", f"100 * {count} / {images} (counted in result.right)", top1


def _seconds(cell: Cell, record: Mapping[str, Any]) -> Iterator[Wrong]:
    """Seconds that were measured, the parts within the whole."""
    cost = record["cost"]
    masked = cell.criterion is not None and "model" not in (record["receipt"] or {})
    timed = (*TIMED, "scoring_seconds") if masked and cell.ablation in SCORED else TIMED
    for name in timed:
        if not cost.get(name):
            yield f"cost.{name}", "more than 0", cost.get(name)
    trained, resumed = cost.get("training_seconds") or 0, cost.get("resumed_seconds") or 0
    if resumed > trained:
        yield "cost.resumed_seconds", f"at most {trained:g}, the training", resumed
    # earlier processes spent the rest
    parts = trained - resumed + (cost.get("evaluation_seconds") or 0)
    if (cost.get("wall_seconds") or parts) < parts * (1 - ROUNDING):
        yield "cost.wall_seconds", f"at least {parts:g}, training and evaluation in it", cost["wall_seconds"]


def _images(cell: Cell, images: int | None) -> Iterator[Wrong]:
    """As many images were scored as the criterion asks for; an older record does not say."""
    if cell.criterion is None or images is None:
        return
    each = cell.criterion.args.get("examples_per_class", 0)
    if not each and images:
        yield "cost.scoring_images", "0, the criterion has no scoring batch", images
    elif each and (not images or images % each):
        yield "cost.scoring_images", f"a multiple of {each} images a class", images


def _hashed(record: Mapping[str, Any]) -> Iterator[Wrong]:
    """Another network than the block's has other weights by design."""
    hashed = [part for part in PARTS if part != "weights" or "model" not in (record["receipt"] or {})]
    if lacking := [part for part in hashed if not record["pairing"].get(part)]:
        yield "pairing", f"hashes of {', '.join(hashed)}", f"no {', '.join(lacking)}"


def _dead(cell: Cell, record: Mapping[str, Any]) -> Iterator[Wrong]:
    """The flag of a dead network, if its logits earn it; an older record says nothing of them."""
    earned = {flag["flag"] for flag in dead(record.get("logits"), cell.recipe.precision)}
    there = flagged(record) & {DEAD}
    if earned != there:
        yield "flags", f"{listed(earned)} (from its logits)", listed(there)


def _layers(flops: Mapping[str, Any], receipt: Mapping[str, Any] | None) -> Iterator[Wrong]:
    """Dense FLOPs of a layer are two for each weight and position that it is applied at, and no more than all."""
    layers = flops.get("layers") or {}
    sizes = {layer["name"]: layer["total"] for layer in (receipt or {}).get("layers", [])}
    for name, taken in layers.items():
        if name not in sizes or taken % (2 * max(1, sizes[name])):
            yield f"result.flops.layers.{name}", f"a multiple of 2 * {sizes.get(name, 0)} weights", taken
    if sum(layers.values()) > flops["dense"]:
        yield "result.flops.layers", "layers that add up to no more than dense", "more"


def _trained_mask(found: Wellformed, cell: Cell, record: Mapping[str, Any]) -> Iterator[Wrong]:
    """What a training that is not plain says of the mask that it ended with: as many weights as at the beginning, of
    each layer where none may move between layers, and the very same where the method moves none."""
    told = record.get("trained_mask")
    if cell.train.is_plain or told is None:
        if (told is None) is not cell.train.is_plain:
            expected = "none, the training is plain" if cell.train.is_plain else "the mask at the end of training"
            yield "trained_mask", expected, "one" if told else "none"
        return
    receipt = record["receipt"] or {"kept": 0, "layers": []}
    before = {layer["name"]: layer["kept"] for layer in receipt["layers"]}
    if told["kept"] != receipt["kept"] or sum(told["layers"].values()) != receipt["kept"]:
        yield "trained_mask.kept", f"{receipt['kept']}, as before training", told["kept"]
    moves = "layers" in cell.train.args
    if told["layers"].keys() != before.keys() or (cell.train.args.get("layers") != "free" and told["layers"] != before):
        yield "trained_mask.layers", "the layers and counts of the mask before training", "others"
    if told["stayed"] > told["kept"] or (not moves and told["stayed"] != told["kept"]):
        most = "at most" if moves else "all of"
        yield "trained_mask.stayed", f"{most} {told['kept']} kept weights", told["stayed"]
    elif told["stayed"] == told["kept"] and receipt.get("mask") in found.foreign.masks:
        bits, _ = maskbits.read(content(found.foreign.folder, f"masks/{receipt['mask']}.safetensors", receipt["mask"]))
        if (same := maskbits.bits_digest(bits)) != told["sha256"]:
            yield "trained_mask.sha256", f"{same}, as before training, since all weights stayed", told["sha256"]


# --- its pruning ------------------------------------------------------------------------------------------------------


def _pruned(found: Wellformed, cell: Cell, record: Mapping[str, Any]) -> Iterator[Wrong]:
    """What a record says of its pruning against all that knows it, too."""
    result, receipt = record["result"], record["receipt"]
    yield from _differing("receipt", _asked(cell, receipt), receipt, "the cell's")
    total, kept = receipt["total"], receipt["kept"]
    if not total or abs(receipt["sparsity"] - (1 - kept / total)) > EXACT:
        yield "receipt.sparsity", f"1 - {kept} / {total}", receipt["sparsity"]
    filed = found.receipts.get(cell.pruning_key)
    if filed is None:
        yield "receipt", f"the file receipts/{cell.pruning_key}.json", "no such file"
    else:
        yield from _filed(cell, record, filed)
    if "model" in receipt:
        yield from criteria.replaced(result, receipt, _to_keep(cell, total))
        return
    mask = found.foreign.masks.get(receipt.get("mask") or "")
    if mask is None:
        yield "receipt.mask", "a mask file", f"no masks/{str(receipt.get('mask'))[:64]}.safetensors"
        return
    yield from _counted(cell, receipt, mask)
    yield from _sizes(result, mask)
    if uncounted := [name for name in COUNTS if name not in receipt]:
        yield f"receipt.{uncounted[0]}", "a count", "none"
        return
    yield from _scores(receipt)
    if total:
        yield from _flags(record)


def _asked(cell: Cell, receipt: Mapping[str, Any]) -> dict[str, Any]:
    """What a receipt repeats of the cell that it was made for."""
    assert cell.criterion is not None
    name, _, variant = cell.criterion.name.partition("@")
    asked = {
        "criterion": name,
        "variant": variant,
        "version": cell.criterion.version,
        "source": cell.criterion.source,
        "requested_sparsity": cell.sparsity,
        "parameters": dict(cell.criterion.args),
    }
    return asked if "model" in receipt else {**asked, "dtype": cell.scoring.dtype}


def _filed(cell: Cell, record: Mapping[str, Any], filed: Mapping[str, Any]) -> Iterator[Wrong]:
    """The record against the file of its pruning, of which a re-drawn network has only the mask."""
    receipt, redrawn = record["receipt"], cell.ablation == "reinit"
    expected = {**dict.fromkeys(receipt), **(filed["receipt"] or {})}
    if redrawn:
        expected.pop("gradient_norm", None)
    yield from _differing("receipt", expected, receipt, FILE)
    if [flag for flag in record["flags"] if flag["flag"] not in (OF_BANK, DEAD)] != filed["flags"]:
        yield "flags", f"{listed(flagged(filed))} ({FILE})", listed(flagged(record))
    if not redrawn:
        yield from _differing("cost", filed["cost"], record["cost"], FILE)
    if not redrawn and "model" not in receipt:
        yield from _differing("pairing", filed["pairing"], record["pairing"], FILE)


def _counted(cell: Cell, receipt: Mapping[str, Any], mask: MaskFacts) -> Iterator[Wrong]:
    """Counts from the mask's bits, and the receipt in its header."""
    stated = [{name: layer[name] for name in ("name", "shape", "total", "kept")} for layer in receipt["layers"]]
    for one, other in zip_longest(mask.layers, stated):
        if one != other:
            yield "receipt.layers", f"{_layer(one)} (counted in the mask)", _layer(other)
    total, kept = (sum(layer[count] for layer in mask.layers) for count in ("total", "kept"))
    dead = [layer["name"] for layer in mask.layers if not layer["kept"]]
    expected = {"kept": kept, "total": total, "dead_layers": dead}
    yield from _differing("receipt", expected, receipt, "counted in the mask")
    yield from _kept(cell, receipt, kept, _to_keep(cell, total))
    if mask.unformed and cell.ablation != "shuffle":  # which moves weights within layers, out of any form
        pattern = _pattern(cell)
        yield "receipt.mask", f"a mask of the pattern {pattern}", f"none in {', '.join(mask.unformed[:3])}"
    unsaid = {*OF_NETWORK} - {*mask.receipt}
    header = {name: value for name, value in receipt.items() if name not in APART and name not in unsaid}
    yield from _differing("receipt", {**dict.fromkeys(header), **mask.receipt}, header, "the mask file's")


def _kept(cell: Cell, receipt: Mapping[str, Any], kept: int, asked: int) -> Iterator[Wrong]:
    """The count, exact but for whole channels, of which as many stay as fit into what was asked for."""
    if _pattern(cell) != "channels":
        if kept != asked:
            yield "receipt.kept", f"{asked}, which is N - floor(sparsity * N)", kept
        return
    if receipt.get("requested") != asked:
        yield "receipt.requested", f"{asked}, which is N - floor(sparsity * N)", receipt.get("requested")
    if not 0 < kept <= asked:
        yield "receipt.kept", f"whole channels of at most {asked} weights", kept


def _pattern(cell: Cell) -> str:
    return str(cell.criterion.args.get("pattern", "")) if cell.criterion else ""


def _layer(layer: Mapping[str, Any] | None) -> str:
    return "{name} {shape}: {kept} of {total} kept".format(**layer) if layer else "no layer"


def _to_keep(cell: Cell, total: int) -> int:
    """How many of so many prunable weights are kept."""
    # 0.29 * 100 is 28.999999999999996: rounded first, as where masks are made (`pabench.scoring.selection`)
    return total - math.floor(round(cell.sparsity * total, 6))


def _sizes(result: Mapping[str, Any], mask: MaskFacts) -> Iterator[Wrong]:
    """Parameters and FLOPs from the mask's counts."""
    left = result["parameters"]["dense"] - sum(layer["total"] - layer["kept"] for layer in mask.layers)
    yield from _differing("result.parameters", {"pruned": left}, result["parameters"], "from the mask")
    flops = result["flops"]
    if flops.get("layers") is None:
        return
    removed = {layer["name"]: 1 - layer["kept"] / layer["total"] for layer in mask.layers if layer["total"]}
    saved = sum(dense * removed.get(name, 0.0) for name, dense in flops["layers"].items())
    if abs(flops["dense"] - saved - flops["pruned"]) > ROUNDING * flops["dense"] + 1:  # a whole number is written
        yield "result.flops.pruned", f"{flops['dense'] - saved:.0f} (from the mask)", flops["pruned"]


def _scores(receipt: Mapping[str, Any]) -> Iterator[Wrong]:
    """Counts of scores and of ties that fit each other and the number of weights."""
    total, kept, zeros, tied = (receipt[name] for name in ("total", "kept", "zero_scores", "tied_at_threshold"))
    finite, both = total - receipt["non_finite_scores"], min(tied, kept)
    of_layers = [(layer["name"], layer.get("zero_scores", 0), layer["total"]) for layer in receipt["layers"]]
    summed = sum(of_layer for _, of_layer, _ in of_layers)
    if zeros != summed:
        yield "receipt.zero_scores", f"{summed} (the sum of its layers)", zeros
    for name, of_layer, most in of_layers:
        if of_layer > most:
            yield "receipt.layers", f"{name}: at most {most} scores of 0", of_layer
    if zeros > finite:
        yield "receipt.zero_scores", f"at most {finite} finite scores", zeros
    if not receipt["kept_of_tied"] <= both <= tied <= total:
        yield "receipt.kept_of_tied", f"at most {both} tied and kept weights", receipt["kept_of_tied"]
    if not receipt["rounds"]:
        yield "receipt.rounds", "at least 1", 0
    bins = receipt.get("score_histogram")
    if bins and (sum(bins["positive"]) + sum(bins["negative"]) + bins["zero"], bins["zero"]) != (finite, zeros):
        yield "receipt.score_histogram", f"{finite} finite scores, {zeros} of them 0", "other sums"
    values = [receipt["scores"][q] for q in QUANTILES if q in receipt.get("scores", {})]
    if values != sorted(values):
        yield "receipt.scores", "quantiles in ascending order", values


def _flags(record: Mapping[str, Any]) -> Iterator[Wrong]:
    """The flags that a receipt's numbers earn, no more and no less."""
    receipt = record["receipt"]
    earned = {flag["flag"] for flag in flags(receipt)}
    shuffle = receipt.get("shuffle")
    if isinstance(shuffle, Mapping) and not shuffle.get("layers_changed"):
        earned.add("unchanged")
    there = flagged(record) - {*UNDERIVED, DEAD}
    if earned != there:
        yield "flags", f"{listed(earned)} (from the receipt's numbers)", listed(there)


# --- records of one another -------------------------------------------------------------------------------------------


def _same(found: Wellformed) -> Iterator[Flaw]:
    """What is of a dense network or of the test set is the same in all cells of a dataset and model."""
    seen: dict[tuple[str, str], tuple[str, Any]] = {}
    for cell, record in found.finished:
        place = digest([cell.dataset.identity(), cell.model.identity()])
        for field, value in _of_network(record).items():
            first, expected = seen.setdefault((place, field), (cell.title, value))
            if value != expected:
                yield Flaw.of(LEVEL, cell, field, f"{expected} (as {first})", value)


def _of_network(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a finished record says of the network before it was pruned, and of the images that it was tested on."""
    result = record["result"]
    facts = {f"result.{name}.dense": result[name]["dense"] for name in ("parameters", "flops")}
    if result["flops"].get("layers"):
        facts["result.flops.layers"] = result["flops"]["layers"]
    if (result.get("test") or {}).get("sha256"):
        facts["result.test"] = result["test"]
    if record["receipt"]:
        facts["receipt.total"] = record["receipt"]["total"]
    return facts


def _paired(found: Wellformed) -> Iterator[Flaw]:
    """The cells of a block whose hashes are not those of most of its cells, apart from what an ablation changes."""
    groups: dict[tuple[str, str, str], list[tuple[Cell, str]]] = defaultdict(list)
    for key, record in found.records.items():
        cell = found.cells[key]
        for part, value in record["pairing"].items():
            groups[record["block"], part, alike(cell.ablation, part)].append((cell, value))
    for (block, part, ablation), values in groups.items():
        usual, _ = Counter(value for _, value in values).most_common(1)[0]
        plain = {value for _, value in groups.get((block, part, ""), ())} if ablation else set()
        for cell, value in values:
            if value != usual:
                yield Flaw.of(LEVEL, cell, f"pairing.{part}", f"{usual} (most cells of its block)", value)
            elif value in plain:
                expected = "another hash than the plain cells', which the ablation changes"
                yield Flaw.of(LEVEL, cell, f"pairing.{part}", expected, value)


def _named(found: Wellformed) -> Iterator[Flaw]:
    """Masks of a submission that no receipt of a cell names."""
    outcomes = [*found.records.values(), *found.receipts.values()] if found.foreign.is_submission else []
    named = {(outcome["receipt"] or {}).get("mask") for outcome in outcomes}
    for sha in found.foreign.masks if outcomes else ():
        if sha not in named:
            yield Flaw(LEVEL, f"masks/{sha}.safetensors", f"the mask of a cell of {STUDY}", "one that no receipt names")


def _sources(found: Wellformed) -> Iterator[Flaw]:
    """The files of criteria against what the cells say that they were run with.

    Keys hold what a criterion's code says; only the bytes of a file, ours or the submitted one, prove what that is.
    """
    foreign, files = found.foreign, found.foreign.sources
    used = [(cell, cell.criterion) for cell in found.cells.values() if cell.criterion]
    names = {rule.sha256: rule.name for _, rule in used}
    for sha, path in files.items():
        if sha not in names:
            yield Flaw(LEVEL, path, "the source of a criterion of the study", f"SHA-256 {sha}, which no cell has")
    says = {sha: code_digest(content(foreign.folder, files[sha], sha)) for sha in names if sha in files}
    says |= {known.sha256: known.source for known in declared().values()}
    for cell, rule in used:
        if says.get(rule.sha256, rule.source) != rule.source:
            # taken out: one word on each file is enough
            expected = f"{says.pop(rule.sha256)} (hash of the code of that file)"
            yield Flaw(LEVEL, STUDY, expected, rule.source, f"criteria.{rule.label}.source", cell.title)
    if foreign.is_submission:
        for sha, name in names.items():
            if not is_built_in_file(sha) and not is_built_in(name) and sha not in files:
                yield Flaw(LEVEL, "criteria", f"the file of {name} with SHA-256 {sha}", "no such file")


def _aggregates(found: Wellformed) -> Iterator[Flaw]:
    """Means over seeds, computed again from the records."""
    claimed = found.foreign.documents.get(AGGREGATES)
    if claimed is None:
        if found.foreign.is_submission:
            yield Flaw(LEVEL, AGGREGATES, "means over seeds", "no such file")
        return
    wrong = difference(claimed.get("rows"), aggregates(found.cells.values(), found.records))
    if wrong:
        where, expected, there = wrong
        yield Flaw(LEVEL, AGGREGATES, f"{expected} (computed from the records)", there, where)
