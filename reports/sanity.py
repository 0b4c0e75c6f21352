"""The sanity battery: what is left of a criterion when its mask, its weights or its scores are not its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pandas as pd
from matplotlib.figure import Figure

from pabench.report.frame import criteria_of, pruned
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.statistics.intervals import Interval, interval_text
from pabench.suite.ablations import ABLATIONS
from pabench.words import count, number, percent, signed, span

from .battery import Judgement, battery, change_interval, changes, could_have_seen, judged
from .figure import INK, INTERVAL, WIDTH, Drawn, Look, Panel, looks_of, mark, short

QUESTION = "Does the choice of weights matter, or only the layer densities?"


@dataclass(frozen=True)
class Words:
    """What is said of an ablation: where the plain cells are better and where they are worse, each with what follows,
    and what is not separable; `masks` are those of the ablation."""

    better: tuple[str, str]
    worse: tuple[str, str]
    neither: str
    masks: str


WORDS = {
    "shuffle": Words(
        ("beats its own shuffle by {}", "the choice of weights matters, not only the layer densities"),
        ("loses to its own shuffle by {}", "its layer densities are better than its choice of weights"),
        "cannot be told from its own shuffle ({}): nothing shows that more than its layer densities matters",
        "shuffled masks",
    ),
    "reinit": Words(
        ("re-drawn weights cost {}", "the mask belongs to its weights"),
        ("re-drawn weights gain {}", "the mask does better with others"),
        "re-drawn weights ({})",
        "masks on re-drawn weights",
    ),
    "invert": Words(
        ("keeping the lowest scores costs {}", "the ranking has a direction"),
        ("keeping the lowest scores gains {}", "the ranking points the wrong way"),
        "the lowest scores instead of the highest ({})",
        "inverted masks",
    ),
    "random_labels": Words(
        ("scoring with permuted labels costs {}", "the labels matter"),
        ("scoring with permuted labels gains {}", "the labels mislead"),
        "permuted labels ({})",
        "masks scored with permuted labels",
    ),
    "shuffled_pixels": Words(
        ("scoring with permuted pixels costs {}", "the images matter"),
        ("scoring with permuted pixels gains {}", "the images mislead"),
        "permuted pixels ({})",
        "masks scored with permuted pixels",
    ),
}


@dataclass(frozen=True)
class Changes:
    """A criterion on one model at one sparsity: changes under ablations, or why there is none; `seeds` planned."""

    model: str
    criterion: str
    sparsity: float
    intervals: dict[str, Interval]
    unfinished: dict[str, str]
    seeds: int


class Sanity(Section):
    """Paired changes of the ablations of a suite, with a verdict for each criterion."""

    name = "sanity"
    title = "Sanity battery"
    order = 35

    def render(self, study: Study) -> str | None:
        changed = changes(study.frame)
        if changed.empty:
            return None
        ablations = [name for name in ABLATIONS if (changed["ablation"] == name).any()]
        models = [(str(name), rows) for name, rows in changed.groupby("stratum", sort=False)]
        return self.fill(
            "sanity.html.j2",
            intro=(),
            figures=self.figures(study),
            ablations={name: ABLATIONS[name] for name in ablations},
            verdicts=verdicts(study, ablations),
            shuffled=shuffled(study),
            models=[(name, _lines(name, rows)) for name, rows in models],
            interval_text=interval_text,
        )

    def figures(self, study: Study) -> list[Drawn]:
        changed, styles = changes(study.frame), looks_of(study.plain)
        ablations = [name for name in ABLATIONS if (changed["ablation"] == name).any()]
        models = changed.groupby("stratum", sort=False)
        return [draw(rows, ablations, styles, str(name)) for name, rows in models if rows["change"].notna().any()]


def verdicts(study: Study, ablations: list[str]) -> list[tuple[str, str]]:
    """A sentence for each criterion, over all datasets and models of the study."""
    criteria = criteria_of(study.plain)
    found = battery(changes(study.frame), criteria)
    said = {name: _clauses({ablation: found[ablation, name] for ablation in ablations}) for name in criteria}
    return [(name, f"{'; '.join(clauses) or 'no data yet'}.") for name, clauses in said.items()]


def shuffled(study: Study) -> str:
    """Which criteria beat their own shuffled masks, in one sentence; "" where no mask was shuffled."""
    ranked = pruned(study.plain[study.plain["reference_line"] == ""])
    names = [str(name) for name in ranked["criterion"].unique()]
    changed = changes(study.frame)
    if not (changed["ablation"] == "shuffle").any():
        return ""
    found = judged(changed, "shuffle", names)
    better = [name for name in names if found[name].verdict == "better"]
    who = f": {', '.join(better)}" if better else ""
    beat = "beat their own shuffled masks" if len(better) > 1 else "beats its own shuffled mask"
    return f"{len(better) or 'None'} of {len(names)} criteria {beat}{who}."


def _clauses(judgements: dict[str, Judgement]) -> list[str]:
    """First what the shuffle says, then the other separable changes, then what is not separable."""
    clauses: list[str] = []
    unseparated: list[str] = []
    for ablation, judgement in judgements.items():
        words = WORDS[ablation]
        if judgement.verdict in ("better", "worse"):
            clauses.append(_separable(judgement, words))
        elif judgement.verdict == "no verdict":
            where = f"{judgement.unfinished} of {count(judgement.blocks, 'block')}"
            clauses.append(f"no verdict on {words.masks}: cells failed or are missing in {where}")
        elif judgement.verdict == "not separable":
            place = clauses if ablation == "shuffle" else unseparated
            place.append(words.neither.format(_unseparable(judgement, words, signs=ablation == "shuffle")))
    sizes = {judgement.change.n for judgement in judgements.values()} - {0}
    n = [f"n = {span(sizes)}"] if sizes else []
    return [*clauses, *([f"no change found: {', '.join(unseparated)}"] if unseparated else []), *n]


def _separable(judgement: Judgement, words: Words) -> str:
    """The change and what follows from it, which is nothing where masks connect nothing: any network beats those."""
    change = judgement.change
    fact, conclusion = words.better if judgement.verdict == "better" else words.worse
    how = "; by signs, as cells collapsed" if judgement.flipped else "; cells collapsed" if judgement.collapsed else ""
    told = fact.format(f"{number(abs(change.mean))} points ({_spread(_upwards(change))}{how})")
    if empty := _empty(judgement, words):
        return f"{told}, but {empty}: this does not show that {conclusion}"
    return f"{told}: {conclusion}"


def _unseparable(judgement: Judgement, words: Words, *, signs: bool) -> str:
    """The change beside what the test could have seen and, if wanted, in how many blocks its sign is which."""
    change = judgement.change
    told = [f"{signed(change.mean)}, {_spread(change)}"]
    if signs:
        told.append(f"better in {judgement.ups} and worse in {judgement.downs} of {count(judgement.whole, 'block')}")
    told.append(could_have_seen(judgement))
    return "; ".join([*told, *filter(None, [_empty(judgement, words)])])


def _empty(judgement: Judgement, words: Words) -> str:
    """Which masks are known to connect nothing; "" where none is."""
    of = judgement.masks
    parts = [(judgement.empty, words.masks), (judgement.own_empty, "own masks")]
    told = " and ".join(f"{n} of {of} {masks}" for n, masks in parts if n)
    return f"{told} connect nothing (effective density 0)" if told else ""


def _upwards(change: Interval) -> Interval:
    """The interval of the size of a change: that of a loss is turned round."""
    if change.mean >= 0 or change.low is None or change.high is None:
        return change
    return replace(change, mean=-change.mean, low=-change.high, high=-change.low)


def _spread(change: Interval) -> str:
    return "no interval" if change.low is None else f"{signed(change.low)} to {signed(change.high)}"


def _lines(model: str, changed: pd.DataFrame) -> list[Changes]:
    lines = []
    for (criterion, sparsity), rows in changed.groupby(["criterion", "sparsity"], sort=False):
        groups = {str(name): group for name, group in rows.groupby("ablation", sort=False)}
        intervals = {
            name: change_interval(g[g["change"].notna()]) for name, g in groups.items() if g["change"].notna().any()
        }
        unfinished = {name: _why(group) for name, group in groups.items() if name not in intervals}
        seeds = int(rows["block"].nunique())
        lines.append(Changes(model, str(criterion), float(sparsity), intervals, unfinished, seeds))
    return lines


def _why(rows: pd.DataFrame) -> str:
    """Why none of these cells has a change."""
    kinds = sorted({kind or status for kind, status in zip(rows["kind"], rows["status"], strict=True)})
    return ", ".join(kinds) if kinds != ["ok"] else "parent without result"


def draw(changed: pd.DataFrame, ablations: list[str], styles: Mapping[str, Look], model: str) -> Drawn:
    """One panel per ablation: criteria downwards, the change at each sparsity with its interval."""
    criteria = [str(name) for name in changed["criterion"].unique()]
    sparsities = sorted(changed["sparsity"].unique())
    seen = [name for name in ablations if changed.loc[changed["ablation"] == name, "change"].notna().any()]

    def painted(ablation: str) -> Callable[[Figure], None]:
        rows = changed[(changed["ablation"] == ablation) & changed["change"].notna()]

        def paint(figure: Figure) -> None:
            axes = figure.subplots()
            axes.axvline(0, color=INK, linewidth=0.9)
            for place, sparsity in enumerate(sparsities):
                shift = 0.56 * ((place + 0.5) / len(sparsities) - 0.5)
                _points(axes, rows[rows["sparsity"] == sparsity], criteria, styles, sparsity, shift)
            axes.set_title(ablation.replace("_", " "), loc="left")
            axes.grid(axis="x")
            axes.set_yticks(range(len(criteria)), [short(name, 20) for name in criteria])
            axes.set_ylim(len(criteria) - 0.5, -0.5)
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            axes.set_xlabel("criterion minus ablation, points of top-1")

        return paint

    height = 0.9 + (0.18 + 0.14 * len(sparsities)) * len(criteria)
    panels = [
        Panel(
            painted(name),
            WIDTH,
            height,
            f"sanity-{name}-{model}",
            f"Change in top-1 under {name.replace('_', ' ')} of {len(criteria)} criteria, {model}",
        )
        for name in seen
    ]
    return Drawn(f"{QUESTION} {model}", tuple(panels), _notes(changed), of=model)


def _points(
    axes, rows: pd.DataFrame, criteria: list[str], styles: Mapping[str, Look], sparsity: float, shift: float
) -> None:
    for criterion, group in rows.groupby("criterion", sort=False):
        interval, y, look = change_interval(group), criteria.index(criterion) + shift, styles[str(criterion)]
        told = f"{criterion} at {percent(sparsity)}: {signed(interval.mean)}, {_spread(interval)}, n = {interval.n}"
        if interval.low is not None:
            axes.plot([interval.low, interval.high], [y, y], color=look.color, linewidth=1.3)
        axes.plot(
            [interval.mean], [y], color=look.color, marker=look.marker, markersize=5, gid=mark(str(criterion), told)
        )


def _notes(changed: pd.DataFrame) -> tuple[str, ...]:
    sizes = changed[changed["change"].notna()].groupby(["criterion", "sparsity", "ablation"]).size()
    bars = f"Bars: {INTERVAL}." if sizes.max() > 1 else "One seed: no interval can be given."
    fell = ("No bar where a cell collapsed to chance.",) if (changed["fell"] & changed["change"].notna()).any() else ()
    return (
        f"Points: mean paired change over seeds (n = {span(sizes)}).",
        bars,
        *fell,
        "Lower sparsities stand above higher ones.",
        "Each panel has its own scale.",
    )
