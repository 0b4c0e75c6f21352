"""The scores section: what receipts say of scores, and histograms that add up over seeds."""

from __future__ import annotations

import doctest
import json
import re
from html import unescape

import numpy as np
import pytest
import torch
from pabench_reports import scores as section

from pabench.report import frame
from pabench.scoring import receipt

from ..synthetic import CRITERIA, cells, manifest, record


def study(histograms=None, quantiles=None):
    """SNIP on one model at two sparsities; by seed what the receipts hold."""
    expected = cells([CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9, 0.98], seeds=2)
    records = {}
    for cell in expected:
        made = record(cell)
        if cell.criterion and histograms:
            made["receipt"]["score_histogram"] = histograms[cell.seed]
        if cell.criterion and quantiles:
            made["receipt"]["scores"] = quantiles[cell.seed]
        if cell.criterion:
            made["receipt"]["zero_scores"] = made["receipt"]["total"] // 2
        records[cell.key] = made
    return frame.study(manifest(expected), records)


def test_doctests_hold():
    assert doctest.testmod(receipt).failed == 0
    assert doctest.testmod(section).failed == 0


def test_a_histogram_counts_every_finite_score_once():
    """1 to 9.99 make bins 0 to 3, 10 the fourth; -0.1 lies in bin -4; zeros lie in none."""
    finite = torch.tensor([-0.1, 0.0, 0.0, 1.0, 2.0, 4.0, 9.0, 10.0], dtype=torch.float64)

    assert receipt.histogram(finite) == {
        "first": -4,
        "positive": [0, 0, 0, 0, 1, 1, 1, 1, 1],
        "negative": [1, 0, 0, 0, 0, 0, 0, 0, 0],
        "zero": 2,
    }


def test_scores_of_extreme_range_are_counted_in_the_lowest_bin():
    found = receipt.histogram(torch.tensor([1e-200, 1e-100, 1.0], dtype=torch.float64))

    assert (found["first"], found["positive"][0], found["positive"][-1]) == (-96, 2, 1)
    assert sum(found["positive"]) == 3
    assert receipt.histogram(torch.zeros(3)) == {"first": 0, "positive": [], "negative": [], "zero": 3}


def test_histograms_add_up_over_seeds_and_sparsities_are_not_counted_twice():
    """Seed 0: 3 positive scores in bin 0; seed 1: 1 in bin 1, 2 negative ones, 4 zeros: shares of 10."""
    made = study([
        {"first": 0, "positive": [3], "negative": [0], "zero": 0},
        {"first": 1, "positive": [1], "negative": [2], "zero": 4},
    ])  # fmt: skip

    (found,) = section.distributions(made, made.plain)

    assert found.seeds == 2
    assert found.bins.tolist() == [0, 0.25]
    assert found.positive.tolist() == pytest.approx([0.3, 0.1])
    assert found.negative.tolist() == pytest.approx([0.0, 0.2])


def test_quantiles_are_medians_over_seeds_and_need_no_histogram():
    names = ("0", "0.25", "0.5", "0.75", "1")
    made = study(quantiles=[dict(zip(names, values, strict=True)) for values in ([0, 1, 2, 3, 4], [0, 3, 4, 5, 8])])

    (found,) = section.distributions(made, made.plain)

    assert found.quantiles == (0, 2, 3, 4, 6)
    assert np.size(found.bins) == 0
    html = section.ScoreDistributions().render(made)
    assert "<svg" not in html
    assert "These records hold no histograms." in html


def test_each_bin_of_the_histogram_has_a_tooltip_with_its_shares():
    """Of 10 scores of two seeds 3 lie in the bin from 1 to 1.8, and 2 negative ones in the next."""
    made = study([
        {"first": 0, "positive": [3], "negative": [0], "zero": 0},
        {"first": 1, "positive": [1], "negative": [2], "zero": 4},
    ])  # fmt: skip

    html = section.ScoreDistributions().render(made)

    (told,) = re.findall(r'data-grid="([^"]*)"', html)
    assert json.loads(unescape(told)) == [
        ["snip"],
        ["scores of size 1e0 to 1.8e0", "scores of size 1.8e0 to 3.2e0"],
        [["30 % of the weights positive, 0 % negative", "10 % of the weights positive, 20 % negative"]],
    ]
    assert html.count('class="squares"') == 1


def test_the_figure_says_that_negative_scores_are_drawn_downwards():
    made = study([{"first": 0, "positive": [3, 1], "negative": [1, 0], "zero": 5}] * 2)

    html = section.ScoreDistributions().render(made)

    assert "Negative scores are drawn downwards." in html
    assert "snip · 50 % are 0" in html


def test_receipts_without_scores_have_no_section():
    made = study(quantiles=[{}, {}])

    assert section.ScoreDistributions().render(made) is None


def test_a_histogram_out_of_all_bounds_is_not_drawn():
    from pabench_reports.scores import _drawable

    assert _drawable({"first": -3, "positive": [1], "negative": [0]})
    assert not _drawable({"first": 10**9, "positive": [1], "negative": [0]})
    assert not _drawable({"first": 0, "positive": [1, 2], "negative": [0]})
    assert not _drawable("x")
