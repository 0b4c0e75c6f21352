"""What was compared: the reviewer's questions about datasets, models, sparsities, seeds, baselines and ablations."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from pabench.report.evidence import VERDICT, Footing, footings, is_random
from pabench.report.frame import in_r2, pruned
from pabench.report.study import Study
from pabench.suite.ablations import INAPPLICABLE
from pabench.suite.cell import DENSE, Cell
from pabench.words import count, percent, plain, span

from .answer import BLALOCK, BOTH, FRANKLE, OWN, Answer, answer

PAIRS, POINTS, SEEDS = 3, 5, 3
"""How many pairs of dataset and model, sparsities and seeds are asked for."""
TOY_DATASETS = frozenset({"digits", "mnist"})
TOY_MODELS = ("lenet",)
LARGE = frozenset({"imagenet"})
ABLATIONS = {
    "shuffle": "Is each mask compared with itself shuffled within layers?",
    "reinit": "Is each mask compared with itself on re-drawn weights?",
    "invert": "Is each ranking compared with its inverse?",
}


@dataclass(frozen=True)
class Scope:
    """A study as these questions see it."""

    study: Study

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Plain cells."""
        return self.study.plain

    @cached_property
    def pruned(self) -> pd.DataFrame:
        """Plain cells of criteria, without dense baselines and reference lines."""
        return pruned(self.frame[self.frame["reference_line"] == ""])

    @cached_property
    def done(self) -> pd.DataFrame:
        """Those of them that have an accuracy."""
        return self.pruned[self.pruned["top1"].notna()]

    @property
    def cells(self) -> Collection[Cell]:
        """In the order of the study's frame."""
        return self.study.cells.values()


def answers(study: Study) -> Iterator[Answer]:
    """In the order a reviewer would ask."""
    scope = Scope(study)
    yield _pairs(scope)
    yield _large(scope)
    yield _whole_data(scope)
    yield _points(scope)
    yield _seeds(scope)
    yield _criterion(scope, "random", "Is random pruning among the criteria?", BOTH)
    yield _erk(scope)
    yield _criterion(scope, "magnitude", "Is magnitude pruning among the criteria?", BOTH)
    yield _dense(scope)
    yield _speaks(scope)
    yield _size_and_flops(scope)
    yield _initial_and_final(scope)
    yield _cost(scope)
    for ablation, question in ABLATIONS.items():
        yield _ablation(scope, ablation, question)
    yield _after_training(scope)
    yield _early(scope)


def _pairs(scope: Scope) -> Answer:
    models = {(str(d), str(m)) for d, m in zip(scope.frame["dataset"], scope.frame["model"], strict=True)}
    toys = {
        (plain(cell.dataset.label), plain(cell.model.label))
        for cell in scope.cells
        if cell.dataset.name in TOY_DATASETS or cell.model.name.startswith(TOY_MODELS)
    }
    left = len(models) - len(toys)
    text = f"{left} of {count(len(models), 'pair')} are no toy problems; at least {PAIRS} are asked for"
    return answer("Are there several pairs of dataset and model?", BLALOCK, text, left >= PAIRS)


def _large(scope: Scope) -> Answer:
    names = sorted({plain(cell.dataset.label) for cell in scope.cells})
    large = [name for name in names if name in LARGE]
    text = f"{', '.join(large) or 'none'} of {', '.join(names)}" if names else "no cell is expected"
    return answer("Is a large-scale dataset among them?", BLALOCK, text, bool(large) if names else None)


def _whole_data(scope: Scope) -> Answer:
    parts: dict[str, str] = {}
    for cell in scope.cells:
        some = [(cell.dataset.args.get(f"{part}_per_class"), what) for part, what in PARTS]
        if kept := [f"{n} {what} images a class" for n, what in some if n]:
            parts[plain(cell.dataset.label)] = " and ".join(kept)
    text = "; ".join(f"{name}: {kept} only" for name, kept in parts.items()) or "all images of every dataset are used"
    return answer("Are whole datasets used, so that numbers compare with others'?", OWN, text, not parts)


PARTS = (("train", "training"), ("test", "test"))


def _points(scope: Scope) -> Answer:
    """A point counts where every criterion has finished it, with one seed at least."""
    points = scope.pruned.groupby(["dataset", "model", "sparsity", "criterion"])["top1"].count().gt(0)
    whole = points.groupby(["dataset", "model", "sparsity"]).all()
    by_model = whole.groupby(["dataset", "model"]).sum()
    fewest = int(by_model.min()) if len(by_model) else 0
    sparsities = sorted(whole[whole].index.get_level_values("sparsity").unique())
    listed = f": {', '.join(percent(s) for s in sparsities)}" if sparsities else ""
    text = f"{fewest} finished by all criteria for the model that has fewest{listed}; at least {POINTS} are asked for"
    return answer("Are there enough operating points to draw a trade-off curve?", BLALOCK, text, fewest >= POINTS)


def _seeds(scope: Scope) -> Answer:
    question = "Is each point repeated, and its spread reported?"
    sizes = scope.pruned.groupby(["dataset", "model", "criterion", "sparsity"])["top1"].count()
    if sizes.empty:
        return answer(question, BOTH, "no pruned cell is expected", None)
    short = int((sizes < SEEDS).sum())
    spread = "means stand with their interval and n" if sizes.max() > 1 else "no interval can be given"
    some = f"; {short} of {len(sizes)} points have fewer than {SEEDS}" if short else ""
    return answer(question, BOTH, f"{span(sizes)} finished seeds a point{some}; {spread}", not short)


def _criterion(scope: Scope, name: str, question: str, source: str) -> Answer:
    labels = scope.pruned["criterion"]
    rows = scope.pruned[labels.str.fullmatch(rf"{name}(?:@.*| \(.*)?")]
    done = int(rows["top1"].notna().sum())
    if rows.empty:
        return answer(question, source, f"no criterion called {name}", False)
    variants = ", ".join(rows["criterion"].unique())
    text = f"{variants}: {done} of {count(len(rows), 'cell')} finished"
    return answer(question, source, text, _everywhere(scope, rows))


def _erk(scope: Scope) -> Answer:
    """As large in each layer as Erdos-Renyi-kernel has it: the random baseline to beat (Liu et al. 2022)."""
    question = "Is ERK random pruning (layers by Erdos-Renyi-kernel) among the criteria?"
    specs = [cell.criterion for cell in scope.cells if cell.criterion]
    named = {plain(c.label) for c in specs if is_random(c.name) and c.args.get("allocation") == "erk"}
    rows = scope.pruned[scope.pruned["criterion"].isin(named)]
    if rows.empty:
        return answer(question, OWN, "no criterion random with allocation: erk", False)
    text = f"{', '.join(sorted(named))}: {int(rows['top1'].notna().sum())} of {count(len(rows), 'cell')} finished"
    return answer(question, OWN, text, _everywhere(scope, rows))


def _everywhere(scope: Scope, rows: pd.DataFrame) -> bool:
    """Whether one of these rows is finished for each dataset, model and sparsity at which anything is pruned."""
    place = ["dataset", "model", "sparsity"]
    asked = set(scope.pruned[place].itertuples(index=False, name=None))
    return asked <= set(rows.loc[rows["top1"].notna(), place].itertuples(index=False, name=None))


def _dense(scope: Scope) -> Answer:
    dense = scope.frame[(scope.frame["criterion"] == DENSE) & (scope.frame["status"] == "ok")]
    blocks, have = scope.frame["block"].nunique(), dense["block"].nunique()
    text = f"finished in {have} of {count(blocks, 'block')}"
    return answer("Is the dense network trained by the same recipe?", BOTH, text, have == blocks > 0)


def _speaks(scope: Scope) -> Answer:
    question = "Can the study speak about the criteria (dense learns, random costs something, seeds can detect it)?"
    found = footings(scope.study)
    several = len(found) > 1

    def told(one: Footing, reasons: Collection[str]) -> str:
        return f"{f'{one.title}: ' if several else ''}{'; '.join(reasons)}"

    if against := [told(one, one.against) for one in found if one.against]:
        return answer(question, OWN, f"{VERDICT}: {'; '.join(against)}", False)
    if unknown := [told(one, one.unknown) for one in found if one.unknown]:
        return answer(question, OWN, f"not shown: {'; '.join(unknown)}", False)
    learned = span(round(x) for x in scope.frame["training_top1"].dropna())
    got = f"{learned} points on their training data"
    if not in_r2(scope.frame):
        got = f"{learned} % of their training images right"
    text = f"dense networks get {got}, and the seeds can detect what random costs"
    but = [told(one, [f"{VERDICT}{one.where}: {reason}" for reason in one.reasons]) for one in found if one.reasons]
    return answer(question, OWN, "; ".join([text, *but]) if found else "no cell is expected", True if found else None)


def _size_and_flops(scope: Scope) -> Answer:
    question = "Are both the size and the FLOPs of the pruned networks reported?"
    if scope.done.empty:
        return answer(question, BLALOCK, "no pruned cell is finished", None)
    both = scope.done[["parameters_pruned", "flops_pruned"]].notna().all(axis=1)
    saved = scope.done["flops_dense"] / scope.done["flops_pruned"].where(scope.done["flops_pruned"] > 0)
    smaller = scope.done["parameters_dense"] / scope.done["parameters_pruned"].where(
        scope.done["parameters_pruned"] > 0
    )
    ranges = f": {_range(smaller)} times fewer parameters, {_range(saved)} times fewer FLOPs" if both.any() else ""
    counted = "(counted, not measured: a multiplication and an addition are two FLOPs)"
    text = f"both in {int(both.sum())} of {count(len(both), 'finished cell')}{ranges} {counted}"
    return answer(question, BLALOCK, text, bool(both.all()))


def _range(values: pd.Series) -> str:
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    return low if low == high else f"{low} to {high}"


def _initial_and_final(scope: Scope) -> Answer:
    question = "Is the accuracy before and after pruning given in absolute numbers, top-1 and top-5?"
    if scope.done.empty:
        return answer(question, BLALOCK, "no pruned cell is finished", None)
    dense = set(scope.frame.loc[(scope.frame["criterion"] == DENSE) & scope.frame["top1"].notna(), "block"])
    absolute = scope.done["top5"].notna() | (scope.done["r2"].notna() if "r2" in scope.done else False)
    whole = scope.done["block"].isin(dense) & absolute
    text = f"both of the cell and of its dense baseline in {int(whole.sum())} of {count(len(whole), 'finished cell')}"
    return answer(question, BLALOCK, text, bool(whole.all()))


def _cost(scope: Scope) -> Answer:
    question = "Is the cost of pruning reported?"
    if scope.done.empty:
        return answer(question, OWN, "no pruned cell is finished", None)
    told, rounds = scope.done["scoring_seconds"].notna(), scope.done["rounds"].dropna()
    most = f"; {rounds.min():.0f} to {rounds.max():.0f} rounds" if len(rounds) else ""
    images = scope.done["scoring_images"].dropna()
    seen = f"; {images.min():.0f} to {images.max():.0f} scoring images" if len(images) else "; images not recorded"
    text = f"seconds of {int(told.sum())} of {count(len(told), 'finished cell')}{most}{seen}"
    return answer(question, OWN, text, bool(told.all()))


def _ablation(scope: Scope, ablation: str, question: str) -> Answer:
    """Met where every criterion that it means something to has it, and every such cell is finished."""
    frame = scope.study.frame
    rows = frame[frame["ablation"] == ablation]
    if rows.empty:
        return answer(question, FRANKLE, f"the suite has no ablation {ablation}", False)
    useful = rows[(rows["kind"] != INAPPLICABLE) & (rows["reference_line"] == "")]
    useless = set(rows["criterion"]) - set(useful["criterion"])
    asked = set(scope.pruned["criterion"]) - useless
    done, without = int(useful["top1"].notna().sum()), len(asked - set(useful["criterion"]))
    text = f"{done} of {count(len(useful), 'cell')} finished, of {len(asked) - without} of {len(asked)} criteria"
    text += f"; it means nothing to {', '.join(sorted(useless))}" if useless else ""
    return answer(question, FRANKLE, text, done == len(useful) > 0 and not without if asked else None)


def _after_training(scope: Scope) -> Answer:
    question = "Is there pruning after training to measure against?"
    rows = scope.study.frame[[bool(cell.criterion and cell.criterion.trains) for cell in scope.cells]]
    rows = rows[rows["ablation"] == ""]
    if rows.empty:
        return answer(question, FRANKLE, "no reference line prunes trained weights", False)
    done, names = int(rows["top1"].notna().sum()), ", ".join(rows["criterion"].unique())
    text = f"{names}: {done} of {count(len(rows), 'cell')} finished"
    return answer(question, FRANKLE, text, _everywhere(scope, rows))


def _early(scope: Scope) -> Answer:
    """Masks that take hold after some epochs: a reference line with weights rewound to later than the start."""
    trained = [cell.criterion for cell in scope.cells if cell.criterion and cell.criterion.trains]
    epochs = sorted({int(criterion.args.get("rewind_epochs") or 0) for criterion in trained} - {0})
    text = "all masks take hold at the first iteration; no reference line rewinds to a later epoch"
    if epochs:
        text = f"masks that take hold after {', '.join(map(str, epochs))} epochs"
    question = "Is it shown what networks pruned some iterations into training reach?"
    return answer(question, FRANKLE, text, bool(epochs))
