"""How the comparison was run: the reviewer's questions about recipes, software, pairing, failures and what is kept."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pandas as pd

from pabench.report.frame import pruned
from pabench.report.study import Study
from pabench.store.record import ENVIRONMENT
from pabench.store.verdict import DEAD, LAYER_COLLAPSE, tally
from pabench.suite.ablations import INAPPLICABLE
from pabench.suite.cell import PROTOCOL
from pabench.suite.digest import canonical
from pabench.suite.specs import AUTO
from pabench.words import count, environment_text, plain, tallied

from .answer import BLALOCK, BOTH, OWN, Answer, answer
from .protocol import pairing

VERSIONS = [name for name in ENVIRONMENT if name != "device"]
"""Hardware is asked for by a question of its own."""


def answers(study: Study) -> Iterator[Answer]:
    """In the order a reviewer would ask."""
    yield _recipes(study)
    yield _versions(study)
    yield _hardware(study)
    yield _pairing(study)
    yield _fixed_epoch(study)
    yield _untuned(study)
    yield _finished(study)
    yield _collapse(study)
    yield _alive(study)
    yield _rankings(study)
    yield _declined(study)
    yield _sources(study)
    yield _precision(study)
    yield _masks(study)
    yield _strays(study)


def _environments(study: Study) -> list[Mapping[str, Any]]:
    """Those of expected cells."""
    return [study.told[key].environment for key in study.frame["key"] if key in study.told]


def _texts(study: Study, text: Callable[[Mapping[str, Any]], str]) -> list[str]:
    """What each of them is told as; many cells share one object."""
    every = _environments(study)
    known = {place: text(one) for place, one in {id(one): one for one in every}.items()}
    return [known[id(one)] for one in every]


def _recipes(study: Study) -> Answer:
    question = "Are all criteria of a dataset trained by one recipe, on the same images?"
    recipes, images = defaultdict(set), defaultdict(set)
    for cell in study.kinds:
        dataset = cell["dataset"]["name"], canonical(cell["dataset"].get("args") or {})
        recipes[dataset].add(canonical(cell["recipe"]))
        images[dataset].add(cell["dataset"].get("fingerprint", ""))
    most, several = (max(map(len, found.values()), default=0) for found in (recipes, images))
    unknown = any("" in found for found in images.values())
    told = "images without a fingerprint" if unknown else "images by their SHA-256"
    told = told if several < 2 else f"{several} sets of images under one name" + (", one unknown" if unknown else "")
    text = "one recipe for each dataset" if most == 1 else f"up to {count(most, 'recipe')} for one dataset"
    return answer(question, BLALOCK, f"{text}; {told}", most == several == 1 and not unknown)


def _versions(study: Study) -> Answer:
    question = "Are all cells computed by the same libraries?"
    return _one_of(question, BLALOCK, _texts(study, partial(environment_text, VERSIONS)))


def _hardware(study: Study) -> Answer:
    question = "Are all cells computed on the same kind of hardware, with as many threads?"
    return _one_of(question, BLALOCK, _texts(study, _machine))


def _machine(environment: Mapping[str, Any]) -> str:
    """A device, and of a CPU with how many threads a cell was computed: they decide how sums are rounded."""
    device, threads = plain(environment.get("device", "unknown")), environment.get("threads")
    return f"{device}, {count(threads, 'thread')}" if device.startswith("cpu") and isinstance(threads, int) else device


def _one_of(question: str, source: str, values: list[str]) -> Answer:
    listed = tallied(values)
    if not listed:
        return answer(question, source, "no cell has been run", None)
    return answer(question, source, "; ".join(listed), len(listed) == 1)


def _pairing(study: Study) -> Answer:
    question = "Do criteria start from the same weights and see the same data in the same order?"
    found = pairing(study)
    if not found or not any(part.blocks for part in found):
        return answer(question, BLALOCK, "no record to compare", None)
    text = "; ".join(f"{part.what} {part.equal} of {part.blocks}" for part in found)
    return answer(question, BLALOCK, f"equal by their hashes: {text}", all(part.equal == part.blocks for part in found))


def _fixed_epoch(study: Study) -> Answer:
    question = "Is the accuracy read at an epoch that test data had no part in choosing?"
    protocols = sorted({plain(cell["protocol"]) for cell in study.kinds})
    known = protocols == [PROTOCOL]
    text = f"protocol {', '.join(protocols)}" + (": test data are read once, after the last epoch" if known else "")
    return answer(question, BOTH, text, known)


def _untuned(study: Study) -> Answer:
    """Several versions of one criterion: to quote the best of them is to choose on test data."""
    question = "Is no parameter chosen on test data?"
    labels = defaultdict(set)
    for cell in study.kinds:
        if cell["criterion"]:
            name = cell["criterion"]["name"]
            labels[name.partition("@")[0]].add(canonical([name, cell["criterion"].get("args") or {}]))
    several = {name: len(found) for name, found in labels.items() if len(found) > 1}
    if not labels:
        return answer(question, BOTH, "no criterion", None)
    if several:
        listed = ", ".join(f"{plain(name)} in {n} settings" for name, n in sorted(several.items()))
        return answer(question, BOTH, f"{listed}: quoting the best of them chooses on test data", False)
    text = (
        "each criterion has one setting, fixed in the suite; how recipe and settings were found is not in the records"
    )
    return answer(question, BOTH, text, True)


def _finished(study: Study) -> Answer:
    question = "Is every planned cell finished, and none left out?"
    frame = study.frame
    fine = (frame["status"] == "ok") | (frame["kind"] == INAPPLICABLE)
    left = Counter(f"{status} {kind}".strip() for status, kind in frame.loc[~fine, ["status", "kind"]].to_numpy())
    listed = "".join(f"; {n} {plain(what)}" for what, n in sorted(left.items()))
    return answer(question, OWN, f"{int(fine.sum())} of {count(len(frame), 'cell')}{listed}", bool(fine.all()))


def _collapse(study: Study) -> Answer:
    question = "Does every mask leave weights in every layer (no layer collapse)?"
    return _flagged(pruned(study.frame), question, {LAYER_COLLAPSE})


def _alive(study: Study) -> Answer:
    question = "Does every trained network tell images apart (none gives all of them the same logits)?"
    return _flagged(study.frame, question, {DEAD})


def _rankings(study: Study) -> Answer:
    question = "Does every criterion rank weights (no ties at random, no zero or infinite scores)?"
    return _flagged(pruned(study.frame), question, {"degenerate", "tied", "non-finite", "doubtful"})


def _finished_masks(frame: pd.DataFrame) -> pd.DataFrame:
    return pruned(frame[frame["status"] == "ok"])


def _flagged(frame: pd.DataFrame, question: str, flags: set[str]) -> Answer:
    """Of all cells, as the overview and `pabench status` count them: ablations, too, and those refused for a flag."""
    cells = frame[(frame["status"] == "ok") | frame["flags"].map(bool)]
    if pruned(cells).empty:
        return answer(question, OWN, "no pruned cell is finished", None)
    asked = cells.assign(flags=[flags & set(found) for found in cells["flags"]])
    groups = asked.groupby(["criterion", "sparsity", "ablation"], sort=False)["flags"]
    hit = {_where(*named): found.cells for named, each in groups if (found := tally(each))}
    noun = "finished cell" if (cells["status"] == "ok").all() else "finished or refused cell"
    text = f"{sum(hit.values())} of {count(len(cells), noun)} flagged"
    text += f": {'; '.join(f'{what} ({n})' for what, n in sorted(hit.items()))}" if hit else ""
    return answer(question, OWN, text, not hit)


def _where(criterion: str, sparsity: float, ablation: str) -> str:
    return f"{criterion}{f' / {ablation}' if ablation else ''} at {sparsity * 100:g} %"


def _declined(study: Study) -> Answer:
    question = "Can every criterion score every model (the doctor's findings before training)?"
    frame = study.plain
    skipped = frame[(frame["status"] == "skipped") & (frame["kind"] != INAPPLICABLE)]
    if study.records and skipped.empty:
        return answer(question, OWN, "no cell was declined", True)
    if skipped.empty:
        return answer(question, OWN, "no cell has been run", None)
    groups = skipped.groupby(["criterion", "model", "kind"], sort=False).size()
    listed = "; ".join(f"{c} on {m}: {kind} ({n})" for (c, m, kind), n in groups.items())
    return answer(question, OWN, f"{count(len(skipped), 'cell')} skipped: {listed}", False)


def _sources(study: Study) -> Answer:
    question = "Is each criterion's code the same in all its cells, and named by its hash?"
    rows = _finished_masks(study.frame)
    if rows.empty:
        return answer(question, OWN, "no pruned cell is finished", None)
    sources = rows.groupby("criterion", sort=False)["source"].unique()
    mixed = {name: len(found) for name, found in sources.items() if len(found) > 1}
    unknown = int((rows["source"] == "").sum())
    listed = "; ".join(f"{name}: {n} versions of its source file" for name, n in mixed.items())
    nameless = f"{count(unknown, 'cell')} without a hash of the source" if unknown else ""
    text = "; ".join(filter(None, (listed, nameless))) or f"{len(sources)} by the SHA-256 of their source"
    return answer(question, OWN, text, not mixed and not unknown)


def _precision(study: Study) -> Answer:
    question = "Is one floating-point precision used for scoring, or what each criterion needs, and one for training?"
    scoring = {plain(x) for x in study.frame["dtype"] if x}
    training = set(_texts(study, lambda one: plain(one.get("precision") or ""))) - {""}
    if not scoring and not training:
        return answer(question, OWN, "no cell has been run", None)
    told = [", ".join(sorted(found)) or "no recorded precision" for found in (scoring, training)]
    needed = all(cell.scoring.asked == AUTO for cell in study.cells.values())
    each = ", as each criterion needs" if needed and len(scoring) > 1 else ""
    text = f"scoring in {told[0]}{each}; training in {told[1]}"
    return answer(question, OWN, text, (needed or len(scoring) <= 1) and len(training) == 1)


def _masks(study: Study) -> Answer:
    question = "Does every pruned cell name its mask by a hash, so that anybody can check it?"
    rows = _finished_masks(study.frame)
    masked = [told for told in map(study.told.__getitem__, rows["key"]) if told.network is None]
    if not masked:
        return answer(question, OWN, "no pruned cell is finished", None)
    named = sum(bool(told.mask) for told in masked)
    text = f"{named} of {count(len(masked), 'finished cell')} name theirs by its SHA-256"
    return answer(question, OWN, text, named == len(masked))


def _strays(study: Study) -> Answer:
    question = "Is no result left out of the study's folder?"
    text = f"{count(len(study.strays), 'record')} of cells that the study does not expect"
    return answer(question, OWN, text, not study.strays)
