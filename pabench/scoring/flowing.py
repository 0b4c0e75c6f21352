"""Rounds of scoring and pruning of a flow: what is pruned is gone, and the last masks are those of the plain rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pabench.networks.flow import Flow
from pabench.scoring.selection import Scores, Selection, kth_highest, picked, places

OFTEN = 0.6
"""Dead channels are looked for when so much is left of what was left the last time: it costs about as much as a round,
and few die while more than a quarter of the weights are there."""


def flow_rounds(flow: Flow, counts: Sequence[int]) -> tuple[Scores, Selection] | None:
    """The scores of the first round, and the masks when `counts` weights were kept one round after another.

    The highest scores are kept, of equal ones the first. None where that is not enough: scores of 0 would have to be
    kept (which of them is decided among all weights, and not among those of live channels), or are no finite numbers.
    """
    first, look, live = None, counts[0] / 4, None
    for kept in counts:
        scores = flow.scores()
        first = first or Scores({n: s.clone() for n, s in flow.whole(scores).items()})
        values = scores if live is None else scores.index_select(0, live)
        if kept > len(values) or not math.isfinite(values.sum()):
            return None
        threshold = kth_highest(values, kept)
        if threshold <= 0:
            return None
        mask = values >= threshold
        surplus = int(mask.count_nonzero()) - kept
        if surplus:
            mask[(values == threshold).nonzero().flatten()[-surplus:]] = False
        gone = places(~mask)
        flow.drop(gone if live is None else live.index_select(0, gone))
        shrunk = counts[-1] < kept <= look and flow.shrink()
        look = OFTEN * kept if kept <= look else look
        live = places(flow.weights) if shrunk else places(mask) if live is None else picked(live, mask)
    assert first
    tied = int((values == threshold).count_nonzero())
    return first, Selection({n: w != 0 for n, w in flow.whole(flow.weights).items()}, tied, tied - surplus)
