"""Pairs of criteria: what their blocks say."""

from __future__ import annotations

import numpy as np
import pytest
from pabench_reports.duels import duels
from scipy import stats
from statsmodels.stats.multitest import multipletests

from pabench.statistics.paired import stratified

from ..report.test_page import study_of
from ..synthetic import CRITERIA, cells
from .test_comparison import GAPS, ahead


def test_a_pair_has_the_numbers_that_a_hand_computes():
    """Six differences, all positive: t by scipy, Wilcoxon 2 / 64, each of six blocks won."""
    (duel,) = duels(stratified(ahead(GAPS).plain.query("criterion != 'dense'")), ["snip", "random"])

    assert duel.difference.mean == pytest.approx(np.mean(GAPS))
    assert duel.t.p == pytest.approx(stats.ttest_1samp(GAPS, 0).pvalue)
    assert (duel.ranks.p, duel.ranks.n) == (2 / 64, 6)
    assert (duel.won.mean, duel.won.low) == pytest.approx((1.0, 0.025 ** (1 / 6)))
    assert duel.verdict == "snip"


def test_both_tests_are_corrected_for_all_pairs_of_their_table():
    study = study_of(cells(models=["resnet20"], seeds=7))
    names = [*list(CRITERIA)[:4], "synflow (steps=100)"]
    rows = study.plain.query("criterion != 'dense'").groupby(["criterion", "seed"])["top1"].mean().unstack()

    found = duels(stratified(study.plain.query("criterion != 'dense'")), names)

    gaps = [rows.loc[d.a] - rows.loc[d.b] for d in found]
    t = multipletests([stats.ttest_1samp(x, 0).pvalue for x in gaps], method="holm")[1]
    ranks = multipletests([stats.wilcoxon(x, method="exact").pvalue for x in gaps], method="holm")[1]
    assert [d.t.p for d in found] == pytest.approx(list(t))
    assert [d.ranks.p for d in found] == pytest.approx(list(ranks))
