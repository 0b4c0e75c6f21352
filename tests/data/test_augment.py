"""Tests of pabench.data.augment: the order and augmentation streams."""

from __future__ import annotations

import pytest
import torch

from pabench.data.augment import Stream, augment_digest, crop_and_flip, cutout_, epoch_order, order_digest
from pabench.suite.specs import Augment

RAMP = torch.arange(1, 10, dtype=torch.uint8).view(1, 1, 3, 3)  # rows 1 2 3 / 4 5 6 / 7 8 9


def moved(shift: tuple[int, int], flip: bool, crop: int = 1) -> list[list[int]]:
    return crop_and_flip(RAMP, torch.tensor([shift]), torch.tensor([flip]), crop)[0, 0].tolist()


def test_a_crop_at_the_middle_leaves_the_image():
    assert moved((1, 1), flip=False) == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_a_crop_at_the_top_left_corner_shows_the_zero_padding_there():
    assert moved((0, 0), flip=False) == [[0, 0, 0], [0, 1, 2], [0, 4, 5]]


def test_rows_and_columns_are_shifted_independently():
    assert moved((2, 1), flip=False) == [[4, 5, 6], [7, 8, 9], [0, 0, 0]]


def test_a_flip_mirrors_the_cropped_image_left_to_right():
    assert moved((0, 0), flip=True) == [[0, 0, 0], [2, 1, 0], [5, 4, 0]]


def test_each_image_and_channel_of_a_batch_is_cut_from_itself():
    pixels = torch.randint(0, 256, (5, 3, 6, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shifts = torch.tensor([[0, 0], [4, 4], [1, 3], [2, 2], [3, 0]])
    flips = torch.tensor([True, False, True, False, False])

    out = crop_and_flip(pixels, shifts, flips, 2)

    for image, (row, column), flip, got in zip(pixels, shifts.tolist(), flips, out, strict=True):
        padded = torch.nn.functional.pad(image, (2, 2, 2, 2))
        expected = padded[:, row : row + 6, column : column + 4]
        assert torch.equal(got, expected.flip(2) if flip else expected)


@pytest.mark.parametrize(
    ("centre", "side", "erased"),
    [((2, 2), 2, {(1, 1), (1, 2), (2, 1), (2, 2)}), ((0, 4), 3, {(0, 3), (0, 4), (1, 3), (1, 4)})],
    ids=["an even square reaches further up and left", "the border clips the square"],
)
def test_cutout_zeroes_a_square(centre: tuple[int, int], side: int, erased: set[tuple[int, int]]):
    x = cutout_(torch.ones(1, 2, 5, 5), torch.tensor([centre]), side)

    assert {tuple(p) for p in (x[0, 0] == 0).nonzero().tolist()} == erased
    assert torch.equal(x[0, 0], x[0, 1])


def test_every_shift_of_the_padded_range_is_drawn():
    shifts = Stream(Augment(crop=1), 3, 0).shifts(500)
    assert {tuple(s) for s in shifts.tolist()} == {(r, c) for r in range(3) for c in range(3)}


def test_half_of_the_images_are_flipped():
    # standard deviation of the count: sqrt(10000) / 2 = 50
    assert abs(int(Stream(Augment(flip=True), 1, 0).flips(10_000).sum()) - 5000) < 250


def test_switching_one_augmentation_off_leaves_the_draws_of_the_others():
    both, alone = Stream(Augment(crop=4, flip=True, cutout=8), 5, 2), Stream(Augment(crop=4), 5, 2)
    assert torch.equal(both.shifts(50), alone.shifts(50))


def test_an_epoch_is_the_same_again_without_the_epochs_before_it():
    first = epoch_order(100, 7, 3)
    torch.rand(5)
    assert torch.equal(epoch_order(100, 7, 3), first)
    assert first.sort().values.tolist() == list(range(100))


def test_epochs_differ():
    assert not torch.equal(epoch_order(100, 7, 0), epoch_order(100, 7, 1))
    assert not torch.equal(
        Stream(Augment(crop=4), 7, 0).shifts(100),
        Stream(Augment(crop=4), 7, 1).shifts(100),
    )


def test_order_and_augmentation_of_one_seed_are_unrelated_streams():
    order = epoch_order(1000, 7, 0).float()
    centres = Stream(Augment(cutout=1), 7, 0).centres(1000, 1000, 1000)[:, 0].float()
    assert abs(float(torch.corrcoef(torch.stack([order, centres]))[0, 1])) < 0.15  # 5 standard deviations


def test_drawing_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    epoch_order(10, 1, 0)
    Stream(Augment(crop=4, flip=True, cutout=4), 1, 0).centres(10, 8, 8)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_order_digest_tells_seeds_and_sizes_apart():
    digests = [order_digest(10, 1), order_digest(10, 2), order_digest(11, 1)]
    assert len(set(digests)) == 3
    assert order_digest(10, 1) == digests[0]


def test_the_order_digest_changes_if_the_permutation_is_drawn_otherwise(monkeypatch: pytest.MonkeyPatch):
    before = order_digest(10, 1)
    monkeypatch.setattr("pabench.data.augment.epoch_order", lambda n, seed, epoch: torch.arange(n))
    assert order_digest(10, 1) != before


def test_the_augment_digest_tells_seeds_and_parameters_apart():
    shape = (3, 8, 8)
    digests = {
        augment_digest(10, shape, augment, seed)
        for augment in (Augment(), Augment(crop=4), Augment(flip=True), Augment(cutout=2))
        for seed in (1, 2)
    }
    assert len(digests) == 8
