"""Tests of pabench.data.folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pabench.data.dataset import loader
from pabench.data.folder import Folder, Imagenet, TinyImagenet
from pabench.errors import DataError, MissingError

from .conftest import png, values


def fill(folder: Path, *pictures: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, encoded in enumerate(pictures):
        (folder / f"{i}.png").write_bytes(encoded)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "f"
    fill(root / "train/dog", png(10), png(11))
    fill(root / "train/cat", png(20))
    fill(root / "val/cat", png(30))
    fill(root / "val/dog", png(40))
    (root / "train/dog/notes.txt").write_text("not a picture")
    return root


def test_folders_are_classes_in_the_order_of_their_names(folder: Path):
    dataset = Folder(path=str(folder))
    assert (dataset.classes, dataset.shape) == (2, (3, 4, 4))
    assert values(dataset, "train") == [20, 10, 11]
    assert dataset.train().labels.tolist() == [0, 1, 1]
    assert values(dataset, "test") == [30, 40]


def test_a_test_folder_is_preferred_to_val(folder: Path):
    fill(folder / "test/cat", png(50))
    fill(folder / "test/dog", png(60))
    assert values(Folder(path=str(folder)), "test") == [50, 60]


def test_grey_pictures_have_one_channel(tmp_path: Path):
    for part in ("train", "test"):
        fill(tmp_path / part / "a", png(5, mode="L"))
    assert Folder(path=str(tmp_path)).train().pixels.shape == (1, 1, 4, 4)


def test_a_class_without_test_images_is_named(folder: Path):
    (folder / "val/dog/0.png").unlink()
    with pytest.raises(DataError, match="val/dog: no images"):
        Folder(path=str(folder)).test()


def test_tiny_imagenet_is_read_in_its_own_layout(tmp_path: Path):
    root = tmp_path / "data/tiny_imagenet"
    wnids = [f"n{i:04}" for i in range(200)]
    for i, wnid in enumerate(wnids):
        fill(root / "train" / wnid / "images", png(i, 64))
    fill(root / "val/images", png(7, 64), png(3, 64, "L"))
    fill(root / "test/images", png(9, 64))  # unlabelled, never read
    (root / "val/val_annotations.txt").write_text("0.png\tn0007\t0\t0\t9\t9\n1.png\tn0003\t0\t0\t9\t9\n")

    dataset = TinyImagenet()

    assert dataset.train().labels.tolist() == list(range(200)) == values(dataset, "train")
    assert values(dataset, "test") == [3, 7] == dataset.test().labels.tolist()


def test_a_tiny_imagenet_with_missing_classes_is_refused(tmp_path: Path):
    root = tmp_path / "data/tiny_imagenet"
    fill(root / "train/n1", png(0, 64))
    fill(root / "val/n1", png(0, 64))
    with pytest.raises(DataError, match="1 class folders, expected 200"):
        TinyImagenet().train()


def test_imagenet_is_streamed_from_its_folders(tmp_path: Path):
    root = tmp_path / "data/imagenet"
    for i in range(1000):
        fill(root / "train" / f"n{i:04}", png(i % 256, 8))
        fill(root / "val" / f"n{i:04}", png(255, 8))
    dataset = Imagenet(size=14)

    x, y = next(loader(dataset.train(), batch_size=3, mean=dataset.mean, std=dataset.std))

    assert y.tolist() == [0, 1, 2]
    assert x.shape == (3, 3, 14, 14)
    assert x[2, 0].unique().tolist() == pytest.approx([(2 / 255 - 0.485) / 0.229])
    before = dataset.fingerprint()
    (root / "val/n0000/0.png").write_bytes(png(0, 9))
    assert dataset.fingerprint() != before


def test_what_pabench_cannot_download_stays_missing():
    with pytest.raises(MissingError, match=r"imagenet: .*register at image-net\.org"):
        Imagenet().fetch()
