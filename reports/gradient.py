"""Gradient norm before and after pruning: what GraSP claims to preserve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pabench.report.section import Section
from pabench.report.study import Study


@dataclass(frozen=True)
class Ratio:
    """Geometric mean over seeds of the norm after pruning over the norm before, and how many seeds it rests on."""

    ratio: float
    n: int


@dataclass(frozen=True)
class Norms:
    """A criterion on one model: its ratio at each sparsity."""

    model: str
    criterion: str
    ratios: dict[float, Ratio]


class Gradient(Section):
    """The factor by which pruning changes the norm of the gradient, for each criterion and sparsity."""

    name = "gradient"
    title = "Gradient norm"
    order = 60

    def render(self, study: Study) -> str | None:
        frame = study.plain
        known = frame[frame["gradient_norm_after"].notna() & (frame["gradient_norm_before"] > 0)]
        if known.empty:
            return None
        lines = [
            Norms(f"{dataset} · {model}", str(criterion), {float(s): _ratio(r) for s, r in rows.groupby("sparsity")})
            for (dataset, model, criterion), rows in known.groupby(["dataset", "model", "criterion"], sort=False)
        ]
        sparsities = sorted({s for line in lines for s in line.ratios})
        return self.fill("gradient.html.j2", lines=lines, sparsities=sparsities)


def _ratio(rows: pd.DataFrame) -> Ratio:
    ratios = (rows["gradient_norm_after"] / rows["gradient_norm_before"]).to_numpy()
    mean = float(np.exp(np.log(ratios).mean())) if (ratios > 0).all() else 0.0
    return Ratio(mean, len(ratios))
