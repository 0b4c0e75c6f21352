"""Whether a study can speak about criteria at all, and what keeps it from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import nan
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from pabench.report.frame import pruned, quality, strata
from pabench.report.study import Study
from pabench.statistics.intervals import DIGITS, LEVEL, stratified_test
from pabench.statistics.outcomes import COLLAPSED
from pabench.statistics.power import Comparison, typical_sd
from pabench.store.quality import R2
from pabench.suite.cell import DENSE
from pabench.words import count, number, percent, percents, plain

FITTED = 70.0
"""Percent of its training images, as they are, that a dense network must get right, or hundredths of R²: one that gets
fewer has hardly been trained, and what is pruned of it costs nothing that it has learned."""
VERDICT = "not evidence about the criteria"
_known: WeakKeyDictionary[Study, list[Footing]] = WeakKeyDictionary()
"""Four parts of a page ask, and the answer takes a tenth of a second."""


@dataclass(frozen=True)
class Footing:
    """One dataset and model: what keeps it from being evidence (`against`), and what of that cannot be told.

    `silent` are the sparsities at which alone it is none, each with the reason: at the others it can speak.
    """

    title: str
    against: tuple[str, ...]
    unknown: tuple[str, ...]
    silent: Mapping[float, str] = field(default_factory=dict)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is no evidence, everywhere or at the silent sparsities."""
        return self.against or tuple(dict.fromkeys(self.silent.values()))

    @property
    def where(self) -> str:
        """The sparsities at which alone it is none, as in " at 80 and 90 %"; "" where that is everywhere or nowhere."""
        return f" at {percents(self.silent)}" if self.silent and not self.against else ""


def footings(study: Study) -> list[Footing]:
    """In the order of the study, of several trainings one after the other. Plain cells alone are looked at."""
    if study not in _known:
        _known[study] = _footings(study)
    return _known[study]


def _footings(study: Study) -> list[Footing]:
    if len(study.trainings) > 1:
        parts = [(name, study.under(name)) for name in study.trainings]
        return [replace(one, title=f"{one.title}, training {name}") for name, part in parts for one in _footings(part)]
    randoms = {plain(c.criterion.label) for c in study.cells.values() if c.criterion and is_random(c.criterion.name)}
    return [_footing(study, title, rows, randoms) for title, rows in strata(study.plain)]


def silences(study: Study) -> list[str]:
    """A line for each dataset and model that is no evidence about the criteria, or not at all sparsities, and why."""
    every = footings(study)
    return [
        f"{VERDICT.capitalize()}{f' on {one.title}' if len(every) > 1 else ''}{one.where}: {'; '.join(one.reasons)}."
        for one in every
        if one.reasons
    ]


def caveat(study: Study) -> str:
    """What a citation of the study must say: that it is no evidence, or where it is none; else ""."""
    every = footings(study)
    silent = [one for one in every if one.reasons]
    if len({one.where for one in every}) == 1 and len(silent) == len(every):
        return f"{VERDICT}{every[0].where}" if every else ""
    return f"{VERDICT} on {', '.join(f'{one.title}{one.where}' for one in silent)}" if silent else ""


def is_random(name: str) -> bool:
    """Whether a criterion of that name is random pruning, of whatever version."""
    return name.partition("@")[0] == "random"


def _footing(study: Study, title: str, rows: pd.DataFrame, randoms: set[str]) -> Footing:
    against, unknown = _fit(study, rows[rows["criterion"] == DENSE])
    ranked = pruned(rows[rows["reference_line"] == ""])
    names = [name for name in ranked["criterion"].unique() if name in randoms]
    if not names:
        return Footing(title, tuple(against), (*unknown, "there is no random pruning to measure by"))
    # random within one density for all layers, where there are several kinds
    name = "random" if "random" in names else names[0]
    silent, open_ = dict[float, str](), list[str]()
    sparsities = sorted(ranked.loc[ranked["criterion"] == name, "sparsity"].unique())
    dense = rows[rows["criterion"] == DENSE].set_index("block")["top1"]
    every = ranked.pivot(index="block", columns=["sparsity", "criterion"], values="top1")
    fell = ranked[ranked["outcome"] == COLLAPSED].groupby("sparsity")["criterion"].unique()
    for sparsity in sparsities:
        where = f"{name} at {percent(sparsity)}"
        more, also = _room(every[sparsity], dense, name, where, fell=fell.get(sparsity, ()))
        if more:
            silent[sparsity] = "; ".join(more)
        open_ += also
    if len(silent) == len(sparsities):
        first, *others = dict.fromkeys(silent.values())
        against += [first, *([f"nor is it at {percents(sparsities[1:])}"] if others else [])]
    return Footing(title, tuple(against), (*unknown, *open_[:1]), silent)


def _fit(study: Study, dense: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Whether the dense network has learned its training images."""
    finished = dense[dense["top1"].notna()]
    found = finished["training_top1"].dropna()
    if finished.empty:
        return [], ["no dense network is finished"]
    if found.empty:
        ends = [study.told[key].top1[-1] if len(study.told[key].top1) else nan for key in finished["key"]]
        known = f"training accuracy on augmented images only ({number(sum(ends) / len(ends), 1)} %)"
        return [], [f"its records, of an older version, have {known}"]
    if found.mean() >= FITTED:
        return [], []
    if (of := quality(finished)) is R2:
        told = f"the dense network has an R² of {of.text(found.mean())} on its training data"
        return [f"{told}; {of.text(FITTED)} is asked for"], []
    told = f"the dense network gets {number(found.mean(), 1)} % of its training images right (without augmentation)"
    return [f"{told}; {FITTED:g} % are asked for"], []


def _room(
    top1: pd.DataFrame, dense: pd.Series, name: str, where: str, *, fell: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """Whether there is a difference between dense and random, and whether these seeds could detect one as large.

    By one t test that was decided on beforehand, at 5 % and power 0.8: a table of many pairs can detect less. `top1`
    has a row for each block and a column for each criterion, at one sparsity; `dense` is that of the blocks. No t test
    is made of criteria of which a cell `fell` to chance: they say nothing of its spread.
    """
    room = (dense - top1[name]).dropna().round(DIGITS)
    if room.empty:
        return [], [f"no block has finished both dense and {where}"]
    p, mean = stratified_test([list(room)]).p, float(room.mean())
    if p is not None and p < LEVEL and mean < 0:
        return [f"{where} beats the dense network by {number(-mean)} points (paired t test, {_p(p)})"], []
    seeds = len(room)
    if seeds < 2:
        return ["one seed can detect no difference"], []
    whole = top1.drop(columns=list(fell))
    compared = whole if len(whole.columns) > 1 else whole.assign(**{DENSE: dense})
    pairs = [a - b for a, b in combinations(compared.to_numpy().T, 2)]
    if not pairs:
        return [], [f"cells of every criterion collapsed beside {where}: what could be detected is unknown"]
    if (sd := typical_sd([list(values[~np.isnan(values)]) for values in pairs])) is None:
        return [], ["half of the differences of two criteria, or more, are the same in all seeds"]
    detectable = Comparison(sd).detectable(seeds)
    if detectable is None or detectable <= mean:
        return [], []
    cost = f"costs {number(mean)}" if mean >= 0 else f"gains {number(-mean)}"
    smallest = f"the smallest difference that {count(seeds, 'seed')} can detect is {number(detectable)} points"
    if detectable > 100:  # no two accuracies are further apart
        smallest = f"{count(seeds, 'seed')} can detect no difference, however large"
    return [f"{smallest} (in a single test), and {where} {cost} points against the dense network"], []


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
