"""What the published studies say: the numbers of the technical note (`paper.md`) and of the page of studies.

The note is the template `paper.md.j2`, which holds words and no result, filled with what is read here from records,
claims, the plan and the tuning. Statistics are those of `pabench.statistics` and `pabench.report`. A study that is not
published is left out, and so is what the note says of it.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from pabench_reports.battery import Judgement, changes, judged

from pabench import registry
from pabench.cli.plugins import reference
from pabench.errors import DataError
from pabench.leaderboard.claims import Claim, Judged, gathered
from pabench.leaderboard.compute import UNKNOWN, Compute, compute, total
from pabench.leaderboard.statements import ACCURACY, CONFIRMED, CONTRADICTED, NOT_SEPARABLE
from pabench.report.conclusion import alike, conclusion
from pabench.report.evidence import VERDICT, footings
from pabench.report.folders import read
from pabench.report.frame import pruned
from pabench.report.study import Study
from pabench.report.trainings import Agreement, agreement
from pabench.statistics.board import board
from pabench.statistics.intervals import CONFIDENCE, DIGITS, LEVEL, Interval, holm, interval_text
from pabench.statistics.outcomes import NO_BETTER, Rate, chance_bound, collapses, failures, seeds_interval
from pabench.statistics.paired import Pair, paired, stratified
from pabench.statistics.power import Comparison, typical_sd, unbiased_sd
from pabench.statistics.spread import ENDS, quantiles, samples
from pabench.store.store import Store
from pabench.suite.cell import DENSE, PROTOCOL, Cell
from pabench.words import FILTERS, NOTHING, listed, percents, signed, span

DOCS = Path(__file__).resolve().parent
PUBLISHED = DOCS.parent / "reports" / "published"
STUDIES = PUBLISHED / "site" / "data" / "v1" / "studies"
PLANTED = PUBLISHED / "planted"
PLAN = PUBLISHED / "plans" / "fashion.txt"
TUNING = PUBLISHED / "tuning.csv"
TEMPLATE = "paper.md.j2"

MAIN = "fashion"
SHUFFLED = "fashion_shuffled"
"""Its criteria beside themselves shuffled within each layer."""
RECIPES = ("fashion_slow", "fashion_long", "fashion_small")
"""The question of the main study under other recipes."""
BESIDE = (*RECIPES, "fashion_lenet_5", "cifar_20k", "cifar_20k_long")
ASKS = {
    MAIN: "Which criterion beats random pruning with ERK layer densities?",
    "fashion_slow": "Is it the same at another learning rate?",
    "fashion_long": "Is it the same after more epochs?",
    "fashion_small": "Is it the same in smaller batches?",
    "fashion_rounds": "Why is iterative SNIP behind SNIP there?",
    SHUFFLED: "Is it the choice of weights, or the layer densities that come with it?",
    "fashion_lenet_5": "Is it the same on a network of convolutions?",
    "cifar_20k": "Is it the same on a residual network and coloured pictures?",
    "cifar_20k_long": "Is it the same there after more epochs?",
    "sanity_cpu": "Does the choice of weights matter, or the layer densities alone?",
}
"""What each published study asks; one without a line stands in the table by its title alone."""
OURS = "ours"
"""The source of a claim that nobody published."""
BASELINE = "random (allocation=erk)"
POWER = 0.8
HOUR = 3600
SPLITS = 60
"""Random splits of seeds that tell how far chance moves an order."""
BAND = [0.05, 0.95]
"""The quantiles of these splits that are told: their middle nine tenths."""
MOST = 100.0
"""Points: no two accuracies are further apart."""


@dataclass(frozen=True)
class Against:
    """A criterion minus the baseline at one sparsity. `p` is Holm's; None where nothing is tested: of reference lines.

    `fell`: of its finished cells those at chance.
    """

    pair: Pair
    p: float | None
    fell: Rate

    @property
    def difference(self) -> Interval:
        return self.pair.interval

    @property
    def verdict(self) -> str:
        """better, worse or ""."""
        if self.p is None or self.p >= LEVEL:
            return ""
        return "better" if self.pair.mean > 0 else "worse"

    def __str__(self) -> str:
        """As a table shows it: in bold where it is told apart, with how many seeds are at chance."""
        if not self.pair.n:
            return NOTHING
        text = interval(self.difference, sign=True)
        bold = f"**{text}**" if self.verdict else text
        return f"{bold} †{self.fell.count}" if self.fell.count else bold


@dataclass(frozen=True)
class Ceiling:
    """At a sparsity masks of these `names` keep at most `kept` of the `weights` of the last layer, for `classes`.

    The output of a class without a weight is the same for every image, so of these one alone can be the answer.
    """

    sparsity: float
    kept: int
    weights: int
    classes: int
    names: list[str]

    @property
    def told(self) -> int:
        """How many classes can be an answer at most."""
        return self.kept + 1

    @property
    def accuracy(self) -> float:
        """The most that can be right, in percent, where classes have as many images each."""
        return 100 * self.told / self.classes


@dataclass(frozen=True)
class Asked:
    """A published study that asked the question: each criterion against the baseline, at each sparsity by itself."""

    study: Study

    @property
    def name(self) -> str:
        return str(self.study.folder.name)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The pruned cells that are no ablation."""
        return stratified(pruned(self.study.plain))

    @cached_property
    def seeds(self) -> list[int]:
        return sorted(int(seed) for seed in self.cells["seed"].unique())

    @cached_property
    def sparsities(self) -> list[float]:
        return sorted(float(sparsity) for sparsity in self.cells["sparsity"].unique())

    @cached_property
    def first(self) -> Cell:
        """A cell of it: all have one recipe, dataset and model."""
        return next(iter(self.study.cells.values()))

    @cached_property
    def criteria(self) -> list[str]:
        """What is compared with the baseline and covered by the correction."""
        names = self.cells.loc[self.cells["reference_line"] == "", "criterion"].unique()
        return [str(name) for name in names if name != BASELINE]

    @cached_property
    def lines(self) -> list[str]:
        """Reference lines, which are shown beside."""
        return [str(name) for name in self.cells.loc[self.cells["reference_line"] != "", "criterion"].unique()]

    @cached_property
    def against(self) -> dict[float, dict[str, Against]]:
        """By sparsity and criterion, reference lines included; Holm's correction is over the criteria of a sparsity."""
        return {sparsity: self._against(sparsity) for sparsity in self.sparsities}

    def _against(self, sparsity: float) -> dict[str, Against]:
        cells = self.at(sparsity)
        found = paired(cells, [(BASELINE, name) for name in (*self.criteria, *self.lines)])
        adjusted = holm([found[BASELINE, name].test.p for name in self.criteria])
        p = dict(zip(self.criteria, adjusted, strict=True))
        by_name = dict(list(cells.groupby("criterion")))
        return {b: Against(pair.turned, p.get(b), collapses(by_name[b])) for (_, b), pair in found.items()}

    def at(self, sparsity: float) -> pd.DataFrame:
        return self.cells[self.cells["sparsity"] == sparsity]

    def mean(self, criterion: str, sparsity: float) -> Interval:
        """Test accuracy over seeds."""
        cells = self.study.plain
        return seeds_interval(cells[(cells["criterion"] == criterion) & (cells["sparsity"] == sparsity)])

    @cached_property
    def dense(self) -> Interval:
        return self.mean(DENSE, 0.0)

    @cached_property
    def fitted(self) -> float:
        """Percent of training images, as they are, that the dense networks get right."""
        return float(self.study.plain.loc[self.study.plain["criterion"] == DENSE, "training_top1"].mean())

    @cached_property
    def spread(self) -> dict[float, float | None]:
        """By sparsity the typical SD over seeds of a difference to the baseline, of pairs without a collapsed cell."""
        found: dict[float, float | None] = {}
        for sparsity, every in self.against.items():
            kept = [every[name].pair for name in self.criteria if not every[name].pair.collapsed]
            found[sparsity] = typical_sd([values for pair in kept for values in pair.strata])
        return found

    @cached_property
    def detectable(self) -> dict[float, float | None]:
        """By sparsity the true difference that the first step of Holm's correction finds with `POWER`; None where it
        is more than two accuracies can be apart."""
        n, alpha = len(self.seeds), LEVEL / len(self.criteria)
        found = {s: Comparison(sd, alpha).detectable(n, POWER) if sd else None for s, sd in self.spread.items()}
        return {s: one if one is not None and one <= MOST else None for s, one in found.items()}

    @property
    def ends(self) -> list[tuple[float, float]]:
        """The sparsities at which the smallest difference can be detected and at which it takes the largest, with
        these differences; empty where none can."""
        known = sorted((found, s) for s, found in self.detectable.items() if found is not None)
        return [(s, found) for found, s in (known[0], known[-1])] if known else []

    @property
    def weights(self) -> int:
        """The prunable weights of its network."""
        return int(self.cells["weights_total"].dropna().iloc[0])

    @property
    def environment(self) -> Mapping[str, Any]:
        return self.study.environments[0]

    def named(self, verdict: str, sparsity: float) -> list[str]:
        """Who is better or worse than the baseline there."""
        return [name for name in self.criteria if self.against[sparsity][name].verdict == verdict]

    @cached_property
    def standing(self) -> dict[str, list[tuple[str, list[float], list[float]]]]:
        """The criteria by what the tests say over all sparsities, each with those at which it is better and worse."""
        found: dict[str, list[tuple[str, list[float], list[float]]]] = {
            kind: [] for kind in ("always", "better", "both", "neither", "worse", "never")
        }
        for name in self.criteria:
            better = [s for s in self.sparsities if self.against[s][name].verdict == "better"]
            worse = [s for s in self.sparsities if self.against[s][name].verdict == "worse"]
            if better and worse:
                kind = "both"
            elif better:
                kind = "always" if len(better) == len(self.sparsities) else "better"
            elif worse:
                kind = "never" if len(worse) == len(self.sparsities) else "worse"
            else:
                kind = "neither"
            found[kind].append((name, better, worse))
        return found

    @cached_property
    def widest(self) -> tuple[str, float, float, float]:
        """The criterion and sparsity whose differences to the baseline are furthest apart, with the least and the
        largest of them, a seed each."""
        every = [(name, s, self.against[s][name].pair.strata) for s in self.sparsities for name in self.criteria]
        ranges = [(name, s, min(map(min, strata)), max(map(max, strata))) for name, s, strata in every if strata]
        return max(ranges, key=lambda one: one[3] - one[2])

    @cached_property
    def fallen(self) -> dict[str, Rate]:
        """By criterion and reference line the pruned cells at chance, of those that have any."""
        rates = {str(name): collapses(rows) for name, rows in self.cells.groupby("criterion", sort=False)}
        return {name: rate for name, rate in rates.items() if rate.count}

    @cached_property
    def emptied(self) -> dict[str, Rate]:
        """By criterion the masks that leave a layer without weights, of those that have any."""
        column = "layer_collapse.dead"
        rows = self.cells[self.cells[column].notna()] if column in self.cells else self.cells.iloc[:0]
        dead = {str(name): of[column] > 0 for name, of in rows.groupby("criterion", sort=False)}
        return {name: Rate(int(of.sum()), len(of)) for name, of in dead.items() if of.any()}

    @cached_property
    def failed(self) -> dict[str, Rate]:
        """By criterion the blocks in which a cell failed by itself, where there are any."""
        rates = {str(name): failures(rows) for name, rows in self.cells.groupby("criterion", sort=False)}
        return {name: rate for name, rate in rates.items() if rate.count}

    @cached_property
    def scoring(self) -> list[tuple[str, float]]:
        """The criteria with the median seconds of making a mask's scores, cheapest first."""
        rows = self.cells[self.cells["reference_line"] == ""]
        return sorted(rows.groupby("criterion")["scoring_seconds"].median().items(), key=lambda one: one[1])

    @cached_property
    def training(self) -> float:
        """Median seconds of a training."""
        return float(self.cells["training_seconds"].median())

    @cached_property
    def finished(self) -> int:
        return int((self.study.frame["status"] == "ok").sum())

    @cached_property
    def spent(self) -> Compute:
        """Hours of processors, for scoring, training and evaluation."""
        return spent(self.study)

    @cached_property
    def seconds(self) -> float:
        """Of one cell's training and evaluation, on average."""
        return float(self.study.frame["wall_seconds"].mean())

    @cached_property
    def apart(self) -> tuple[float, float, float, int]:
        """Quantiles over pairs of the SD of a block's difference (`ENDS`), averaged over sparsities, and the pairs."""
        found = [unbiased_sd(values) for values in samples(self.cells)]
        return (*quantiles(found), len(found))

    @cached_property
    def silent(self) -> dict[float, str]:
        """The sparsities at which it is no evidence about the criteria, and why."""
        found = {}
        for one in footings(self.study):
            if one.against:
                found |= dict.fromkeys(self.sparsities, "; ".join(one.against))
            found |= one.silent
        return found

    @property
    def uncertain(self) -> list[tuple[str, list[float]]]:
        """Verdicts of single sparsities that one correction over all tests of the table would not give."""
        every = [(name, s, self.against[s][name]) for name in self.criteria for s in self.sparsities]
        over_all = holm([one.pair.test.p for _, _, one in every])
        found: dict[str, list[float]] = {}
        for (name, s, one), p in zip(every, over_all, strict=True):
            if one.verdict and (p is None or p >= LEVEL):
                found.setdefault(name, []).append(s)
        return list(found.items())

    def on_paths(self, name: str) -> dict[float, float] | None:
        """By sparsity the share of the kept weights that lie on a path from input to output, in the mean of seeds;
        None where it was not measured."""
        rows = self.cells[self.cells["criterion"] == name]
        if "effective_density.of_kept" not in rows:
            return None
        return {float(s): float(of.mean()) for s, of in rows.groupby("sparsity")["effective_density.of_kept"]}

    @property
    def speaking(self) -> list[float]:
        return [sparsity for sparsity in self.sparsities if sparsity not in self.silent]

    @property
    def planned(self) -> int:
        """How many seeds its suite asks for, 0 where that is not told."""
        return _planned(self.study)

    @property
    def in_order(self) -> bool:
        """Whether its seeds are the first by number, none left out."""
        return self.seeds == list(range(len(self.seeds)))

    @property
    def first_line(self) -> str:
        """The reference line that is named first, "" without one."""
        return self.lines[0] if self.lines else ""

    @cached_property
    def above(self) -> dict[float, list[tuple[str, Interval]]]:
        """The criteria that are above that line in the mean, best first, at each sparsity that has any, each with its
        difference to the line."""
        found: dict[float, list[tuple[str, Interval]]] = {}
        for sparsity in self.sparsities:
            pairs = paired(self.at(sparsity), [(self.first_line, name) for name in self.criteria])
            turned = {name: pair.turned for (_, name), pair in pairs.items()}
            better = [(name, pair.interval) for name, pair in turned.items() if pair.mean > 0]
            if better:
                found[sparsity] = sorted(better, key=lambda one: -one[1].mean)
        return found

    def last(self, name: str) -> str:
        """How many weights of the last layer the masks of a criterion keep at the highest sparsity: the least and the
        most, of how many."""
        rows = self.at(self.sparsities[-1])
        told = [self.study.told[key] for key in rows.loc[rows["criterion"] == name, "key"]]
        return f"{span([one.kept[-1] for one in told])} of {told[0].layers[-1][1]:,}"

    @cached_property
    def ceilings(self) -> list[Ceiling]:
        """Where all masks of a criterion or reference line keep so few weights of the last layer that some classes are
        never the answer."""
        found: dict[tuple[float, int, int, int], list[str]] = {}
        for (sparsity, name), rows in self.cells.groupby(["sparsity", "criterion"], sort=False):
            told = [one for key in rows["key"] if (one := self.study.told.get(key)) and one.kept and one.tested]
            most = max((one.kept[-1] for one in told), default=None)
            if most is not None and most + 1 < (classes := told[0].tested.classes):
                found.setdefault((float(sparsity), most, told[0].layers[-1][1], classes), []).append(str(name))
        return [Ceiling(*where, names) for where, names in sorted(found.items())]

    @cached_property
    def unproven(self) -> int:
        """Parts of blocks whose cells do not prove by their hashes that they share them."""
        return sum(not one.proven for one in self.study.shared)

    def first_group(self, sparsity: float) -> list[str]:
        """The criterion that ranks first there, and those that cannot be told apart from it; none without a rank."""
        made = board(self.at(sparsity))
        return [made.ranked[0].criterion, *alike(made)] if made.ranked else []

    def leaders(self, sparsity: float) -> list[str]:
        """The criteria that share the first rank there."""
        ranked = board(self.at(sparsity)).ranked
        ranks = {one.criterion: round(one.mean_rank or 0.0, DIGITS) for one in ranked}
        return [name for name, rank in ranks.items() if rank == ranks[ranked[0].criterion]]

    def some(self, seeds: Sequence[int], criteria: Sequence[str]) -> Study:
        """These seeds and criteria of it alone, blocks being called by their place among the seeds."""
        frame = self.study.frame
        frame = frame[frame["seed"].isin(seeds) & frame["criterion"].isin([BASELINE, *criteria])]
        places = {seed: str(place) for place, seed in enumerate(seeds)}
        return replace(self.study, frame=frame.assign(block=frame["seed"].map(places)))


@dataclass(frozen=True)
class Row:
    """What another study says of the question at one sparsity; `tau` is None where the main study has none there."""

    asked: Asked
    changed: str
    sparsity: float
    tau: float | None
    better: list[str]
    worse: list[str]
    first: list[str]


def rows(main: Asked, others: Sequence[Asked]) -> Iterator[Row]:
    """A row for each other study and sparsity at which it is evidence."""
    for other in others:
        seeds = [seed for seed in other.seeds if seed in main.seeds]
        taus = order(main.some(seeds, other.criteria), other.some(seeds, other.criteria)).taus
        for sparsity in other.speaking:
            yield Row(
                asked=other,
                changed=changed(main.first, other.first),
                sparsity=sparsity,
                tau=taus["second"].get(sparsity),
                better=other.named("better", sparsity),
                worse=other.named("worse", sparsity),
                first=[" = ".join(leaders := other.leaders(sparsity)), *_without(other.first_group(sparsity), leaders)],
            )


def _without(names: Sequence[str], left_out: Sequence[str]) -> list[str]:
    return [name for name in names if name not in left_out]


def order(first: Study, second: Study) -> Agreement:
    """How far two studies agree on the order of the criteria that both have, at each sparsity, as two trainings of one
    study do: whatever their dataset and model, blocks of one name are taken together."""
    parts = [("first", first.frame), ("second", second.frame)]
    alike = [rows.assign(train=name, dataset="", model="") for name, rows in parts]
    return agreement(replace(first, frame=pd.concat(alike, ignore_index=True)))


@dataclass(frozen=True)
class Yardstick:
    """What the order of `criteria` agrees to when nothing but the seeds changes: by sparsity Kendall's tau between
    `blocks` seeds of a study and as many others of it, as the mean of `SPLITS` random splits and their `BAND`."""

    criteria: int
    blocks: int
    taus: Mapping[float, tuple[float, float, float]]


def again(main: Asked, others: Sequence[Asked]) -> Yardstick | None:
    """The yardstick for the studies of other recipes, of as many seeds as they have; None where the main study has not
    twice as many."""
    alike = [one for one in others if one.name in RECIPES]
    if not alike:
        return None
    n, criteria = min(len(one.seeds) for one in alike), alike[0].criteria
    if len(main.seeds) < 2 * n:
        return None
    draw = random.Random(0)
    splits = [draw.sample(main.seeds, 2 * n) for _ in range(SPLITS)]
    every = [order(main.some(seeds[:n], criteria), main.some(seeds[n:], criteria)) for seeds in splits]
    taus = pd.DataFrame([one.taus["second"] for one in every])
    spread = {float(s): (of.mean(), *of.quantile(BAND)) for s, of in taus.items()}
    return Yardstick(every[0].criteria, n, spread)


def changed(first: Cell, other: Cell) -> str:
    """In what the cells of another study are made otherwise, in a few words."""
    told = [other.model.label] if other.model.name != first.model.name else []
    told += [other.dataset.label] if other.dataset.label != first.dataset.label else []
    images = other.dataset.args.get("train_per_class")
    told += [f"{images:,} images a class"] if images and images != first.dataset.args.get("train_per_class") else []
    names = {"lr": "learning rate", "epochs": "epochs", "batch_size": "batch size", "weight_decay": "weight decay"}
    told += [
        f"{word} {getattr(other.recipe, field):g}"
        for field, word in names.items()
        if getattr(other.recipe, field) != getattr(first.recipe, field)
    ]
    told += [other.recipe.precision] if other.recipe.precision != first.recipe.precision else []
    return ", ".join(told)


def retold(claim: Claim, study: Study) -> dict[str, list[float]]:
    """What a study of the question says of a claim, at each sparsity that is not below those it was tested at: verdicts
    with their sparsities. Nothing of a claim that is about more than orders of accuracy, or about criteria that the
    study has not."""
    orders = [test.order for test in claim.tests if test.order and test.order.of == ACCURACY]
    known, named = set(study.frame["criterion"]), {who.criterion for one in orders for who in one.cells}
    ablated = any(who.ablation for one in orders for who in one.cells)
    if len(orders) < len(claim.tests) or ablated or not named <= known:
        return {}
    least = min(s for s in claim.tested_by.sparsities if s)
    orders = list({(str(one.higher), str(one.lower), one.margin): one for one in orders}.values())
    found: dict[str, list[float]] = {}
    for sparsity in sorted(s for s in study.frame["sparsity"].unique() if s >= least):
        every = [one.model_copy(update={"sparsities": (sparsity,)}) for one in orders]
        verdicts = {one.judged(gathered(one, study, _no_receipt)).verdict for one in every}
        told = next(one for one in (CONTRADICTED, NOT_SEPARABLE, CONFIRMED) if one in verdicts)
        found.setdefault(told, []).append(float(sparsity))
    return found


def _no_receipt(key: str) -> None:
    """An order of accuracies looks at no mask."""


# --- masks and their shuffles -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shuffles:
    """A study of masks beside themselves shuffled within each layer, which keeps the layer densities."""

    study: Study

    @property
    def name(self) -> str:
        return str(self.study.folder.name)

    @cached_property
    def own(self) -> Asked:
        """The masks that are not shuffled."""
        return Asked(self.study)

    @cached_property
    def found(self) -> dict[float, dict[str, Judgement]]:
        """By sparsity what is said of each criterion minus its shuffle, corrected over the criteria of a sparsity."""
        rows = changes(self.study.frame)
        names = [str(name) for name in rows["criterion"].unique()]
        return {
            sparsity: judged(rows[rows["sparsity"] == sparsity], "shuffle", names) for sparsity in self.own.sparsities
        }

    def named(self, verdict: str, sparsity: float) -> list[str]:
        """Whose masks are better or worse than their shuffles, or not separable from them."""
        return [name for name, one in self.found[sparsity].items() if one.verdict == verdict]

    def told(self, name: str, sparsity: float) -> str:
        """As a table shows it: in bold where the two are told apart."""
        one = self.found[sparsity][name]
        text = interval(one.change, sign=True) if one.change.n else NOTHING
        return f"**{text}**" if one.verdict in ("better", "worse") else text


# --- the plan and the tuning ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What `pabench plan` forecast before the first run. Spread and differences are in points, from least to most."""

    seeds: int
    cells: int
    hours: str
    together: int
    spread: tuple[float, float]
    one: tuple[float, float]
    holm: tuple[float, float]
    pairs: int

    @property
    def seconds(self) -> float:
        """Of a process, for each cell."""
        hours, minutes, seconds = map(int, self.hours.split(":"))
        return (HOUR * hours + 60 * minutes + seconds) * self.together / self.cells


NUMBER = r"([\d.,]+)"
PLANNED = {
    "seeds": r"seeds: (\d+)",
    "cells": r"cells: (\d+);",
    "hours": r"hours: (\d+:\d+:\d+) h",
    "together": r"(\d+) at once",
    "spread": rf"spread: {NUMBER} to {NUMBER} points",
    "one": rf"one model, one pair: {NUMBER} to {NUMBER} points",
    "holm": rf"of \d+ pairs \(Holm\): {NUMBER} to {NUMBER} points",
    "pairs": r"the first of (\d+) pairs",
}
"""Where each number stands in the text of a plan."""


def plan(text: str) -> Plan:
    """The numbers of a plan as `pabench plan` printed it; DataError where one is not there."""
    found: dict[str, Any] = {}
    for name, pattern in PLANNED.items():
        if (match := re.search(pattern, text)) is None:
            raise DataError(f"{PLAN.name}: has no {name}; expected what `pabench plan` prints")
        told = match.groups()
        found[name] = tuple(map(float, told)) if len(told) > 1 else told[0] if name == "hours" else int(told[0])
    return Plan(**found)


@dataclass(frozen=True)
class Setting:
    """A recipe that was tried on held-out training images: the accuracy over `seeds` seeds, NaN where one diverged."""

    model: str
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    accuracy: float
    seeds: int

    def used(self, cell: Cell) -> bool:
        """Whether a study's cells were trained so."""
        recipe = cell.recipe
        theirs = (cell.model.name, recipe.epochs, recipe.batch_size, recipe.lr, recipe.weight_decay)
        return theirs == (self.model, self.epochs, self.batch_size, self.lr, self.weight_decay)


def tuning(file: Path) -> list[Setting]:
    """The recipes that were tried for each network, best first; none where the file is not there."""
    if not file.exists():
        return []
    parts = ["model", "epochs", "batch_size", "lr", "weight_decay"]
    of_recipes = pd.read_csv(file).groupby(parts, as_index=False)["accuracy"]
    means = of_recipes.agg(accuracy=lambda of_seeds: of_seeds.mean(skipna=False), seeds="size")
    ordered = means.sort_values(["model", "accuracy"], ascending=[True, False], kind="stable")
    return [Setting(**row) for row in ordered.to_dict("records")]


@dataclass(frozen=True)
class Tuned:
    """The recipes that were tried for the network of a study, best first, and the place of its own among them."""

    settings: tuple[Setting, ...]
    place: int

    @property
    def used(self) -> Setting:
        return self.settings[self.place]

    @property
    def worst(self) -> Setting:
        """Of those that diverged with no seed."""
        return [one for one in self.settings if not math.isnan(one.accuracy)][-1]

    @property
    def diverged(self) -> int:
        return sum(math.isnan(one.accuracy) for one in self.settings)


def tuned(cell: Cell, settings: Sequence[Setting]) -> Tuned | None:
    """None where the recipe of these cells is not among the settings."""
    own = tuple(one for one in settings if one.model == cell.model.name)
    places = [place for place, one in enumerate(own) if one.used(cell)]
    return Tuned(own, places[0]) if places else None


# --- the rest of the note ---------------------------------------------------------------------------------------------


@cache
def planted(folder: Path) -> list[tuple[str, str, float]]:
    """By task the criterion that keeps the most of a planted ticket at the ticket's sparsity, and that share."""
    cells = pruned(read(folder).plain)
    found = []
    for task, of in cells.groupby("dataset", sort=False):
        ticket = float(of["planted.sparsity"].mean())
        nearest = min(of["sparsity"].unique(), key=lambda s: abs(s - ticket))
        recall = of[of["sparsity"] == nearest].groupby("criterion", sort=False)["planted.recall"].mean()
        found.append((str(task).removeprefix("planted_"), str(recall.idxmax()), float(recall.max())))
    return found


def papers(criteria: Sequence[str]) -> dict[str, list[str]]:
    """Where the criteria were published, with those that are from there."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(name.partition(" ")[0] for name in criteria):
        found.setdefault(registry.plugin("criteria", name).paper, []).append(f"`{name}`")
    return found


@dataclass(frozen=True)
class Checked:
    """What criteria were compared with, by what each says of itself (`reference`); `random` is none of them."""

    references: Mapping[str, str]

    @property
    def compared(self) -> list[str]:
        """Those that were compared with published code, in some variant."""
        return [name for name, text in self.references.items() if not text.startswith("the formula alone")]

    @property
    def formula(self) -> list[str]:
        """Those of them whose default was not: its formula alone is checked."""
        return [name for name in self.compared if "The default: the formula alone" in self.references[name]]

    @property
    def otherwise(self) -> list[str]:
        """Those whose default differs from what was compared."""
        return [name for name in self.compared if "The default differs" in self.references[name]]


def checked(criteria: Sequence[str]) -> Checked:
    """What these criteria were compared with."""
    names = dict.fromkeys(name.partition(" ")[0] for name in criteria)
    return Checked({name: reference(registry.plugin("criteria", name)) for name in names if name != "random"})


def spent(study: Study) -> Compute:
    """Hours of processors that a study in its folder took."""
    return compute(study, Store(study.folder).records("receipts"))


def published(folder: Path = STUDIES) -> dict[str, Study]:
    """The studies that are published, by name."""
    return {path.parent.name: read(path.parent) for path in sorted(folder.glob("*/study.json"))}


def paper(claims: Sequence[Judged], folder: Path = STUDIES, plans: Path = PLAN, tried: Path = TUNING) -> str:
    """The note: the template, filled with what is published."""
    asked = {name: Asked(read(folder / name)) for name in (MAIN, *BESIDE) if (folder / name / "study.json").exists()}
    main = asked.pop(MAIN, None)
    speaking = [one for one in asked.values() if one.speaking]
    beside = list(rows(main, speaking)) if main else []
    shuffles = Shuffles(read(folder / SHUFFLED)) if (folder / SHUFFLED / "study.json").exists() else None
    studied = [Asked(study) for study in published(folder).values()]
    theirs = [one for one in claims if one.claim.source != OURS]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(DOCS),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= FILTERS | {
        "listed": listed,
        "coded": coded,
        "interval": interval,
        "span": span,
        "percents": percents,
    }
    return environment.get_template(TEMPLATE).render(
        main=main,
        beside=beside,
        yardstick=again(main, speaking) if main else None,
        silent=[one for one in asked.values() if one.silent],
        shuffles=shuffles,
        conclusion=conclusion(main.study) if main else None,
        chance=chance(main) if main else None,
        plan=plan(plans.read_text()),
        tuned=tuned(main.first, tuning(tried)) if main else None,
        spent=studied,
        kwh=total(one.spent for one in studied).kwh(UNKNOWN),
        claims=[(one, retold(one.claim, main.study) if main else {}) for one in theirs],
        states=Counter(one.state for one in theirs),
        own=len(claims) - len(theirs),
        planted=planted(PLANTED),
        papers=papers([*main.criteria, *main.lines]) if main else {},
        checked=checked(main.criteria) if main else None,
        baseline=BASELINE,
        protocol=PROTOCOL,
        level=LEVEL,
        confidence=CONFIDENCE,
        power=POWER,
        splits=SPLITS,
        band=BAND[1] - BAND[0],
        no_better=NO_BETTER,
        ends=ENDS,
        most=MOST,
        comparison=Comparison,
    )


def chance(asked: Asked) -> tuple[float, float, int] | None:
    """The accuracy of guessing, the bound up to which a network counts as guessing, and the test images, where told."""
    found = [told.tested for told in asked.study.told.values() if told.tested and told.tested.images]
    return (found[0].chance, chance_bound(found[0].chance, found[0].images), found[0].images) if found else None


def studies(folder: Path = STUDIES, tried: Path = TUNING) -> list[list[tuple[str, ...]]]:
    """Tables of the page of studies: what is published, and the recipes that were tried, where these are known."""
    head = ("study", "asks", "cells", "seeds", "hours", "command")
    table = [head, *(_study(name, study) for name, study in published(folder).items())]
    settings = tuning(tried)
    if not settings:
        return [table]
    tried_head = ("network", "epochs", "batch", "learning rate", "weight decay", "seeds", "held-out accuracy")
    return [table, [tried_head, *map(_setting, settings)]]


def _study(name: str, study: Study) -> tuple[str, ...]:
    took = spent(study)
    hours = ", ".join(f"{took.hours(kind):.1f}{'' if kind == 'cpu' else f' ({kind})'}" for kind in took.seconds)
    command = str(study.manifest["command"])
    asks = ASKS.get(name, str(study.manifest.get("title") or name))
    silent = list(Asked(study).silent)
    note = f"<br><small>{VERDICT} at {percents(silent)}</small>" if silent else ""
    cells = f"{int((study.frame['status'] == 'ok').sum()):,} of {len(study.frame):,}"
    there, planned = study.frame["seed"].nunique(), _planned(study)
    seeds = f"{there} of {planned} planned" if planned > there else str(there)
    return f"`{name}`", f"{asks}{note}", cells, seeds, hours, f"`{command}`"


def _planned(study: Study) -> int:
    """How many seeds its suite asks for, 0 where that is not told: some may still be to come."""
    stated = re.search(r"^seeds: (\d+)", str(study.manifest.get("suite", "")), re.MULTILINE)
    return int(stated[1]) if stated else 0


def _setting(one: Setting) -> tuple[str, ...]:
    found = "diverged" if math.isnan(one.accuracy) else f"{one.accuracy:.2f}"
    numbers = (f"{one.lr:g}", f"{one.weight_decay:g}", str(one.seeds), found)
    return f"`{one.model}`", str(one.epochs), str(one.batch_size), *numbers


# --- filters ----------------------------------------------------------------------------------------------------------


def coded(names: Sequence[str]) -> str:
    """Names as code, in a list of words.

    >>> coded(["snip", "px"])
    '`snip` and `px`'
    """
    return listed([f"`{name}`" for name in names])


def interval(found: Interval, digits: int = 2, sign: bool = False) -> str:
    """The mean with what stands beside it."""
    mean = signed(found.mean, digits) if sign else f"{found.mean:.{digits}f}"
    return f"{mean} {interval_text(found, sign=sign, digits=digits)}".strip()
