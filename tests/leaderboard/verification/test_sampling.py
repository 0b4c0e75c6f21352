"""Which cells are looked at again: every row before any twice, and no criterion can foresee which."""

from __future__ import annotations

from pabench.leaderboard.verification.sampling import masked, sample, settings

from ...synthetic import CRITERIA, cells, failed, record

EXPECTED = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], sparsities=[0.8, 0.9], seeds=3,
                 ablations=["reinit", "invert"])  # fmt: skip
RECORDS = {cell.key: record(cell) for cell in EXPECTED}


def test_one_of_each_group_comes_before_a_second_of_any():
    groups = {"a": range(10), "b": range(10, 12), "c": range(20, 21)}

    found = sample(groups, 5, seed=0)
    assert sorted(n // 10 for n in found[:3]) == [0, 1, 2]
    assert len(set(found)) == 5
    assert len(sample(groups, 0, seed=0)) == 3
    assert sorted(sample(groups, 99, seed=0)) == [*range(12), 20]


def test_the_seed_decides_and_nothing_else():
    groups = {"a": range(100), "b": range(100, 200)}

    assert sample(groups, 6, seed=1) == sample(dict(reversed(groups.items())), 6, seed=1)
    assert sample(groups, 6, seed=1) != sample(groups, 6, seed=2)


def test_masks_are_those_of_plain_cells_first_and_none_of_re_drawn_weights():
    """Two criteria of two sparsities and three seeds: 12 plain cells, and 12 of inverted scores."""
    assert {cell.ablation for cell in masked(EXPECTED, RECORDS, 12, seed=0)} == {""}
    assert [cell.ablation for cell in masked(EXPECTED, RECORDS, 99, seed=0)] == [""] * 12 + ["invert"] * 12


def test_settings_are_finished_plain_cells_that_differ_in_their_seed():
    lost = next(cell for cell in EXPECTED if cell.criterion and cell.seed == 2)

    found = settings(EXPECTED, {**RECORDS, lost.key: failed(lost)})

    assert sorted(len(group) for row in found.values() for group in row) == [2, 3, 3, 3]
