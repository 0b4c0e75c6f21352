"""Permutations: what they change, and that they change nothing else."""

from __future__ import annotations

import pytest
import torch

import pabench
from pabench.scoring.shuffling import scrambled


def masks(kept: int = 20) -> dict[str, torch.Tensor]:
    """A layer of 100 weights of which the first `kept` stay, a full one and an empty one."""
    return {
        "mixed": (torch.arange(100) < kept).view(10, 10),
        "full": torch.ones(4, 4, dtype=torch.bool),
        "empty": torch.zeros(4, 4, dtype=torch.bool),
    }


def test_a_shuffled_mask_has_the_same_counts_elsewhere():
    """Public code shuffles a local variable: the mask it trains with is the one it began with."""
    before = masks()

    after = pabench.shuffle(before, seed=0)

    assert {n: int(m.sum()) for n, m in after.items()} == {"mixed": 20, "full": 16, "empty": 0}
    assert not torch.equal(after["mixed"], before["mixed"])
    assert before["mixed"].flatten()[:20].all()
    assert [m.shape for m in after.values()] == [m.shape for m in before.values()]


def test_its_receipt_says_how_much_changed():
    report = pabench.shuffle(masks(), seed=0).receipt["shuffle"]

    assert (report["layers_mixed"], report["layers_changed"]) == (1, 1)
    # by chance 20 * 20 / 100 + 16 of 36 kept weights are kept again: 20 of 2 * 36 - 20
    assert report["overlap_by_chance"] == pytest.approx(20 / 52)
    assert 16 / 56 <= report["overlap"] < 1


def test_layers_that_are_full_or_empty_cannot_change_and_are_flagged_where_no_other_is_there():
    found = pabench.shuffle({n: m for n, m in masks().items() if n != "mixed"}, seed=0)

    assert (found.receipt["shuffle"]["layers_changed"], found.receipt["shuffle"]["overlap"]) == (0, 1.0)
    assert [flag["flag"] for flag in found.flags] == ["unchanged"]


def test_the_draw_depends_on_the_seed_and_not_on_the_mask():
    """All criteria of a block get one permutation: a mask and its complement stay complements."""
    mixed = masks()["mixed"]

    one, two = pabench.shuffle({"a": mixed}, seed=3), pabench.shuffle({"a": ~mixed}, seed=3)

    assert torch.equal(one["a"], ~two["a"])
    assert not torch.equal(one["a"], pabench.shuffle({"a": mixed}, seed=4)["a"])


def test_every_position_is_as_likely():
    """Of 200 shuffles of 20 ones among 100 places, each place is hit 40 times on average, SD 5.7."""
    hits = torch.stack([pabench.shuffle({"a": masks()["mixed"]}, seed=s)["a"].float() for s in range(200)]).sum(0)

    assert hits.sum() == 200 * 20
    assert 15 < hits.min() < hits.max() < 65


def test_shuffled_masks_keep_the_receipt_they_came_with(softmax):
    module, batch = softmax
    before = pabench.prune(module, "snip", sparsity=0.5, batch=batch)

    after = pabench.shuffle(before, seed=1)

    assert after.receipt["criterion"] == "snip"
    assert "shuffle" not in before.receipt


def batch(per_class: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.arange(4).repeat_interleave(per_class)
    return torch.arange(len(y) * 2 * 3 * 3, dtype=torch.float32).view(len(y), 2, 3, 3), y


def test_random_labels_are_the_same_labels_in_another_order():
    x, y = batch()

    ((same_x, other_y),) = scrambled([(x, y)], "random_labels", seed=0)

    assert torch.equal(same_x, x)
    assert other_y.bincount().tolist() == [5, 5, 5, 5]
    assert not torch.equal(other_y, y)


def test_shuffled_pixels_stay_within_their_image_and_move_together_over_channels():
    x, y = batch()

    ((other_x, same_y),) = scrambled([(x, y)], "shuffled_pixels", seed=0)

    assert torch.equal(same_y, y)
    assert torch.equal(other_x.flatten(2).sort().values, x.flatten(2).sort().values)
    # channel 1 is channel 0 plus 9 at every position
    assert torch.equal(other_x[:, 1] - other_x[:, 0], torch.full((20, 3, 3), 9.0))
    orders = {tuple((image[0].flatten() - image.min()).tolist()) for image in other_x}
    assert len(orders) > 15  # a permutation of its own for each image; of 9! two are rarely equal


@pytest.mark.parametrize("ablation", ["random_labels", "shuffled_pixels"])
def test_batches_of_one_size_get_the_same_draw(ablation):
    x, y = batch()

    one, two = (scrambled([(x + plus, y)], ablation, seed=5) for plus in (0, 100))

    assert torch.equal(one[0][0] + 100, two[0][0])
    assert torch.equal(one[0][1], two[0][1])
