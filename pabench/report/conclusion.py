"""What a study says of its criteria, in sentences: the first thing on its page, and the last that a run prints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import pandas as pd

from pabench.report.detection import Detection, could_detect
from pabench.report.evidence import VERDICT, Footing, footings
from pabench.report.frame import in_r2, pruned, quality
from pabench.report.study import Study
from pabench.report.trainings import agreement
from pabench.statistics.board import Board, Standing
from pabench.statistics.intervals import DIGITS
from pabench.statistics.outcomes import FINISHED
from pabench.statistics.ranking import shared
from pabench.store.quality import TOP1, Quality
from pabench.words import listed, number, percent, percents, span

NAMED = 4
"""Criteria, sparsities or models that a sentence lists; of more it tells the number."""
COLUMNS = 5
"""Sparsities with a column in the table of a terminal; of more it has their mean."""


@dataclass(frozen=True)
class Conclusion:
    """`found` says who is best and who cannot be told apart from it, and claims no more than the test that decides;
    `limits` what it does not cover, `detects` what the seeds could have found, `evidence` whether to cite it."""

    found: str
    limits: tuple[str, ...]
    detects: Detection
    evidence: str
    board: Board
    quality: Quality = TOP1

    @property
    def lines(self) -> list[str]:
        """For a terminal: the sentences, and the ranked criteria as a table."""
        told = [
            ("answer", " ".join((self.found, *self.limits))),
            ("detects", self.detects.said),
            ("cite", self.evidence),
        ]
        return [*_aligned(_table(self.board, self.quality)), *(f"{name}: {said}" for name, said in told if said)]


def lines(study: Study) -> list[str]:
    """What is said of a study at a terminal: the lines of its conclusion, where there are several trainings under each
    of them, and whether they agree."""
    if len(study.trainings) < 2:
        return conclusion(study).lines
    under = ([f"training: {one}", *conclusion(study.under(one)).lines] for one in study.trainings)
    return [*chain.from_iterable(under), f"trainings: {agreement(study).said}"]


def conclusion(study: Study) -> Conclusion:
    """Of the plain cells of a study: ablations are compared with their own cells alone."""
    frame = study.plain
    made = study.boards[""]
    return Conclusion(
        found=finding(made, frame),
        limits=(*limits(made), *in_points(frame)),
        detects=could_detect(frame),
        evidence=_evidence(footings(study)) if len(made.lines) > 1 and frame["top1"].notna().any() else "",
        board=made,
        quality=quality(frame),
    )


def alike(made: Board) -> list[str]:
    """The criteria that cannot be told apart from the one that ranks first."""
    first, *others = made.ranked
    return [one.criterion for one in others if shared(one.letters, first.letters)]


def finding(made: Board, frame: pd.DataFrame) -> str:
    """Who is best on a board of these cells, and who cannot be told apart from it, in a sentence."""
    if not pruned(frame)["top1"].notna().any():
        return "No pruned network is trained yet: there is nothing to say about the criteria."
    if not made.ranked and not made.unranked:
        return "This study has reference lines only: there is no criterion to rank."
    if not made.ranked:
        return "No seed is finished by every criterion at every sparsity: there is no ranking yet."
    first, names = made.ranked[0].criterion, [one.criterion for one in made.ranked]
    where = _where(made)
    if len(names) == 1:
        return f"{where} only {first} is ranked: there is nothing to compare it with."
    near = alike(made)
    behind = [name for name in names[1:] if name not in near]
    if not near:
        ranked = "ranked criteria" if made.unranked else "criteria"
        others = behind[0] if len(behind) == 1 else f"all {len(behind)} other {ranked}"
        return f"{where} {first} is better than {others}."
    ranks = {one.criterion: round(one.mean_rank or 0.0, DIGITS) for one in made.ranked}
    level = [first, *(name for name in near if ranks[name] == ranks[first])]
    share = f"{_listed(level)} share the first rank"
    if behind and len(level) > 1:
        rest = [name for name in near if name not in level]
        alike_too = f"; {_listed(rest)} cannot be told apart from it" if rest else ""
        return f"{where} {share}; {first} is better than {_listed(behind)}{alike_too}."
    if behind:
        return (
            f"{where} {first} ranks first and is better than {_listed(behind)}; "
            f"{_listed(near)} cannot be told apart from it."
        )
    leads = f"{first} ranks first" if len(level) == 1 else share
    if made.separable:
        return f"{where} {leads}, but no other criterion can be told apart from {'it' if len(level) == 1 else first}."
    who = _listed(names) if len(names) == 2 else f"no two of the {len(names)} criteria"
    cannot = "cannot" if len(names) == 2 else "can"
    chance = ", but that may be chance" if len(level) == 1 else ""
    return f"{where} {who} {cannot} be told apart: {leads}{chance}."


def _where(made: Board) -> str:
    """On what, at which sparsities, and on how many seeds criteria are compared."""
    seeds = {len(values) for pair in made.pairs.values() for values in pair.strata}
    models, sparsities = made.finished, made.sparsities
    on = f"On {models[0]}" if len(models) == 1 else f"Over {len(models)} models"
    if len(models) > 1 and len(models) <= NAMED:
        on += f" ({', '.join(models)})"
    at = f"at {percent(sparsities[0])} sparsity"
    if len(sparsities) > 1:
        many = f"{len(sparsities)} sparsities from {percent(sparsities[0])} to {percent(sparsities[-1])}"
        at = (
            f"averaged over {many}"
            if len(sparsities) > NAMED
            else f"averaged over sparsities of {percents(sparsities)}"
        )
    each = " each" if len(models) > 1 else ""
    compared = f" with {span(seeds)} {'seed' if seeds == {1} else 'seeds'}{each}," if seeds else ""
    return f"{on}, {at},{compared}"


def _listed(names: Sequence[str]) -> str:
    if len(names) <= NAMED:
        return listed(names)
    return f"{', '.join(names[: NAMED - 1])} and {len(names) - NAMED + 1} others"


def limits(made: Board) -> Iterator[str]:
    """What the ranking leaves out or rests on, in sentences."""
    if not made.ranked:
        return
    if unseen := [model for model in made.strata if model not in made.finished]:
        yield f"No seed of {_listed(unseen)} is finished by every ranked criterion: nothing here is about it."
    if made.unranked:
        names = [one.criterion for one in made.unranked]
        yield f"Not ranked, as too few of their cells are finished: {_listed(names)}."
    if made.untested:
        lost = [one.criterion for one in made.ranked if not _whole(one) and _untested(one.criterion, made)]
        what = _listed(lost) if lost else f"{len(made.untested)} of {len(made.pairs)} pairs"
        yield f"No verdict on {what}: cells failed or are missing, and the rest cannot speak for them."
    if fell := [one.criterion for one in made.ranked if one.collapsed]:
        yield f"Some cells of {_listed(fell)} collapsed to chance."
    yield from _beaten(made)


def _beaten(made: Board) -> Iterator[str]:
    """Who is behind the first in every block and is still not told apart: a reader would take that for an error."""
    first = made.ranked[0].criterion
    behind: dict[int, list[str]] = defaultdict(list)
    for name in alike(made):
        pair = made.pairs[first, name] if (first, name) in made.pairs else made.pairs[name, first].turned
        if pair.flipped and not pair.unfinished and all(x > 0 for values in pair.strata for x in values):
            behind[pair.common].append(name)
    for blocks, names in behind.items():
        are = "is" if len(names) == 1 else "are"
        where, few = ("the one block", "one is") if blocks == 1 else (f"all {blocks} blocks", f"{blocks} are")
        yield (
            f"In {where} {listed(names)} {are} behind {first}, but where cells collapsed the test flips signs, "
            f"for which {few} too few."
        )


def in_points(frame: pd.DataFrame) -> Iterator[str]:
    """What a point is where targets are numbers."""
    if datasets := in_r2(frame):
        yield f"On {listed(datasets)} a point is 0.01 of R², the share of the targets' variance that is explained."


def _untested(name: str, made: Board) -> bool:
    """Whether a criterion has a verdict with no other one."""
    return all(names in made.untested for names in made.pairs if name in names)


def _whole(standing: Standing) -> bool:
    return bool(standing.cells["outcome"].isin(FINISHED).all())


def _evidence(every: Sequence[Footing]) -> str:
    """Whether the study may be cited as evidence about the criteria, and what keeps it from it."""
    silent, open_ = [one for one in every if one.reasons], [one for one in every if one.unknown]
    if silent:
        first = silent[0]
        on = (
            ""
            if len(every) == 1
            else f" on {first.title if len(silent) == 1 else f'{len(silent)} of {len(every)} models'}"
        )
        return f"{VERDICT.capitalize()}{on}{first.where if len(silent) == 1 else ''}: {'; '.join(first.reasons)}."
    if open_:
        return f"Whether it may be cited as evidence is open: {'; '.join(dict.fromkeys(open_[0].unknown))}."
    return (
        "It passes the checks for evidence: the unpruned network has learned, random pruning costs it accuracy, and "
        "one test of these seeds could detect that cost."
    )


def _table(made: Board, of: Quality = TOP1) -> list[list[str]]:
    """The ranked criteria with their accuracies; over several models, which are not alike, with their mean ranks."""
    if not made.ranked:
        return []
    near = alike(made)
    columns = made.sparsities if len(made.strata) == 1 else ()
    few = len(columns) <= COLUMNS
    heads = [percent(s) for s in columns] if few else [f"mean of {len(columns)} sparsities"]
    lines = [["place", "criterion", *(heads if columns else ["mean rank"]), "told apart from the first"]]
    for standing in made.ranked:
        means = [standing.means[s].mean if s in standing.means else None for s in columns]
        if not few:
            means = [sum(mean for mean in means if mean is not None) / len(means)]
        numbers = [of.text(mean) for mean in means] if columns else [number(standing.mean_rank)]
        first = standing is made.ranked[0]
        apart = "" if first else "no" if standing.criterion in near else "yes"
        low, high = standing.ranks or (0, 0)
        lines.append([f"{low}" if low == high else f"{low} to {high}", standing.criterion, *numbers, apart])
    return lines


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    last = len(widths) - 1
    return [
        "  ".join(
            text.ljust(w) if i in (0, 1, last) else text.rjust(w)
            for i, (text, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
