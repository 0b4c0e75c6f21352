"""Pairs of criteria: what their blocks say."""

from __future__ import annotations

import numpy as np
import pytest
from pabench_reports.comparison import Comparison
from pabench_reports.duels import duels
from scipy import stats
from statsmodels.stats.multitest import multipletests

from pabench.statistics.paired import stratified

from ..report.test_page import study_of
from ..synthetic import CRITERIA, cells, failed, with_top1
from .test_comparison import GAPS, ahead, words


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


def test_a_pair_with_failed_cells_has_neither_p_nor_verdict():
    study = study_of(
        cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], seeds=8),
        snip=lambda c: failed(c) if c.seed == 3 else with_top1(lambda one: 97 + 0.01 * one.seed)(c),
    )

    (duel,) = duels(stratified(study.plain.query("criterion != 'dense'")), ["snip", "random"])

    assert (duel.t.p, duel.ranks.p, duel.verdict, duel.unfinished, duel.blocks) == (None, None, "", 1, 8)
    said = words(Comparison().render(study))
    assert "no verdict: failed or missing cells in 1 of 8 blocks" in said
    assert "No pair has a verdict" in said


def test_a_pair_of_which_cells_collapsed_is_tested_by_signs_and_never_called_equal():
    study = study_of(
        cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=5),
        snip=with_top1(lambda c: 10.0 if c.seed == 3 else 90.0),
        random=with_top1(lambda c: 90.0),
    )

    (duel,) = duels(stratified(study.plain.query("criterion != 'dense'")), ["snip", "random"])

    assert (duel.flipped, duel.difference.low, duel.t.p, duel.verdict) == (True, None, 1.0, "")
    assert "cannot be told apart, not equal: cells collapsed" in words(Comparison().render(study))
