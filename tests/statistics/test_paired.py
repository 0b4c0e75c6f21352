"""Criteria paired within blocks."""

from __future__ import annotations

import pandas as pd
import pytest
from scipy import stats

from pabench.statistics.intervals import stratified_test
from pabench.statistics.paired import Pair, block_means, by_task, differences, separated, stratified

# two blocks of one model and one of another; b has not finished a sparsity of the second block
ROWS = [
    ("m", "1", 0.8, 90.0, 88.0),
    ("m", "1", 0.9, 80.0, 76.0),
    ("m", "2", 0.8, 91.0, 90.0),
    ("m", "2", 0.9, 81.0, None),
    ("n", "3", 0.8, 70.0, 71.0),
]


def tasks() -> pd.DataFrame:
    names = ["dataset", "model", "block", "sparsity", "criterion", "top1"]
    rows = [("d", m, k, s, c, top1) for m, k, s, a, b in ROWS for c, top1 in (("a", a), ("b", b))]
    return by_task(stratified(pd.DataFrame(rows, columns=names)))


def test_a_block_is_the_mean_of_its_sparsities_if_all_are_finished():
    found = block_means(tasks())

    assert found.loc[("d · m", "1")].tolist() == [85.0, 82.0]
    assert found.loc[("d · m", "2"), "b"] != found.loc[("d · m", "2"), "b"]  # NaN


def test_differences_are_of_blocks_that_both_have_finished_one_list_a_stratum():
    """Block 1: 85 - 82; block 3: 70 - 71."""
    assert differences(tasks(), ["a", "b"]) == {("a", "b"): [pytest.approx([3.0]), pytest.approx([-1.0])]}


def test_equal_means_are_equal_in_whatever_order_they_were_added():
    rows = [("d", "m", "1", s, c, v) for c, order in (("a", (0, 1, 2)), ("b", (2, 1, 0))) for s, v in
            zip((0.8, 0.9, 0.95), [(90.1, 80.3, 70.2)[i] for i in order], strict=True)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["dataset", "model", "block", "sparsity", "criterion", "top1"])

    a, b = block_means(by_task(stratified(frame))).iloc[0]

    assert a == b


def test_a_pair_is_separated_by_its_differences_and_not_by_its_spread_over_blocks():
    a, b = [70.0, 80.0, 90.0, 75.0], [71.0, 81.1, 90.9, 76.0]

    assert stats.ttest_ind(a, b).pvalue > 0.8
    assert separated({("a", "b"): Pair([[y - x for x, y in zip(a, b, strict=True)]])}) == {("a", "b"): True}


def test_pairs_are_corrected_for_their_number():
    """Mean 1.3, SD 0.361, t = 1.3 / (0.361 / sqrt(3)) = 6.24 with 2 df: p = 0.0247, and 0.074 as one of three."""
    some, wide = [[1.0, 1.2, 1.7]], [[0.5, -3.0, 4.0]]
    assert stratified_test(some).p == pytest.approx(0.0247, abs=1e-4)

    alone = separated({("a", "b"): Pair(some)})
    crowd = separated({("a", "b"): Pair(some), ("a", "c"): Pair(wide), ("b", "c"): Pair(wide)})

    assert alone[("a", "b")] is True
    assert crowd[("a", "b")] is False


def test_a_pair_with_one_common_block_is_never_separated():
    assert separated({("a", "b"): Pair([[50.0]])}) == {("a", "b"): False}
