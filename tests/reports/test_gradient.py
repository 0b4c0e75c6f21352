"""The gradient section: by which factor pruning changes the norm."""

from __future__ import annotations

import pandas as pd
import pytest
from pabench_reports.gradient import _ratio


def test_factors_of_seeds_have_their_geometric_mean():
    """Halved and doubled: nothing changed. Twice 8 and 0.5: the root of 4."""
    rows = pd.DataFrame({"gradient_norm_before": [2.0, 1.0], "gradient_norm_after": [1.0, 2.0]})

    assert _ratio(rows).ratio == pytest.approx(1.0)
    assert (_ratio(rows.assign(gradient_norm_after=[16.0, 0.5])).ratio, _ratio(rows).n) == (pytest.approx(2.0), 2)


def test_a_norm_that_becomes_0_makes_the_mean_0():
    rows = pd.DataFrame({"gradient_norm_before": [2.0, 1.0], "gradient_norm_after": [0.0, 2.0]})

    assert _ratio(rows).ratio == 0.0
