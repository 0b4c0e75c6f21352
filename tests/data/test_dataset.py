"""Tests of pabench.data.dataset, and of batches out of splits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from pabench.data.dataset import Dataset, InMemory, Picked, loader, place, steps_per_epoch, take
from pabench.data.folder import Folder, Imagenet, TinyImagenet
from pabench.data.parquet import Parquet
from pabench.data.split import Images, Streamed
from pabench.data.vision import Cifar10, Cifar100, FashionMnist, Mnist, Svhn
from pabench.errors import DataError, MissingError
from pabench.suite.specs import Augment

from .conftest import numbered

KEPT_OUTSIDE = (Cifar10, Cifar100, Mnist, FashionMnist, Svhn, TinyImagenet, Imagenet, Folder, Parquet)
PLAIN = {"mean": (0.0,), "std": (1 / 255,)}  # x = the byte itself


def seen(split: Images, **options: object) -> list[list[int]]:
    """Which images came, batch by batch."""
    return [x[:, 0, 1, 1].round().int().tolist() for x, _ in loader(split, **PLAIN, **options)]


def pictures(folder: Path, n: int, side: int = 40) -> Streamed:
    generator = np.random.default_rng(0)
    for i in range(n):
        Image.fromarray(generator.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return Streamed(tuple(str(folder / f"{i}.png") for i in range(n)), torch.arange(n) % 2, 16)


# ---- where data lie


def test_an_explicit_path_wins_and_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PABENCH_DATA", "/elsewhere")
    monkeypatch.setenv("SHELF", "shelf")
    assert place("cifar10", "~/$SHELF/x") == tmp_path / "shelf" / "x"


def test_the_environment_names_the_folder_of_all_datasets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PABENCH_DATA", "/data")
    assert place("cifar10") == Path("/data/cifar10")


def test_without_a_word_data_lie_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PABENCH_DATA", raising=False)
    assert place("cifar10") == tmp_path / ".cache/pabench/data/cifar10"


def test_a_path_with_an_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(MissingError, match=r"cifar10: path '\$NOWHERE/x' names an environment variable"):
        place("cifar10", "$NOWHERE/x")


@pytest.mark.parametrize("cls", KEPT_OUTSIDE, ids=lambda cls: cls.name)
def test_absent_data_are_reported_in_one_line_with_path_and_remedy(cls: type[Dataset], tmp_path: Path):
    gap = cls().missing()
    assert gap.startswith(f"{cls.name}: ")
    assert "\n" not in gap
    assert str(tmp_path / "data" / cls.name) in gap
    assert " room " in gap or " MB" in gap or " GB" in gap
    with pytest.raises(MissingError) as error:
        cls().train()
    assert str(error.value) == gap


# ---- batches


def test_evaluation_sees_every_image_once_in_file_order():
    assert seen(numbered(5), batch_size=2) == [[0, 1], [2, 3], [4]]


def test_images_are_normalised_by_channel():
    split = Images(torch.tensor([51, 102], dtype=torch.uint8).view(1, 2, 1, 1), torch.tensor([0]))

    ((x, _),) = loader(split, batch_size=1, mean=(0.1, 0.5), std=(0.2, 0.1))

    # 51 / 255 = 0.2, 102 / 255 = 0.4: (0.2 - 0.1) / 0.2 and (0.4 - 0.5) / 0.1
    assert x.flatten().tolist() == pytest.approx([0.5, -1.0], abs=1e-6)


def test_training_sees_every_image_once_in_the_order_of_seed_and_epoch():
    first = seen(numbered(10), batch_size=4, order_seed=1)
    assert sorted(i for batch in first for i in batch) == list(range(10))
    assert seen(numbered(10), batch_size=4, order_seed=1) == first
    assert seen(numbered(10), batch_size=4, order_seed=1, epoch=1) != first
    assert seen(numbered(10), batch_size=4, order_seed=2) != first


def test_labels_follow_their_images():
    for x, y in loader(numbered(10), batch_size=3, order_seed=1, **PLAIN):
        assert (x[:, 0, 1, 1].round() % 2).tolist() == y.tolist()


@pytest.mark.parametrize(("n", "batches"), [(8, [4, 4]), (9, [4, 4]), (10, [4, 4, 2]), (1, [1])])
def test_a_last_training_batch_of_one_image_is_left_out(n: int, batches: list[int]):
    assert [len(b) for b in seen(numbered(n), batch_size=4, order_seed=0)] == batches
    assert steps_per_epoch(n, 4) == len(batches)


def test_augmentation_of_an_image_does_not_depend_on_order_or_batch_size():
    options = {"augment": Augment(crop=2, flip=True, cutout=2), "augment_seed": 3, "epoch": 1, **PLAIN}
    pixels = torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8)
    split = Images(pixels, torch.arange(12))

    def by_image(**more: int) -> list[torch.Tensor]:
        pairs = [(int(i), image) for x, y in loader(split, **options, **more) for i, image in zip(y, x, strict=True)]
        return [image for _, image in sorted(pairs, key=lambda pair: pair[0])]

    one, other = by_image(batch_size=12, order_seed=1), by_image(batch_size=5, order_seed=2)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_augmentation_changes_with_seed_and_epoch():
    split = Images(torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8), torch.arange(12))

    def first(seed: int, epoch: int) -> torch.Tensor:
        stream = loader(split, batch_size=12, augment=Augment(crop=2), augment_seed=seed, epoch=epoch, **PLAIN)
        return next(iter(stream))[0]

    assert not torch.equal(first(0, 0), first(1, 0))
    assert not torch.equal(first(0, 0), first(0, 1))


def test_cutout_leaves_the_mean_and_not_black():
    split = Images(torch.full((3, 1, 6, 6), 200, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
    x, _ = next(loader(split, batch_size=3, mean=(0.5,), std=(0.25,), augment=Augment(cutout=4)))
    assert x.unique().tolist() == pytest.approx([0.0, (200 / 255 - 0.5) / 0.25])


def test_channels_last_changes_the_layout_and_no_value():
    split = Images(torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    options = {"batch_size": 4, "mean": (0.5,) * 3, "std": (0.2,) * 3}
    (plain, _), (last, _) = next(loader(split, **options)), next(loader(split, channels_last=True, **options))
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain, last)


def test_take_gives_what_the_loader_gives_without_augmentation():
    split = numbered(6)
    x, y = take(split, torch.tensor([4, 1]), **PLAIN)
    assert x[:, 0, 0, 0].round().tolist() == [4, 1]
    assert y.tolist() == [0, 1]


def test_picked_images_are_those_that_take_gives_wherever_they_are_looked_at():
    split = numbered(6)
    chosen = torch.tensor([4, 1, 5])

    picked = Picked(split, chosen, **PLAIN)

    x, y = take(split, chosen, **PLAIN)
    assert (len(picked), tuple(picked.shape), picked.labels.tolist()) == (3, tuple(x.shape), y.tolist())
    assert torch.equal(picked[torch.tensor([2, 0])], x[[2, 0]])
    assert torch.equal(picked[1:], x[1:])


def test_of_a_streamed_split_the_files_of_those_looked_at_are_read(tmp_path: Path):
    split = pictures(tmp_path, 4)
    Path(split.files[2]).write_bytes(b"no picture")

    picked = Picked(split, torch.arange(4), mean=(0.0,) * 3, std=(1.0,) * 3)

    assert len(picked[:2]) == 2
    with pytest.raises(DataError, match="cannot be read as a picture"):
        picked[2:]


@dataclass(frozen=True, kw_only=True)
class Given(InMemory):
    """A dataset of the arrays that it is given."""

    name = "given"
    classes = 2
    mean = std = (0.5,)
    arrays: ClassVar[dict[str, np.ndarray]] = {}

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.arrays["train"].shape[1:]

    def missing(self) -> str:
        return ""

    def fingerprint(self) -> str:
        return "0" * 64

    def read(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        return self.arrays[part], np.arange(len(self.arrays[part])) % 2


def test_a_split_of_another_shape_than_the_dataset_says_is_refused(monkeypatch: pytest.MonkeyPatch):
    train, test = np.zeros((2, 1, 4, 4), np.uint8), np.zeros((2, 1, 4, 5), np.uint8)
    monkeypatch.setattr(Given, "arrays", {"train": train, "test": test})
    assert Given().train().shape == (1, 4, 4)
    with pytest.raises(DataError, match=r"given: test: images of shape \(1, 4, 5\), expected \(1, 4, 4\)"):
        Given().test()


# ---- batches read file by file


def test_streamed_files_follow_the_same_order_as_images_in_memory(tmp_path: Path):
    split = pictures(tmp_path, 9)
    held = Images(torch.zeros(9, 1, 2, 2, dtype=torch.uint8), split.labels)
    options = {"batch_size": 4, "order_seed": 5}
    streamed = [y.tolist() for _, y in loader(split, mean=(0.0,) * 3, std=(1.0,) * 3, **options)]
    assert streamed == [y.tolist() for _, y in loader(held, **PLAIN, **options)]


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_augmentation_depends_on_seed_epoch_and_image_only(tmp_path: Path, workers: int):
    split = pictures(tmp_path, 4)
    options = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "augment": Augment(crop=1, flip=True), "augment_seed": 2}

    whole, _ = next(loader(split, batch_size=4, **options))
    halves = torch.cat([x for x, _ in loader(split, batch_size=2, workers=workers, **options)])
    later, _ = next(loader(split, batch_size=4, epoch=1, **options))

    assert torch.equal(whole, halves)
    assert not torch.equal(whole, later)


def test_streamed_reading_leaves_the_global_generator_alone(tmp_path: Path):
    split = pictures(tmp_path, 2)
    before = torch.get_rng_state()
    list(loader(split, batch_size=2, mean=(0.0,) * 3, std=(1.0,) * 3, augment=Augment(crop=1, flip=True)))
    assert torch.equal(torch.get_rng_state(), before)


def test_streamed_evaluation_cuts_the_centre_after_resizing(tmp_path: Path):
    """Size 7 asks for a shorter side of 8: the picture is that already, so rows 0 to 6 of columns 4 to 10 remain."""
    pixels = np.arange(8 * 16, dtype=np.uint8).reshape(8, 16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    split = Streamed((str(tmp_path / "a.png"),), torch.tensor([0]), 7, "L")
    x, _ = take(split, torch.tensor([0]), **PLAIN)
    assert x[0, 0].round().int().tolist() == pixels[0:7, 4:11].tolist()


def test_test_images_come_in_the_order_of_their_files_whoever_reads_them(tmp_path: Path):
    """Two workers that take turns with batches of 3 of 20 files."""
    split = pictures(tmp_path, 20)
    options = {"batch_size": 3, "mean": (0.0,) * 3, "std": (1.0,) * 3}

    by_one, by_two = (
        [torch.cat(parts) for parts in zip(*loader(split, workers=n, **options), strict=True)] for n in (0, 2)
    )

    assert by_one[1].tolist() == split.labels.tolist()
    assert torch.equal(by_one[0], by_two[0])
    assert torch.equal(by_one[1], by_two[1])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_file_of_a_stream_is_named_in_one_line_whoever_reads_it(tmp_path: Path, workers: int):
    split = pictures(tmp_path, 4)
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:99])
    batches = loader(split, batch_size=2, mean=(0.0,) * 3, std=(1.0,) * 3, workers=workers)
    next(batches)
    with pytest.raises(DataError) as caught:
        next(batches)
    assert str(caught.value).startswith(f"{tmp_path}/2.png: cannot be read as a picture (")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("largest", "said"), [(65_535, ""), (4095, "no 16-bit value above 4095")])
def test_a_stream_reads_16_bits_or_refuses_them_picture_by_picture(tmp_path: Path, largest: int, said: str):
    values = np.full((8, 8), largest // 2, np.uint16)
    values[3, 3] = largest
    Image.fromarray(values).save(tmp_path / "a.png")
    split = Streamed((str(tmp_path / "a.png"),), torch.tensor([0]), 7)
    if said:
        with pytest.raises(DataError, match=rf"a.png: {said}"):
            split.pick(torch.tensor([0]))
    else:
        assert split.pick(torch.tensor([0]))[0].unique().tolist() == [127, 255]
