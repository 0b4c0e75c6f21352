"""Tests of pabench.data.folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pabench.data.dataset import _moments, identity, loader
from pabench.data.folder import Folder, Imagenet, TinyImagenet
from pabench.errors import DataError, MissingError, SuiteError
from pabench.parameters import create

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


def test_classes_that_are_not_divided_are_told_from_an_empty_place(tmp_path: Path):
    """As most people have their pictures."""
    assert "look like" not in Folder(path=str(tmp_path)).missing()
    for name in ("apple", "leaf", ".hidden"):
        fill(tmp_path / name, png(5))
    (tmp_path / "empty").mkdir()

    told = Folder(path=str(tmp_path), title="fruit").missing()

    assert told.startswith(f"fruit: {tmp_path}/train is not there; put train/<class>/ and test/<class>/ there")
    assert f"; apple, leaf in {tmp_path} look like classes: of each put a part into train/" in told


def test_grey_pictures_have_one_channel(tmp_path: Path):
    for part in ("train", "test"):
        fill(tmp_path / part / "a", png(5, mode="L"))
    assert Folder(path=str(tmp_path)).train().pixels.shape == (1, 1, 4, 4)


def test_a_class_without_test_images_is_named(folder: Path):
    (folder / "val/dog/0.png").unlink()
    with pytest.raises(DataError, match="val/dog: no images"):
        Folder(path=str(folder)).test()


# ---- what counts, and what is told


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints", "__MACOSX"])
def test_hidden_folders_are_passed_over_at_every_level(folder: Path, hidden: str):
    before = Folder(path=str(folder)).fingerprint()
    for place in ("train", "train/dog", "train/dog/deep", "val"):
        fill(folder / place / hidden, png(99))
    (folder / "train/dog/._0.png").write_bytes(b"of macOS")

    dataset = Folder(path=str(folder))

    assert values(dataset, "train") == [20, 10, 11]
    assert dataset.fingerprint() == before
    assert "train: 4 hidden files or folders passed over" in dataset.notes()


def test_files_passed_over_are_counted_by_their_suffix(folder: Path):
    for name in ("a.heic", "b.HEIC", "c.npy", "plain"):
        (folder / "train/cat" / name).touch()
    (folder / "train/0.png").write_bytes(png(1))  # beside the folders of the classes: of no class
    (folder / "val/Thumbs.db").touch()
    found = Folder(path=str(folder)).notes()
    assert found[0].startswith("train: 6 files passed over: 2 .heic, ")
    assert found[1] == "test: 1 file passed over: 1 .db"
    assert values(Folder(path=str(folder)), "train") == [20, 10, 11]


def test_a_class_of_files_that_are_passed_over_says_so(folder: Path):
    (folder / "val/dog/0.png").rename(folder / "val/dog/0.heic")
    with pytest.raises(
        DataError, match=r"val/dog: no images, expected some of each class in train \(1 file passed over"
    ):
        Folder(path=str(folder)).test()


def test_links_to_folders_are_followed(folder: Path):
    (folder / "train/dog").rename(folder / "elsewhere")
    fill(folder / "more", png(12))
    (folder / "train/dog").symlink_to(folder / "elsewhere")
    (folder / "elsewhere/more").symlink_to(folder / "more")
    dataset = Folder(path=str(folder))
    assert values(dataset, "train") == [20, 10, 11, 12]
    assert not any("link" in note for note in dataset.notes())


def test_what_links_lead_to_is_read_once_and_told(folder: Path):
    fill(folder / "train/dog/own", png(12))
    (folder / "train/dog/again").symlink_to(folder / "train/dog/own")  # before `own` in the alphabet
    (folder / "train/dog/loop").symlink_to(folder / "train/dog")
    (folder / "train/dog/1again.png").symlink_to(folder / "train/dog/1.png")
    dataset = Folder(path=str(folder))
    assert values(dataset, "train") == [20, 10, 11, 12]
    assert [file.name for file in dataset._paths[:4]] == ["0.png", "0.png", "1.png", "0.png"]
    assert "own" in dataset._paths[3].parts
    (note,) = (note for note in dataset.notes() if "link" in note)
    assert note.startswith("train: 3 links to what is read already, passed over: ")


def test_links_to_pictures_are_pictures(folder: Path):
    (folder / "train/dog").rename(folder / "elsewhere")
    (folder / "train/dog").mkdir()
    for i in range(2):
        (folder / f"train/dog/{i}.png").symlink_to(folder / f"elsewhere/{i}.png")
    assert values(Folder(path=str(folder)), "train") == [20, 10, 11]


@pytest.mark.parametrize("link", ["train/cat/dogs", "train/zebra", "train/cat/1.png"])
def test_one_picture_of_two_classes_is_refused(folder: Path, link: str):
    (folder / link).symlink_to(folder / "train/dog" / ("0.png" if link.endswith("png") else ""))
    fill(folder / "val/zebra", png(1)) if "zebra" in link else None
    with pytest.raises(DataError, match="a link makes it belong to another class too"):
        Folder(path=str(folder)).train()


@pytest.mark.parametrize("place", ["train/dog/5.png", "train/dog/more", "train/9.png"])
def test_a_link_to_nothing_is_refused_with_its_name(folder: Path, place: str):
    (folder / place).symlink_to(folder / "gone")
    with pytest.raises(DataError, match=f"{place}: a link to .*gone, which is not there"):
        Folder(path=str(folder)).train()


def test_a_link_to_itself_is_refused_with_its_name(folder: Path):
    (folder / "train/dog/loop").symlink_to("loop")
    with pytest.raises(DataError, match=r"train/dog/loop: cannot be listed \(Too many"):
        Folder(path=str(folder)).train()


def test_what_is_named_as_a_picture_and_is_none_is_passed_over_or_named(folder: Path):
    (folder / "train/dog/5.png").mkdir()
    os.mkfifo(folder / "train/dog/6.png")  # nobody writes to it: to open it would be to wait for ever
    assert values(Folder(path=str(folder)), "train") == [20, 10, 11]
    (folder / "train/dog/7.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"train/dog/7.png: cannot be read as a picture"):
        Folder(path=str(folder)).train()


def test_a_file_that_cannot_be_opened_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def denied(_: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pabench.data.dataset.sha256_of", denied)
    with pytest.raises(DataError, match=r"train/cat/0.png: cannot be read \(Permission denied\)"):
        Folder(path=str(folder)).fingerprint()


def test_names_of_any_characters_are_shown_in_one_line(folder: Path):
    name = os.fsdecode(b"new\nline \xff \xc3\xa9.png")
    (folder / "train/dog" / name).write_bytes(png(12))
    assert values(Folder(path=str(folder)), "train") == [20, 10, 11, 12]
    (folder / "train/dog" / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"dog/new\\nline \\udcff é.png: cannot be read") as caught:
        Folder(path=str(folder)).train()
    assert str(caught.value).isprintable()


def test_a_class_that_only_the_test_split_has_is_refused(folder: Path):
    fill(folder / "val/Dog", png(1))  # another name than dog
    with pytest.raises(DataError, match="val/Dog: no class of train has this name"):
        Folder(path=str(folder)).test()


def test_classes_that_differ_by_case_alone_are_told(folder: Path):
    for part in ("train", "val"):
        fill(folder / part / "Dog", png(1))
    assert Folder(path=str(folder)).classes == 3
    assert "class folders that differ in upper and lower case alone: Dog, dog" in Folder(path=str(folder)).notes()


def test_a_test_split_that_is_the_training_split_is_told(folder: Path):
    (folder / "test").symlink_to("train")
    assert any(note.startswith("test reads what train reads: ") for note in Folder(path=str(folder)).notes())


def test_test_pictures_that_are_links_to_training_pictures_are_told(folder: Path):
    dataset = Folder(path=str(folder))
    assert not any(note.startswith("test reads") for note in dataset.notes())
    (picture, *_) = sorted((folder / "train/cat").iterdir())
    (folder / "val/cat/linked.png").symlink_to(picture)
    (note,) = [note for note in Folder(path=str(folder)).notes() if note.startswith("test reads what train reads: ")]
    assert note.endswith(f"cat/{picture.name}; its accuracy is that of training images")


def test_test_images_of_another_size_are_refused(folder: Path):
    fill(folder / "val/cat", png(30, 6))
    fill(folder / "val/dog", png(30, 6))
    with pytest.raises(DataError, match=r"val/cat/0.png: shape \(3, 6, 6\), the first training image is \(3, 4, 4\)"):
        Folder(path=str(folder)).test()
    assert values(Folder(path=str(folder), size=5), "test") == [30, 30]


# ---- colour, bits, channels


def test_colour_in_one_split_makes_both_so(folder: Path):
    for part in ("train", "val"):
        for i, file in enumerate(sorted((folder / part).rglob("*.png"))):
            file.write_bytes(png(7 + i, mode="L"))
    assert Folder(path=str(folder)).shape == (1, 4, 4)
    (folder / "val/cat/0.png").write_bytes(png(30))

    dataset = Folder(path=str(folder))

    assert dataset.shape == (3, 4, 4)
    assert dataset.train().pixels[:, :, 0, 0].tolist() == [[7] * 3, [8] * 3, [9] * 3]
    assert dataset.train().shape == dataset.test().shape == (3, 4, 4)
    assert dataset.mean == pytest.approx([8 / 255] * 3)
    assert "4 of the pictures are grey, 1 in colour: all are read in colour" in dataset.notes()


def test_bits_are_a_parameter_that_is_checked_and_part_of_what_is_decoded(folder: Path):
    for i, file in enumerate(folder / part / name / "0.png" for part in ("train", "val") for name in ("cat", "dog")):
        Image.fromarray(np.full((4, 4), 1000 * i, np.uint16)).save(file)
    (folder / "train/dog/1.png").unlink()
    with pytest.raises(DataError, match=r"/f: train: no 16-bit value above 1000, .* with `bits`, 10 or more"):
        Folder(path=str(folder)).train()
    with pytest.raises(DataError, match=r"val/cat/0.png: the value 2000 needs 11 bits, expected 10"):
        Folder(path=str(folder), bits=10).test()
    # 1000 and 3000 of 4095
    assert values(Folder(path=str(folder), bits=12), "train") == [0, 62]
    assert values(Folder(path=str(folder), bits=12), "test") == [125, 187]
    assert values(Folder(path=str(folder), bits=13), "test") == [62, 93]
    for bits in (-1, 17):
        with pytest.raises(SuiteError, match="folder: bits: input should be"):
            create(Folder, {"bits": bits}, "folder")


def test_a_channel_of_one_value_is_0_after_normalising_and_told(folder: Path):
    """Also where 1 / 255 is no binary number: 256 values, none may leave a deviation that is only rounding."""
    for value in range(256):
        moments = _moments(np.full((2, 1, 3, 3), value, np.uint8))
        assert moments[1].tolist() == [0]
    seen = np.array([[[0, 5], [9, 5]], [[7, 5], [3, 5]]], np.uint8)  # second channel always 5
    for file in [*(folder / "train").rglob("*.png"), *(folder / "val").rglob("*.png")]:
        Image.fromarray(np.dstack([seen, seen[..., :1]])).save(file)

    dataset = Folder(path=str(folder))
    x, _ = next(loader(dataset.train(), batch_size=3, mean=dataset.mean, std=dataset.std))

    assert dataset.std[1] == 1
    assert x[:, 1].abs().max() < 1e-6
    assert x.isfinite().all()
    assert "all training images have one and the same value in channel 1, which says nothing" in dataset.notes()


def test_pictures_of_one_value_are_refused(folder: Path):
    """As drawings in black whose form is in their transparency: their colours are black everywhere."""
    for i, file in enumerate(folder.rglob("*.png")):
        Image.fromarray(np.full((4, 4, 4), (0, 0, 0, i), np.uint8)).save(file)
    with pytest.raises(DataError, match=r"^folder: .*: all training images are one even area"):
        identity(Folder(path=str(folder)))


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"pixel_std": [1.0, 0.0, 1.0]}, "std is .*, expected numbers above 0"),
        ({"pixel_mean": [float("nan")] * 3}, "mean is .*, expected numbers"),
        ({"pixel_mean": [0.5]}, "mean has 1 numbers, expected one for each of 3 channels"),
    ],
)
def test_constants_that_make_no_numbers_are_refused(folder: Path, numbers: dict[str, list[float]], said: str):
    with pytest.raises(DataError, match=rf"^folder: .*: {said}"):
        identity(Folder(path=str(folder), **numbers))


def test_a_dataset_of_one_class_is_refused(tmp_path: Path):
    for part in ("train", "test"):
        fill(tmp_path / part / "images", png(5), png(6))
    with pytest.raises(DataError, match=r"1 class, expected two or more"):
        identity(Folder(path=str(tmp_path)))


# ---- both ImageNets


def test_tiny_imagenet_is_read_in_its_own_layout(tmp_path: Path):
    root = tmp_path / "data/tiny_imagenet"
    wnids = [f"n{i:04}" for i in range(200)]
    for i, wnid in enumerate(wnids):
        fill(root / "train" / wnid / "images", png(i, 64))
    fill(root / "val/images", png(7, 64), png(3, 64, "L"), png(5, 64))  # of the third the list says nothing
    fill(root / "test/images", png(9, 64))  # unlabelled, never read
    (root / "val/val_annotations.txt").write_text("0.png\tn0007\t0\t0\t9\t9\n1.png\tn0003\t0\t0\t9\t9\n")

    dataset = TinyImagenet()

    assert dataset.train().labels.tolist() == list(range(200)) == values(dataset, "train")
    assert values(dataset, "test") == [3, 7] == dataset.test().labels.tolist()
    assert "198 classes without test images: n0000, n0001, n0002, ..." in dataset.notes()
    assert "test: 1 file passed over: 1 .png" in dataset.notes()


def test_a_picture_that_a_list_puts_into_two_classes_is_refused(folder: Path):
    fill(folder / "val/images", png(7))
    (folder / "val/val_annotations.txt").write_text("0.png\tcat\n0.png\tdog\n")
    with pytest.raises(DataError, match=r"val_annotations.txt:2: images/0.png stands in two classes"):
        Folder(path=str(folder)).test()


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


def test_an_annotated_image_that_is_not_there_is_named(tmp_path: Path):
    root = tmp_path / "data/tiny_imagenet"
    for i in range(200):
        fill(root / "train" / f"n{i:04}", png(i, 64))
    (root / "val/images").mkdir(parents=True)
    (root / "val/val_annotations.txt").write_text("7.png\tn0007\t0\t0\t9\t9\n")
    with pytest.raises(DataError, match=r"val_annotations.txt:1: images/7.png is not there"):
        TinyImagenet().fingerprint()
