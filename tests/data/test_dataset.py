"""Tests of pabench.data.dataset, pabench.data.split and pabench.data.cache."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pabench.data.cache import decoded
from pabench.data.dataset import loader, place, steps_per_epoch, take
from pabench.data.split import Images, Streamed, first_per_class, scoring_batch
from pabench.errors import DataError, MissingError
from pabench.suite.specs import Augment

PLAIN = {"mean": (0.0,), "std": (1 / 255,)}  # x = the byte itself


def numbered(n: int, classes: int = 2) -> Images:
    """Image i has 4 x 4 pixels of value i and label i mod classes."""
    pixels = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 1, 4, 4).contiguous()
    return Images(pixels, torch.arange(n) % classes)


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


# ---- class-balanced choices


def test_a_scoring_batch_holds_as_many_images_of_each_class_sorted_by_class():
    split = numbered(60, classes=3)
    chosen = scoring_batch(split, classes=3, per_class=4, seed=0)
    assert split.labels[chosen].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert len(set(chosen.tolist())) == 12


def test_a_scoring_batch_may_use_every_image_of_a_class():
    """Public loops over a data loader end in StopIteration here."""
    chosen = scoring_batch(numbered(6, classes=2), classes=2, per_class=3, seed=0)
    assert sorted(chosen.tolist()) == [0, 1, 2, 3, 4, 5]


def test_a_class_with_too_few_images_is_named_with_its_count():
    split = Images(torch.zeros(5, 1, 1, 1, dtype=torch.uint8), torch.tensor([0, 0, 0, 1, 1]))
    with pytest.raises(DataError, match="class 1 has 2 images, 3 per class are needed"):
        scoring_batch(split, classes=2, per_class=3, seed=0)


def test_a_class_without_any_image_is_named():
    with pytest.raises(DataError, match="class 2 has 0 images"):
        scoring_batch(numbered(6, classes=2), classes=3, per_class=1, seed=0)


def test_a_scoring_batch_depends_on_its_seed_and_on_nothing_else():
    split = numbered(200, classes=2)
    first = scoring_batch(split, classes=2, per_class=10, seed=1).tolist()
    torch.rand(3)
    assert scoring_batch(split, classes=2, per_class=10, seed=1).tolist() == first
    assert scoring_batch(split, classes=2, per_class=10, seed=2).tolist() != first


def test_a_larger_scoring_batch_contains_the_smaller_one():
    split = numbered(200, classes=2)
    small, large = (set(scoring_batch(split, classes=2, per_class=n, seed=1).tolist()) for n in (5, 20))
    assert small < large


def test_the_first_images_of_each_class_are_kept():
    labels = torch.tensor([1, 0, 1, 1, 0, 0])
    assert first_per_class(labels, classes=2, per_class=2, what="subset").tolist() == [1, 4, 0, 2]


def test_a_label_beyond_the_classes_is_named():
    with pytest.raises(DataError, match="subset: label 5 found, expected 0 to 1"):
        first_per_class(torch.tensor([0, 1, 5]), classes=2, per_class=1, what="subset")


# ---- decoded images on disk


@pytest.fixture
def cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PABENCH_CACHE", str(tmp_path))
    return tmp_path / "decoded" / "key"


def build(calls: list[int]) -> dict[str, np.ndarray]:
    calls.append(1)
    return {"pixels": np.arange(6, dtype=np.uint8).reshape(2, 3)}


def test_arrays_are_built_once_and_mapped_afterwards(cached: Path):
    calls: list[int] = []
    for _ in range(2):
        arrays = decoded("key", lambda: build(calls))
        assert isinstance(arrays["pixels"], np.memmap)
        assert arrays["pixels"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert len(calls) == 1


def test_writing_to_the_arrays_does_not_change_what_is_stored(cached: Path):
    decoded("key", lambda: build([]))["pixels"][:] = 9
    assert decoded("key", lambda: build([]))["pixels"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize("damage", ["flip", "cut", "delete", "manifest"])
def test_damaged_arrays_are_built_again(cached: Path, damage: str):
    calls: list[int] = []
    decoded("key", lambda: build(calls))
    file = cached / ("manifest.json" if damage == "manifest" else "pixels.npy")
    content = bytearray(file.read_bytes())
    file.unlink()
    content[-1] ^= 1
    if damage != "delete":
        file.write_bytes(content[:-1] if damage == "cut" else content)

    assert decoded("key", lambda: build(calls))["pixels"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert len(calls) == 2
    decoded("key", lambda: build(calls))
    assert len(calls) == 2
    assert [entry.name for entry in cached.parent.iterdir()] == ["key"]


def test_two_builders_at_once_leave_one_whole_result(cached: Path):
    barrier = threading.Barrier(2)
    results = []

    def slow() -> dict[str, np.ndarray]:
        barrier.wait(10)  # both have found nothing and build
        return build([])

    threads = [threading.Thread(target=lambda: results.append(decoded("key", slow))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [r["pixels"].tolist() for r in results] == [[[0, 1, 2], [3, 4, 5]]] * 2
    assert [entry.name for entry in cached.parent.iterdir()] == ["key"]


def test_a_cache_that_cannot_be_written_does_not_stop_the_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PABENCH_CACHE", str(tmp_path / "file"))
    assert decoded("key", lambda: build([]))["pixels"].tolist() == [[0, 1, 2], [3, 4, 5]]
