"""Leaderboards: which rows of several studies may stand on one, why others may not, and what a board says.

One board: same protocol, dataset content, model with its arguments, recipe, dtype of scores, sparsities, and seeds in
common whose initial weights, data order, augmentation and scoring batch are equal. Anything else is another board.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import permutations
from typing import Any, ClassVar

import pandas as pd

from pabench.leaderboard.compute import NOTHING, Compute
from pabench.leaderboard.verification.sampling import place, row
from pabench.report.conclusion import finding, in_points, limits
from pabench.report.frame import chosen, quality
from pabench.report.study import Study
from pabench.statistics.board import Board, board as standings, caveats
from pabench.statistics.intervals import Interval
from pabench.statistics.outcomes import seeds_interval
from pabench.statistics.ranking import shared
from pabench.store.quality import Quality
from pabench.store.record import PARTS
from pabench.store.verdict import Tally, tally
from pabench.suite.cell import DENSE, Cell, facts
from pabench.suite.digest import digest
from pabench.suite.provenance import spoken
from pabench.suite.specs import PLAIN, DatasetSpec
from pabench.words import count, percents, plain

EQUAL = 1e-9
"""Points of accuracy: those of images counted, which no smaller difference can part."""
LEVELS = ("self-reported", "mask-verified", "reproduced")


@dataclass(frozen=True)
class Badge:
    """How far a row has been checked by those who run the board: 0 self-reported, 1 mask-verified, 2 reproduced."""

    level: int = 0
    detail: str = "nobody but its submitter has run it"

    @property
    def name(self) -> str:
        return LEVELS[self.level]


@dataclass(frozen=True)
class Published:
    """A study on the site: its frame, cells and records, and badges by row (`verification.sampling.row`).

    `rejected` is why a verification turned it down, "" where none did: then no row of it has a badge. `compute` is what
    it took.
    """

    slug: str
    title: str
    digest: str
    study: Study
    badges: Mapping[str, Badge] = field(default_factory=dict)
    verified: Mapping[str, Any] | None = None
    rejected: str = ""
    compute: Compute = NOTHING

    def badge(self, name: str) -> Badge:
        """That of a row."""
        return Badge(0, self.rejected) if self.rejected else self.badges.get(name, Badge())


@dataclass
class Comparable:
    """A board, as pages show it. Its `frame` has one row a cell: a finished one before any other, then one of a row
    that was checked further, then that of the first study. `studies` that ran a criterion are of all their cells,
    shown or not; `disputed` says which studies give cells of others another accuracy."""

    overall: ClassVar[bool] = False
    place: str
    sparsities: tuple[float, ...]
    cell: Cell
    frame: pd.DataFrame = field(default_factory=pd.DataFrame)
    members: list[Published] = field(default_factory=list)
    studies: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    pairing: dict[tuple[str, str], str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    disputed: list[str] = field(default_factory=list)
    identities: dict[str, str] = field(default_factory=lambda: {DENSE: ""})
    apart: list[tuple[Comparable, str]] = field(default_factory=list)

    @cached_property
    def board(self) -> Board:
        """The standing of its criteria."""
        return standings(self.frame)

    @cached_property
    def badges(self) -> dict[str, Badge]:
        """By criterion: what holds of all results that the board shows, which is the least of their studies' badges."""
        found = {name: Badge() for name in self.studies}
        shown = self.frame[(self.frame["criterion"] != DENSE) & (self.frame["status"] != "missing")]
        for name, rows in shown.groupby("criterion", sort=False):
            found[str(name)] = _least(dict(zip(rows["study"], rows["badge"], strict=True)))
        return found

    @property
    def best(self) -> list[str]:
        """The criteria that cannot be told apart from the first, and it."""
        ranked = self.board.ranked
        return [one.criterion for one in ranked if shared(one.letters, ranked[0].letters)]

    @property
    def quality(self) -> Quality:
        """What its accuracies are: top-1, or R² where targets are numbers."""
        return quality(self.frame)

    @property
    def dense(self) -> Interval | None:
        finished = self.frame[(self.frame["criterion"] == DENSE) & self.frame["top1"].notna()]
        return seeds_interval(finished) if len(finished) else None

    @property
    def dense_flagged(self) -> Tally:
        return tally(self.frame.loc[self.frame["criterion"] == DENSE, "flags"])

    @property
    def study(self) -> Study:
        """Its cells as those of one study, for what draws one."""
        cells = {key: cell for one in self.members for key, cell in one.study.cells.items()}
        return Study({"name": self.slug}, self.frame, {}, cells, {})

    @property
    def newest(self) -> str:
        """The date of its newest record, "" where it has none."""
        return max(self.frame["created"], default="")[:10]

    @property
    def answer(self) -> str:
        """Who is best and who cannot be told apart from it, with what that leaves out."""
        return " ".join([finding(self.board, self.frame), *limits(self.board), *in_points(self.frame)])

    @property
    def caption(self) -> str:
        return caption(self.board)

    @property
    def title(self) -> str:
        train = "" if self.cell.train.is_plain else f" · {self.cell.train.label}"
        return plain(f"{self.cell.dataset.label} · {self.cell.model.label}{train}")

    @property
    def suffix(self) -> str:
        """What tells boards of one title apart: the facts by which they differ, else a part of its name.

        Of sparsities the number, as they stand in a column of their own, and where that is not enough which they are.
        """
        if not self.apart:
            return ""
        said: list[str] = []
        for sparsities in (_how_many, percents):
            mine, *others = (_worded(one, sparsities) for one in (self, *(other for other, _ in self.apart)))
            differing = [name for name, words in mine.items() if any(one.get(name) != words for one in others)]
            said = [mine[name] for name in differing]
            if not any(all(one.get(name) == mine[name] for name in differing) for one in others):
                return ", ".join(said)
        return ", ".join([*said, self.slug.rpartition("-")[2]])

    @property
    def slug(self) -> str:
        """A stable name: what it is of, and a hash of what makes its rows comparable."""
        told = re.sub(r"[^a-z0-9]+", "-", f"{self.cell.dataset.label}-{self.cell.model.label}".lower()).strip("-")[:60]
        first = sorted(value for (_, part), value in self.pairing.items() if part == "weights")[:1]
        # of its pairing the weights of one seed: a board keeps its name when studies add seeds, or criteria
        return f"{told or 'board'}-{digest([self.place, self.sparsities, first])[:8]}"


def caption(made: Board) -> str:
    """What a standing is made from, and what it cannot say."""
    if not made.ranked:
        return "No block is finished by every criterion: there is no ranking yet."
    ranks = f"Mean ranks are over {made.shared} of {count(made.blocks, 'block')} (a seed of a model)."
    return " ".join([ranks, *caveats(made)])


def boards(studies: Sequence[Published]) -> list[Comparable]:
    """The boards of these studies, as they appear. Of a cell that two studies finished, that counts which was checked
    further, and then the first one's."""
    found: list[Comparable] = []
    for study in studies:
        groups: dict[str, list[Cell]] = defaultdict(list)
        for cell in study.study.cells.values():
            if not cell.ablation:
                groups[place(cell)].append(cell)
        for name, cells in groups.items():  # the dense baseline is trained plainly, and stands on each of its boards
            plainly = place(replace(cells[0], train=PLAIN))
            if plainly != name:
                cells += [cell for cell in groups.get(plainly, ()) if cell.criterion is None]
        for name, cells in groups.items():
            sparsities = tuple(sorted({cell.sparsity for cell in cells if cell.criterion}))
            if sparsities:
                _join(found, study, name, sparsities, cells)
    for one in found:  # one content is one dataset, whatever its studies call it
        one.frame = one.frame.assign(dataset=plain(one.cell.dataset.label))
    for one, other in permutations(found, 2):
        if other.title == one.title:
            one.apart.append((other, _why(one, other)))
    return found


def _least(badges: Mapping[str, Badge]) -> Badge:
    """The badge of a row whose results are of these studies."""
    level = min(badge.level for badge in badges.values())
    details = [badge.detail if len(badges) == 1 else f"{slug}: {badge.detail}" for slug, badge in badges.items()]
    return Badge(level, "; ".join(details))


def _join(
    found: list[Comparable], study: Published, name: str, sparsities: tuple[float, ...], cells: list[Cell]
) -> None:
    """Put cells of a study on the board that they are paired with, a new one where there is none."""
    known = study.study.pairing
    known = known[known["key"].isin([cell.key for cell in cells])].drop_duplicates(["block", "part"])
    pairing = known.set_index(["block", "part"])["hash"].to_dict()
    board = next((one for one in found if _fits(one, name, sparsities, pairing)), None)
    if board is None:
        board = Comparable(name, sparsities, cells[0])
        found.append(board)
    board.pairing |= pairing
    names = {cell.key: _label(board, study, cell) for cell in cells}
    badges = {cell.key: study.badge(row(cell)) for cell in cells if cell.criterion}
    # dense, which has no row, is as good as its study's best row
    best = max(badges.values(), key=lambda badge: badge.level)
    rows = study.study.frame[study.study.frame["key"].isin(names)]
    given = [badges.get(key, best) for key in rows["key"]]
    # a study that was rejected comes after all others
    doubt = [1 if study.rejected else -badge.level for badge in given]
    named = [names[key] for key in rows["key"]]
    rows = rows.assign(study=study.slug, criterion=named, badge=given, doubt=doubt)
    if board.members:
        _compare_titles(board, study, cells[0].dataset)
        _compare_common(board, study, rows)
        _compare_environments(board, study)
        rows = pd.concat([board.frame, rows], ignore_index=True)
    board.frame = chosen(rows, "doubt")
    board.members.append(study)
    for name in dict.fromkeys(named):
        if name != DENSE:
            board.studies[name].append(study.slug)


def _fits(board: Comparable, name: str, sparsities: tuple[float, ...], pairing: Mapping[tuple[str, str], str]) -> bool:
    """Whether cells belong on a board: some of their hashes are of blocks that it has, and none is another."""
    alike = (board.place, board.sparsities) == (name, sparsities)
    common = set(board.pairing) & set(pairing)
    return alike and bool(common) and all(board.pairing[part] == pairing[part] for part in common)


def _label(board: Comparable, study: Published, cell: Cell) -> str:
    """What the board calls a cell's criterion: of two of one name the later one says whose it is."""
    if cell.criterion is None:
        return DENSE
    label, identity = plain(cell.criterion.label), digest(cell.criterion.identity())
    shown = label if board.identities.get(label, identity) == identity else f"{label} · {study.slug}"
    board.identities.setdefault(shown, identity)
    return shown


def _compare_titles(board: Comparable, study: Published, dataset: DatasetSpec) -> None:
    """What a reader must know of a study that calls the dataset otherwise; what one knows of its images, all know."""
    shown = board.cell.dataset
    if spoken(dataset.title) != spoken(shown.title):
        board.remarks.append(f"{study.slug} calls the dataset {plain(dataset.title)}; its content is the same.")
    if not shown.coding:
        board.cell = replace(board.cell, dataset=replace(shown, coding=dataset.coding))


def _compare_common(board: Comparable, study: Published, rows: pd.DataFrame) -> None:
    """What a reader must know of cells that other studies have, too."""
    common = board.frame.merge(rows[["key", "top1"]], on="key", suffixes=("", "_again"))
    if common.empty:
        return
    gap = (common["top1"] - common["top1_again"]).abs()
    apart = common[gap > EQUAL]
    finished = common[["top1", "top1_again"]].notna().sum(axis="columns")
    told = []
    if len(apart):
        others = ", ".join(sorted(set(apart["study"])))
        dispute = f"another accuracy than in {others}, by up to {gap.max():.2f} points"
        told.append(f"{len(apart)} of them with {dispute}; what was checked further is shown, else the first")
        board.disputed.append(f"{study.slug} has {count(len(apart), 'cell')} with {dispute}")
    if alone := int((finished == 1).sum()):
        told.append(f"{alone} of them finished in one study alone, which is shown")
    equal = "with equal accuracies" if finished.any() else "finished in none"
    board.remarks.append(
        f"{study.slug} has {count(len(common), 'cell')} that other studies have, too: {'; '.join(told) or equal}."
    )


def _compare_environments(board: Comparable, study: Published) -> None:
    """What a reader must know of a study that ran elsewhere."""
    here, there = ran_with([study]), ran_with(board.members)
    if here != there:
        board.remarks.append(
            f"{study.slug} ran with {here}, the studies before it with {there}: a difference between "
            "their rows may come from that."
        )


def ran_with(studies: Sequence[Published]) -> str:
    """Which torch on which devices: a sentence tells less than `store.record.ENVIRONMENT`, a study's page has all."""
    environments = [one for study in studies for one in study.study.environments]
    told = {f"torch {plain(one.get('torch', '?'))}, {plain(one.get('device', '?'))}" for one in environments}
    return "; ".join(sorted(told))


def _why(one: Comparable, other: Comparable) -> str:
    """Why two boards of one name are two."""
    mine, theirs = _facts(one), _facts(other)
    differing = [
        f"{key} {_short(mine.get(key))} here, {_short(theirs.get(key))} there"
        for key in {**mine, **theirs}
        if mine.get(key) != theirs.get(key)
    ]
    if differing:
        return "; ".join(differing)
    shared = set(one.pairing) & set(other.pairing)
    if not shared:
        return "no seed in common, so that nothing is paired"
    differing_parts = {part for block, part in shared if one.pairing[block, part] != other.pairing[block, part]}
    parts = [part for part in PARTS if part in differing_parts]
    return f"the same seeds gave other {', '.join(part.replace('_', ' ') for part in parts)}, so that nothing is paired"


def _facts(board: Comparable) -> dict[str, Any]:
    """What makes rows comparable, but for the hashes of what they share."""
    named = {"dataset.fingerprint": "dataset content", "scoring.dtype": "scores in"}
    found = {
        named.get(name, name.replace(".", " ")): value
        for name, value in facts(board.cell).items()
        if name.partition(".")[0] in ("protocol", "dataset", "model", "recipe", "train") or name in named
    }
    content = board.cell.dataset.fingerprint[:12]
    found["prunable besides"] = ", ".join(board.cell.scoring.include)
    found["scoring images at once"] = board.cell.scoring.batch or ""
    return {**found, "dataset content": content, "sparsities": ", ".join(f"{s:g}" for s in board.sparsities)}


def _how_many(sparsities: Sequence[float]) -> str:
    return f"{len(sparsities)} {'sparsity' if len(sparsities) == 1 else 'sparsities'}"


def _worded(board: Comparable, sparsities: Callable[[Sequence[float]], str]) -> dict[str, str]:
    """The same in a few words each."""
    called = {"recipe lr": "learning rate"}
    told = {
        name: f"{called.get(name, name.removeprefix('recipe ').replace('_', ' '))} {_short(value)}"
        for name, value in _facts(board).items()
    }
    return {**told, "sparsities": sparsities(board.sparsities)}


def _short(value: Any) -> str:
    return plain(value)[:80] if value not in ("", None) else "none"


def of_one_training(found: Sequence[Comparable]) -> list[Comparable]:
    """The boards of plain training, else those that are trained as the first is: others take no part in means."""
    ways = [one.cell.train for one in found]
    way = PLAIN if PLAIN in ways else next(iter(ways), PLAIN)
    return [one for one in found if one.cell.train.text == way.text]


def of_each_network(found: Sequence[Comparable]) -> list[Comparable]:
    """Of the boards of one dataset and network that with the most blocks, and of equal ones the first: the others have
    the same networks, trained by other recipes or to other sparsities, and would count each of them again."""
    best: dict[str, Comparable] = {}
    for one in found:
        if one.title not in best or one.board.blocks > best[one.title].board.blocks:
            best[one.title] = one
    return list(best.values())


def on_all(found: Sequence[Comparable]) -> list[str]:
    """Criteria that are on every board, in the order of the first: the only ones whose mean ranks compare.

    Boards are those of one training (`of_one_training`), of each network one (`of_each_network`)."""
    return [name for name in found[0].studies if all(name in board.studies for board in found)] if found else []


def together(found: Sequence[Comparable]) -> pd.DataFrame:
    """All boards as one frame of what is on all: each is a stratum of its own, whose blocks are compared within it."""
    names = on_all(found)
    frames = [one.frame.assign(dataset=one.slug, model="", block=one.frame["block"] + one.slug) for one in found]
    whole = pd.concat(frames, ignore_index=True)
    return whole[whole["criterion"].isin(names)]
