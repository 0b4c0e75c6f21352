"""What a study could have detected, told in one sentence from the spread of its own differences."""

from __future__ import annotations

from math import comb

import pandas as pd

from pabench.statistics.intervals import LEVEL
from pabench.statistics.power import Comparison
from pabench.statistics.spread import measured, uncertainty
from pabench.suite.cell import DENSE
from pabench.words import number

POWER = 0.8


def could_detect(cells: pd.DataFrame) -> str:
    """The true difference between two criteria that a study like this finds in 8 of 10 cases; "" with one criterion.

    `cells` are plain ones. Over all models, each counting the same, at the first step of Holm's correction over all
    pairs of criteria. Of models with unlike numbers of seeds the fewest count.
    """
    ranked = cells[(cells["criterion"] != DENSE) & (cells["reference_line"] == "")]
    if (pairs := comb(ranked["criterion"].nunique(), 2)) == 0:
        return ""
    finished = ranked[ranked["top1"].notna()].groupby(["dataset", "model"])["block"].nunique()
    models = ranked.groupby(["dataset", "model"]).ngroups
    if len(finished) < models or finished.min() < 2:
        return "Fewer than two seeds are finished: no difference between two criteria can be told from chance."
    spread = measured(ranked)
    if spread is None or spread.sd is None:
        return "What these seeds could have detected is not known: no two criteria differ from each other by seed."
    found = Comparison(spread.sd, LEVEL / pairs, models).detectable(spread.blocks, POWER)
    over = f"over {models} models, " if models > 1 else ""
    corrected = f", Holm over {pairs} pairs" if pairs > 1 else ""
    assert found is not None
    what = f"a true difference of {number(found)} points" if found <= 100 else "no difference, however large,"
    least, most = uncertainty(spread.blocks)
    return (
        f"These {spread.blocks} seeds could have detected {what} between two criteria "
        f"({over}power {POWER:g}{corrected}), as differences vary by {number(spread.sd)} points from seed to seed; "
        f"from {spread.blocks} seeds that is known to within {least:.2f} to {most:.2f} times (95 %)."
    )
