"""SET: which weights go, which come, and that chance belongs to the cell's seed."""

from __future__ import annotations

import torch

from pabench.suite.digest import derive_seed
from pabench.training.sparse.set import Set

ZERO = [0.0] * 8


def test_of_each_sign_the_weights_nearest_to_0_go_and_as_many_drawn_ones_come(small, step, kept):
    """A half of four positive and of two negative weights: 1 and 2 go, and -1; three of five pruned ones come."""
    weights = {"w": [1.0, 2.0, 3.0, 4.0, -1.0, -9.0, 0.0, 0.0]}
    held = small(Set(drop=0.5), weights, {"w": [1, 1, 1, 1, 1, 1, 0, 0]}, seed=5)

    assert step(held, 1, {"w": ZERO}) is True

    drawn = torch.rand(8, generator=torch.Generator().manual_seed(derive_seed(5, 2)))
    candidates = [0, 1, 4, 6, 7]
    grown = sorted(candidates, key=lambda i: -float(drawn[i]))[:3]
    assert [i for i, m in enumerate(kept(held)["w"]) if m] == sorted([2, 3, 5, *grown])
    back = {i: value for i, value in ((0, 1.0), (1, 2.0), (4, -1.0)) if i in grown}
    assert held.weights["w"].tolist() == [
        back.get(i, w) if i in (0, 1, 4) and i in back else 0.0 if i in (0, 1, 4) else w
        for i, w in enumerate(weights["w"])
    ]


def test_it_acts_after_every_epoch_but_the_last(small, step, kept):
    """Four epochs of two steps: after steps 2, 4 and 6."""
    held = small(Set(drop=0.5), {"w": [1.0] * 4 + [0.0] * 400}, {"w": [1] * 4 + [0] * 400})
    changed = []
    for number in range(8):
        before = kept(held)
        step(held, number, {"w": [0.0] * 404})
        if kept(held) != before:
            changed.append(number + 1)
    assert changed == [2, 4, 6]


def test_every_second_epoch_is_half_as_often(small, step, kept):
    held = small(Set(drop=0.5, every=2), {"w": [1.0] * 4 + [0.0] * 400}, {"w": [1] * 4 + [0] * 400})
    changed = []
    for number in range(8):
        before = kept(held)
        step(held, number, {"w": [0.0] * 404})
        if kept(held) != before:
            changed.append(number + 1)
    assert changed == [4]


def test_equal_seeds_draw_alike_and_others_do_not(small, step, kept):
    def after(seed):
        held = small(Set(drop=0.5), {"w": [1.0] * 4 + [0.0] * 400}, {"w": [1] * 4 + [0] * 400}, seed=seed)
        step(held, 1, {"w": [0.0] * 404})
        return kept(held)

    assert after(1) == after(1)
    assert after(1) != after(2)


def test_layers_keep_their_densities_or_share_one_threshold(small, step, kept):
    layers = {"a": [4.0, 3.0, 0.0, 0.0], "b": [0.1, 0.2, 0.0, 0.0]}
    masks = {"a": [1, 1, 0, 0], "b": [1, 1, 0, 0]}

    alone = small(Set(drop=0.5), layers, masks)
    step(alone, 1, {"a": [0.0] * 4, "b": [0.0] * 4})
    assert {name: sum(mask) for name, mask in kept(alone).items()} == {"a": 2, "b": 2}
    assert kept(alone)["a"][0] == 1
    assert kept(alone)["b"][1] == 1

    together = small(Set(drop=0.5, layers="free"), layers, masks)
    step(together, 1, {"a": [0.0] * 4, "b": [0.0] * 4})
    assert kept(together)["a"][:2] == [1, 1]  # the smallest two of all are those of b
    assert sum(map(sum, kept(together).values())) == 4


def test_a_kept_weight_of_0_counts_as_positive(small, step):
    """Of one positive, one negative and two zeros a half of three and of one: a zero goes."""
    held = small(Set(drop=0.5), {"w": [5.0, -5.0, 0.0, 0.0, *ZERO]}, {"w": [1, 1, 1, 1] + [0] * 8})
    step(held, 1, {"w": [0.0] * 12})
    assert held.masks["w"][:2].tolist() == [1, 1]
    assert int(held.masks["w"].sum()) == 4
