"""Tests of pabench.data.parquet."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pabench.data.dataset import identity
from pabench.data.parquet import Parquet
from pabench.data.vision import Cifar10
from pabench.errors import DataError
from pabench.run.resolve import data
from pabench.suite.entries import DatasetEntry

from .conftest import png, values

REAL = os.path.expandvars("$PABENCH_DATA/cifar10")


def write_parquet(file: Path, encoded: list[bytes], label: str = "label", **more: list[int]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    labels = more.pop("labels", [i % 2 for i in range(len(encoded))])
    pictures = pa.array([{"bytes": b, "path": None} for b in encoded], pa.struct({"bytes": pa.binary(), "path": "str"}))
    pq.write_table(pa.table({"img": pictures, label: pa.array(labels, pa.int64()), **more}), file)


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    write_parquet(tmp_path / "p/train-00000-of-00002.parquet", [png(v) for v in (0, 51)])
    write_parquet(tmp_path / "p/train-00001-of-00002.parquet", [png(v) for v in (102, 255)])
    write_parquet(tmp_path / "p/test-00000-of-00001.parquet", [png(7)])
    return tmp_path / "p"


def test_parquet_shards_are_read_in_order(parquet: Path):
    dataset = Parquet(path=str(parquet))
    assert values(dataset, "train") == [0, 51, 102, 255]
    assert dataset.train().labels.tolist() == [0, 1, 0, 1]
    assert values(dataset, "test") == [7]
    assert (dataset.classes, dataset.shape) == (2, (3, 4, 4))


@pytest.mark.parametrize("part", ["train-00001-of-00002", "test-00000-of-00001"])
def test_labels_are_integers_in_every_file(parquet: Path, part: str):
    """Numbers with a point had lost what stands behind it."""
    file = parquet / f"{part}.parquet"
    table = pq.read_table(file)
    pq.write_table(table.set_column(1, "label", pa.array([0.9] * len(table))), file)

    with pytest.raises(DataError, match=rf"{part}.parquet: column 'label' holds double, expected integers"):
        identity(Parquet(path=str(parquet)))


def test_a_text_in_place_of_a_picture_is_no_path(parquet: Path, tmp_path: Path):
    """A file that was downloaded would read any picture of the machine."""
    (tmp_path / "private.png").write_bytes(png(9))
    for file in parquet.glob("*.parquet"):
        table = pq.read_table(file)
        paths = pa.array([{"bytes": str(tmp_path / "private.png"), "path": None}] * len(table))
        pq.write_table(table.set_column(0, "img", paths), file)

    with pytest.raises(DataError, match="expected one column of a struct with bytes"):
        Parquet(path=str(parquet)).train()


def test_parquet_moments_come_from_the_training_pixels(parquet: Path):
    dataset = Parquet(path=str(parquet))
    # 0, 0.2, 0.4, 1: mean 0.4, variance (0.16 + 0.04 + 0 + 0.36) / 4 = 0.14
    assert dataset.mean == pytest.approx([0.4] * 3)
    assert dataset.std == pytest.approx([0.14**0.5] * 3)
    assert Parquet(path=str(parquet), pixel_mean=[0.5] * 3).mean == (0.5, 0.5, 0.5)


def test_parquet_falls_back_to_a_validation_file(parquet: Path):
    (parquet / "test-00000-of-00001.parquet").rename(parquet / "validation-00000-of-00001.parquet")
    assert values(Parquet(path=str(parquet)), "test") == [7]


@pytest.mark.parametrize(
    ("train", "test", "coding"),
    [("PNG", "PNG", "PNG"), ("JPEG", "JPEG", "JPEG"), ("PNG", "JPEG", "JPEG and PNG"), ("WEBP", "GIF", "GIF and WebP")],
)
def test_in_what_pictures_are_encoded_is_seen(tmp_path: Path, train: str, test: str, coding: str):
    for part, format in (("train", train), ("test", test)):
        encoded = [io.BytesIO(), io.BytesIO()]
        for buffer, value in zip(encoded, (0, 200), strict=True):
            Image.new("RGB", (8, 8), (value, 0, 0)).save(buffer, format)
        write_parquet(tmp_path / f"{part}-0.parquet", [buffer.getvalue() for buffer in encoded])

    entry = DatasetEntry(name="parquet", path=str(tmp_path), title="cifar10")

    assert Parquet(path=str(tmp_path)).coding == coding
    found = data(entry)
    assert found.spec.coding == coding
    told = f"pictures are {found.spec.remark}, those of cifar10 itself are not: it is called so"
    assert (told in found.notes) is (coding != "PNG")


def test_parquet_images_are_decoded_once_per_machine(parquet: Path, monkeypatch: pytest.MonkeyPatch):
    Parquet(path=str(parquet)).train()
    monkeypatch.setattr("pabench.data.images.decode", lambda *_: pytest.fail("decoded again"))
    assert len(Parquet(path=str(parquet), title="another").train()) == 4


def test_other_bytes_are_another_dataset(parquet: Path):
    before = Parquet(path=str(parquet))
    fingerprint, _ = before.fingerprint(), before.test()
    write_parquet(parquet / "test-00000-of-00001.parquet", [png(8)])
    assert Parquet(path=str(parquet)).fingerprint() != fingerprint
    assert values(Parquet(path=str(parquet)), "test") == [8]


def test_the_fingerprint_does_not_depend_on_the_place(parquet: Path):
    before = Parquet(path=str(parquet)).fingerprint()
    assert Parquet(path=str(parquet.rename(parquet.with_name("moved")))).fingerprint() == before


def test_several_label_columns_need_a_choice(tmp_path: Path):
    for part in ("train", "test"):
        write_parquet(tmp_path / f"{part}-0.parquet", [png(1), png(2)], "fine_label", coarse_label=[0, 0])
    with pytest.raises(DataError, match=r"label: expected one column of integers, 2 columns fit; set `label`"):
        Parquet(path=str(tmp_path)).train()
    assert Parquet(path=str(tmp_path), label="coarse_label").train().labels.tolist() == [0, 0]


def test_no_other_column_stands_in_for_labels_that_are_no_integers(tmp_path: Path):
    """The only integers are row numbers here: every picture would be a class of its own."""
    pictures = pa.array([{"bytes": png(v), "path": None} for v in (0, 51, 102)])
    table = pa.table({"image": pictures, "label": ["cat", "dog", "cat"], "idx": [0, 1, 2]})
    for part in ("train", "test"):
        pq.write_table(table, tmp_path / f"{part}-0.parquet")
    with pytest.raises(
        DataError, match=r"column 'label' is not one; set `label` \(fitting: idx; all: image, label, idx"
    ):
        Parquet(path=str(tmp_path)).train()
    assert Parquet(path=str(tmp_path), label="idx").classes == 3


@pytest.mark.parametrize(
    "again", ["train-00000-of-00002-0123456789abcdef", "train-00000-of-00001", "train-00001-of-00002 (1)"]
)
def test_rows_that_are_there_twice_are_refused(parquet: Path, again: str):
    (parquet / f"{again}.parquet").write_bytes((parquet / "train-00000-of-00002.parquet").read_bytes())
    with pytest.raises(DataError, match=r"train: train-0000\d-of-0000\d\S* .*hold the same rows.*keep one copy"):
        Parquet(path=str(parquet)).train()


def test_a_test_label_beyond_the_training_labels_is_refused(parquet: Path):
    write_parquet(parquet / "test-00000-of-00001.parquet", [png(8)], labels=[2])
    with pytest.raises(DataError, match="test labels 2 to 2, expected 0 to 1"):
        Parquet(path=str(parquet)).test()


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["cat", "dog"], ""),
        (["cat", "dog", "eel"], ""),
        (["dog", "eel"], "label 0 is 'cat' in train-00000-of-00002.parquet and 'dog' in test-00000-of-00001.parquet"),
        ("no list", ""),
        (None, ""),
    ],
)
def test_files_that_call_one_label_by_two_names_are_refused(parquet: Path, names: object, found: str):
    """Equal numbers would be other classes: a split whose classes were numbered by themselves, as one lacked the cat.

    Files that say nothing, or more, are taken at their numbers.
    """
    for file, its in (("train-00000-of-00002", ["cat", "dog"]), ("test-00000-of-00001", names)):
        path = parquet / f"{file}.parquet"
        told = json.dumps({"info": {"features": {"label": {"names": its, "_type": "ClassLabel"}}}})
        pq.write_table(pq.read_table(path).replace_schema_metadata({"huggingface": told}), path)
    dataset = Parquet(path=str(parquet))

    if not found:
        assert dataset.classes == 2
        return
    with pytest.raises(DataError, match=found):
        identity(dataset)


def test_a_broken_picture_is_named_with_its_row(parquet: Path):
    write_parquet(parquet / "test-00000-of-00001.parquet", [png(8), b"no picture"])
    with pytest.raises(DataError, match=r"test-00000-of-00001.parquet: row 1: cannot be read as a picture"):
        Parquet(path=str(parquet)).test()


def test_pictures_of_several_sizes_need_one(parquet: Path):
    write_parquet(parquet / "test-00000-of-00001.parquet", [png(8), png(9, side=6)])
    with pytest.raises(
        DataError, match=r"row 1: shape \(3, 6, 6\), the first training image is \(3, 4, 4\); give `size`"
    ):
        Parquet(path=str(parquet)).test()
    assert values(Parquet(path=str(parquet), size=5), "test") == [8, 9]
    assert Parquet(path=str(parquet), size=5).shape == (3, 5, 5)


def test_a_test_label_that_no_training_image_has_is_refused_and_a_gap_too(parquet: Path):
    write_parquet(parquet / "train-00001-of-00002.parquet", [png(v) for v in (102, 255)], labels=[3, 3])
    with pytest.raises(DataError, match="label 3 found, but no training image of 2; number the classes from 0"):
        Parquet(path=str(parquet)).test()


def test_a_dataset_of_one_label_is_refused(tmp_path: Path):
    for part in ("train", "test"):
        write_parquet(tmp_path / f"{part}-0.parquet", [png(1), png(2)], labels=[0, 0])
    with pytest.raises(DataError, match=r"^parquet: .*: 1 class, expected two or more"):
        identity(Parquet(path=str(tmp_path)))


def test_classes_without_test_images_and_files_passed_over_are_told(parquet: Path):
    (parquet / "extra.parquet").touch()
    assert Parquet(path=str(parquet)).notes() == [
        "1 Parquet file passed over: extra.parquet",
        "1 class without test images: 1",
    ]


def test_a_file_that_the_names_of_the_others_speak_of_is_missed(parquet: Path):
    (parquet / "train-00001-of-00002.parquet").unlink()
    assert "train: 1 of 2 files are here, as their names say" in Parquet(path=str(parquet)).notes()


def test_pictures_of_16_bits_in_parquet_follow_the_rules_of_folders(parquet: Path):
    deep = [encoded(np.full((4, 4), value, np.uint16)) for value in (0, 4095)]
    write_parquet(parquet / "train-00000-of-00002.parquet", deep)
    with pytest.raises(DataError, match=r"/p: train: no 16-bit value above 4095, .* with `bits`, 12 or more"):
        Parquet(path=str(parquet)).train()
    assert values(Parquet(path=str(parquet), bits=12), "train") == [0, 255, 102, 255]
    assert Parquet(path=str(parquet), bits=12).shape == (3, 4, 4)  # in colour, as the others
    write_parquet(parquet / "train-00000-of-00002.parquet", [deep[0], encoded(np.ones((4, 4), np.float32))])
    with pytest.raises(DataError, match=r"train-00000-of-00002.parquet: row 1: mode F \(floating point\)"):
        Parquet(path=str(parquet), bits=12).train()


def encoded(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF")
    return file.getvalue()


@pytest.mark.parametrize("part", ["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"])
@pytest.mark.parametrize("harm", ["empty", "cut", "hole", "no columns", "no rows", "folder"])
def test_whatever_is_wrong_with_a_parquet_file_is_a_data_error(parquet: Path, part: str, harm: str):
    file = parquet / f"{part}.parquet"
    whole = file.read_bytes()
    file.unlink()
    if harm == "folder":
        file.mkdir()
    elif harm == "no columns":
        pq.write_table(pa.table({"a": [1]}), file)
    elif harm == "no rows":
        write_parquet(file, [])
    else:
        file.write_bytes({"empty": b"", "cut": whole[:-9], "hole": whole[:4] + bytes(300) + whole[304:]}[harm])

    def read() -> None:
        dataset = Parquet(path=str(parquet))
        identity(dataset)
        dataset.train(), dataset.test()

    if harm == "no rows" and part.startswith("train"):
        read()  # the other file of the split has rows
    else:
        said = {"no rows": "/p: no rows in test", "no columns": "column"}.get(harm, f"/{part}.parquet: cannot be read")
        with pytest.raises(DataError, match=said) as caught:
            read()
        assert str(parquet) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(not Path(REAL).is_dir() or not any(Path(REAL).glob("*.parquet")), reason="no CIFAR-10 in Parquet")
def test_the_real_cifar10_has_its_known_counts_and_moments():
    dataset = Parquet(path=REAL, title="cifar10")
    assert dataset.train().labels.bincount().tolist() == [5000] * 10
    assert dataset.test().labels.bincount().tolist() == [1000] * 10
    assert dataset.mean == pytest.approx(Cifar10.mean, abs=2e-3)  # JPEG moves the third digit at most
    assert dataset.std == pytest.approx(Cifar10.std, abs=2e-3)
