"""What a study could have detected, told in one sentence from the spread of its own differences."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import pandas as pd

from pabench.statistics.intervals import LEVEL
from pabench.statistics.outcomes import COLLAPSED
from pabench.statistics.power import Comparison
from pabench.statistics.spread import measured, samples, uncertainty
from pabench.suite.cell import DENSE
from pabench.words import number

POWER = 0.8


@dataclass(frozen=True)
class Detection:
    """A sentence on what could have been detected, and the numbers that it rests on ("" where there are none)."""

    said: str
    basis: str = ""


def could_detect(cells: pd.DataFrame) -> Detection:
    """The true difference between two criteria that a study like this finds in 8 of 10 cases; "" with one criterion.

    `cells` are plain ones. Over all models, each counting the same, at the first step of Holm's correction over all
    pairs of criteria. Of models with unlike numbers of seeds the fewest count.
    """
    ranked = cells[(cells["criterion"] != DENSE) & (cells["reference_line"] == "")]
    if (pairs := comb(ranked["criterion"].nunique(), 2)) == 0:
        return Detection("")
    finished = ranked["block"].where(ranked["top1"].notna()).groupby([ranked["dataset"], ranked["model"]]).nunique()
    models = len(finished)
    few = [" · ".join(model) for model in finished.index[finished < 2]]
    if 2 * len(few) > models > 1 and finished.min() == 1:  # as `over_models` has it
        return Detection(
            "Most models have a single seed, and the tests compare models: what they could have detected is not told."
        )
    if len(few) == models:
        return Detection(
            "Fewer than two seeds are finished: no difference between two criteria can be told from chance."
        )
    if few:
        of = few[0] if len(few) == 1 else f"{len(few)} of {models} models"
        return Detection(
            f"Fewer than two seeds of {of} are finished: what the whole study can detect is not known yet."
        )
    spread = measured(ranked)
    if spread is None or spread.sd is None:
        return Detection(f"What these seeds could have detected is not known: {_unknown(ranked)}.")
    found = Comparison(spread.sd, LEVEL / pairs, models).detectable(spread.blocks, POWER)
    assert found is not None
    least, most = uncertainty(spread.blocks)
    held = " after Holm's correction" if pairs > 1 else ""
    among = f"the clearest of {pairs} pairs" if pairs > 1 else "one pair"
    over = f", over {models} models" if models > 1 else ""
    basis = (
        f"What is found in 8 of 10 studies is the smallest true difference that {among} shows with power {POWER:g} at "
        f"5 %{held}{over}. "
        f"Differences between two criteria vary by {number(spread.sd)} points from seed to seed (standard deviation); "
        f"with {spread.blocks} seeds the true value may be {least:.2f} to {most:.2f} times that (95 % interval)."
    )
    if found > 100:  # no two accuracies are further apart
        return Detection(
            f"With {spread.blocks} seeds no difference between two criteria, however large, would be found.", basis
        )
    fell = " of which no cell collapsed" if (ranked["outcome"] == COLLAPSED).any() else ""  # the others have no spread
    typical = " That is for a pair of typical spread: half of the pairs vary more, and need more." if pairs > 1 else ""
    return Detection(
        f"With {spread.blocks} seeds a true difference between two criteria{fell} is found in 8 of 10 such studies if "
        f"it is {number(found)} points or more.{typical}",
        basis,
    )


def _unknown(ranked: pd.DataFrame) -> str:
    """Why the differences of two criteria have no spread."""
    fell = (ranked["outcome"] == COLLAPSED).groupby(ranked["criterion"]).any()
    if fell.any() and (~fell).sum() < 2:
        return "of every two criteria one has cells that collapsed to chance"
    if not samples(ranked):
        return "no two criteria have finished two seeds of a model in common"
    return "no two criteria differ from each other by seed"
