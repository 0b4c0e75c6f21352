"""Whether the order of the criteria is the same under several trainings."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from scipy.stats import kendalltau

from pabench.report.frame import pruned, strata
from pabench.report.study import Study
from pabench.words import count, percent

FEWEST = 2
"""Criteria: one alone has no order."""


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b of the criteria's mean top-1 under the first training of a study and under each other one, by
    that one and by sparsity: 1 for the same order, -1 for the reverse.

    Means are over the blocks that all `criteria` finished under both, and tau is averaged over datasets and models
    (`blocks` of them all, the least). A sparsity without such blocks, or where all means are equal, has none.
    """

    first: str
    taus: dict[str, dict[float, float]]
    criteria: int
    blocks: int

    @property
    def said(self) -> str:
        """In one line."""
        if self.criteria < FEWEST or not any(self.taus.values()):
            return "nothing can be said of the order of the criteria: no two of them are finished under two trainings"
        same = all(tau == 1 for found in self.taus.values() for tau in found.values())
        told = "; ".join(
            f"{name} {', '.join(f'{tau:.2f} at {percent(sparsity)}' for sparsity, tau in found.items())}"
            for name, found in self.taus.items()
            if found
        )
        verdict = "is the same under every training" if same else "is not the same under every training"
        return (
            f"the order of the {self.criteria} criteria by mean accuracy over {count(self.blocks, 'block')} {verdict}; "
            f"Kendall's tau with {self.first} (1: the same order, -1: reversed): {told}"
        )


def agreement(study: Study) -> Agreement:
    """Of the ranked criteria of a study, at each sparsity."""
    rows = pruned(study.plain)
    rows = rows[rows["reference_line"] == ""]
    first, *others = study.trainings
    names = [set(rows.loc[rows["train"] == training, "criterion"]) for training in study.trainings]
    criteria = set.intersection(*names)
    rows = rows[rows["criterion"].isin(criteria)]
    found: dict[str, dict[float, float]] = {}
    least: list[int] = []
    for other in others:
        found[other] = {}
        for sparsity, some in rows.groupby("sparsity"):
            taus = []
            for _, place in strata(some):
                tau, blocks = _tau(place, first, other, len(criteria))
                if blocks:
                    least.append(blocks)
                if tau is not None:
                    taus.append(tau)
            if taus:
                found[other][float(sparsity)] = sum(taus) / len(taus)  # type: ignore[arg-type]
    return Agreement(first, found, len(criteria), min(least, default=0))


def _tau(rows: pd.DataFrame, first: str, other: str, criteria: int) -> tuple[float | None, int]:
    """Tau of one dataset, model and sparsity, and the blocks that it is from."""
    tables = [
        rows[rows["train"] == training].pivot(index="block", columns="criterion", values="top1").dropna()
        for training in (first, other)
    ]
    common = tables[0].index.intersection(tables[1].index)
    means = [table.loc[common].mean() for table in tables]
    if criteria < FEWEST or not len(common) or any(len(mean) < criteria or mean.nunique() < FEWEST for mean in means):
        return None, len(common)
    return float(kendalltau(means[0], means[1].reindex(means[0].index)).statistic), len(common)
