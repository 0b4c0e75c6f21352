"""How much masks overlap, and what chance gives."""

from __future__ import annotations

import numpy as np
import pytest
from pabench_reports import overlaps

from .test_diagnostics import SMALL, files, study, usual


def test_the_matrix_has_the_overlap_below_and_the_layers_chance_above_the_diagonal():
    def jaccard(a, b):
        return {0: 0.2, 1: 0.4}[a.seed]

    pairs = overlaps.overlaps(study(SMALL, files(SMALL, usual, jaccard)))
    found = overlaps.matrix(pairs[pairs["sparsity"] == 0.9], ["random", "snip"])

    assert len(pairs) == 4
    assert found[1, 0] == pytest.approx(0.3)
    assert found[0, 1] == pytest.approx(0.1)
    assert np.isnan(np.diag(found)).all()
