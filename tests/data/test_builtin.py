"""Tests of pabench.data: on real digits, and on small files with the layouts of the others."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pabench.data.dataset import Dataset, loader
from pabench.data.digits import Digits
from pabench.data.folder import Folder, Imagenet, TinyImagenet
from pabench.data.parquet import Parquet
from pabench.data.split import scoring_batch
from pabench.data.vision import Cifar10, Cifar100, FashionMnist, Mnist, Svhn
from pabench.errors import DataError, MissingError

ALL = (Digits, Cifar10, Cifar100, Mnist, FashionMnist, Svhn, TinyImagenet, Imagenet, Folder, Parquet)
REAL = os.path.expandvars("$PABENCH_DATA/cifar10")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PABENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PABENCH_DATA", str(tmp_path / "data"))


def png(value: int, side: int = 4, mode: str = "RGB") -> bytes:
    """A picture of one value, encoded without loss."""
    encoded = io.BytesIO()
    Image.new(mode, (side, side), (value,) * 3 if mode == "RGB" else value).save(encoded, "PNG")
    return encoded.getvalue()


def values(dataset: Dataset, part: str) -> list[int]:
    return getattr(dataset, part)().pixels[:, 0, 0, 0].tolist()


# ---- all


@pytest.mark.parametrize("cls", [cls for cls in ALL if cls is not Digits], ids=lambda cls: cls.name)
def test_absent_data_are_reported_in_one_line_with_path_and_remedy(cls: type[Dataset], tmp_path: Path):
    gap = cls().missing()
    assert gap.startswith(f"{cls.name}: ")
    assert "\n" not in gap
    assert str(tmp_path / "data" / cls.name) in gap
    assert "size" in gap or " MB" in gap or " GB" in gap
    with pytest.raises(MissingError) as error:
        cls().train()
    assert str(error.value) == gap


def test_what_pabench_cannot_download_stays_missing():
    with pytest.raises(MissingError, match=r"imagenet: .*register at image-net\.org"):
        Imagenet().fetch()


# ---- digits


def test_digits_are_those_of_scikit_learn_in_a_stratified_split():
    images, labels = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    original = sorted((int(y), *row) for row, y in zip(images.astype(int).tolist(), labels, strict=True))
    train, test = Digits().train(), Digits().test()
    assert (len(train), len(test)) == (1437, 360)

    pixels, kept = torch.cat([train.pixels, test.pixels]), torch.cat([train.labels, test.labels])
    stored = sorted((y, *row) for row, y in zip((pixels // 15).flatten(1).tolist(), kept.tolist(), strict=True))

    assert stored == original
    # a fifth of each class, rounded
    assert all(abs(len(test) * int((labels == c).sum()) / 1797 - int((test.labels == c).sum())) < 1 for c in range(10))


def test_digits_constants_are_the_moments_of_the_training_pixels():
    pixels = Digits().train().pixels / 255
    assert float(pixels.mean()) == pytest.approx(Digits.mean[0], abs=5e-5)
    assert float(pixels.std(correction=0)) == pytest.approx(Digits.std[0], abs=5e-5)


def test_a_subset_holds_the_first_images_of_each_class_in_file_order():
    whole, part = Digits().train(), Digits(train_per_class=2).train()
    expected = sorted(i for c in range(10) for i in (whole.labels == c).nonzero().flatten()[:2].tolist())
    assert torch.equal(part.pixels, whole.pixels[expected])
    assert torch.equal(part.labels, whole.labels[expected])


def test_a_test_subset_leaves_the_training_split_whole():
    dataset = Digits(test_per_class=3)
    assert (len(dataset.train()), len(dataset.test())) == (1437, 30)


def test_a_subset_larger_than_a_class_names_class_and_count():
    with pytest.raises(DataError, match="digits: test_per_class: class 2 has 35 images, 36 per class are needed"):
        Digits(test_per_class=36).test()


def test_a_subset_serves_a_scoring_batch_of_its_whole_class():
    train = Digits(train_per_class=5).train()
    chosen = scoring_batch(train, classes=10, per_class=5, seed=1)
    assert sorted(chosen.tolist()) == list(range(50))


# ---- Parquet


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


def test_parquet_moments_come_from_the_training_pixels(parquet: Path):
    dataset = Parquet(path=str(parquet))
    # 0, 0.2, 0.4, 1: mean 0.4, variance (0.16 + 0.04 + 0 + 0.36) / 4 = 0.14
    assert dataset.mean == pytest.approx([0.4] * 3)
    assert dataset.std == pytest.approx([0.14**0.5] * 3)
    assert Parquet(path=str(parquet), pixel_mean=[0.5] * 3).mean == (0.5, 0.5, 0.5)


def test_parquet_falls_back_to_a_validation_file(parquet: Path):
    (parquet / "test-00000-of-00001.parquet").rename(parquet / "validation-00000-of-00001.parquet")
    assert values(Parquet(path=str(parquet)), "test") == [7]


def test_parquet_images_are_decoded_once_per_machine(parquet: Path, monkeypatch: pytest.MonkeyPatch):
    Parquet(path=str(parquet)).train()
    monkeypatch.setattr("pabench.data.images.load", lambda *_: pytest.fail("decoded again"))
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


def test_a_test_label_beyond_the_training_labels_is_refused(parquet: Path):
    write_parquet(parquet / "test-00000-of-00001.parquet", [png(8)], labels=[2])
    with pytest.raises(DataError, match="test labels 2 to 2, expected 0 to 1"):
        Parquet(path=str(parquet)).test()


def test_a_broken_picture_is_named_with_its_row(parquet: Path):
    write_parquet(parquet / "test-00000-of-00001.parquet", [png(8), b"no picture"])
    with pytest.raises(DataError, match=r"test-00000-of-00001.parquet: row 1: cannot be read as a picture"):
        Parquet(path=str(parquet)).test()


def test_pictures_of_several_sizes_need_one(parquet: Path):
    write_parquet(parquet / "test-00000-of-00001.parquet", [png(8), png(9, side=6)])
    with pytest.raises(DataError, match=r"row 1: shape \(3, 6, 6\), the first one is \(3, 4, 4\); give `size`"):
        Parquet(path=str(parquet)).test()
    assert values(Parquet(path=str(parquet), size=5), "test") == [8, 9]
    assert Parquet(path=str(parquet), size=5).shape == (3, 5, 5)


@pytest.mark.slow
@pytest.mark.skipif(not Path(REAL).is_dir() or not any(Path(REAL).glob("*.parquet")), reason="no CIFAR-10 in Parquet")
def test_the_real_cifar10_has_its_known_counts_and_moments():
    dataset = Parquet(path=REAL, title="cifar10")
    assert dataset.train().labels.bincount().tolist() == [5000] * 10
    assert dataset.test().labels.bincount().tolist() == [1000] * 10
    assert dataset.mean == pytest.approx(Cifar10.mean, abs=2e-3)  # JPEG moves the third digit at most
    assert dataset.std == pytest.approx(Cifar10.std, abs=2e-3)


# ---- folders


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


# ---- torchvision


@pytest.fixture
def cifar_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A CIFAR-10 of two images a batch, on a web server of our own; image i of batch b is all 10 * b + i."""
    from torchvision.datasets import CIFAR10

    def checked(name: str, content: object) -> tuple[str, bytes, str]:
        encoded = pickle.dumps(content)
        return name, encoded, hashlib.md5(encoded).hexdigest()

    files = []
    for number, name in enumerate(["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"], 1):
        data = np.array([[10 * number] * 3072, [10 * number + 1] * 3072], dtype=np.uint8)
        files.append(checked(name, {"data": data, "labels": [0, 9]}))
    data = np.repeat(np.arange(3, dtype=np.uint8), 1024)[None]  # red 0, green 1, blue 2
    files.append(checked("test_batch", {"data": data, "labels": [4]}))
    files.append(checked("batches.meta", {"label_names": list("abcdefghij")}))
    archive = tmp_path / "server.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, encoded, _ in files:
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(encoded)
            tar.addfile(info, io.BytesIO(encoded))
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{archive.name}")
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5] for name, _, md5 in files[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, md5] for name, _, md5 in files[5:6]])
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": files[6][2]})
    yield archive
    server.shutdown()
    server.server_close()


def test_cifar10_is_fetched_checked_and_read(cifar_server: Path, tmp_path: Path):
    Cifar10().fetch()

    assert Cifar10().missing() == ""
    assert values(Cifar10(), "train") == [10, 11, 20, 21, 30, 31, 40, 41, 50, 51]
    assert Cifar10().train().labels.tolist() == [0, 9] * 5
    assert Cifar10().test().pixels[0, :, 5, 5].tolist() == [0, 1, 2]
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["cifar10"]


def test_a_download_with_another_checksum_leaves_nothing(cifar_server: Path, tmp_path: Path):
    cifar_server.write_bytes(cifar_server.read_bytes() + b"x")
    with pytest.raises(MissingError, match=r"pabench fetch cifar10.*the download failed"):
        Cifar10().fetch()
    assert list((tmp_path / "data").iterdir()) == []


def test_a_corrupt_file_is_data_to_delete(cifar_server: Path, tmp_path: Path):
    Cifar10().fetch()
    with open(tmp_path / "data/cifar10/cifar-10-batches-py/data_batch_1", "ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=r"corrupt files .*delete the folder and `pabench fetch cifar10`"):
        Cifar10().train()


def test_mnist_is_read_from_its_raw_files(tmp_path: Path):
    raw = tmp_path / "data/mnist/MNIST/raw"
    raw.mkdir(parents=True)
    for part, labels in (("train", [3, 1]), ("t10k", [7])):
        n = len(labels)
        header = np.array([0x803, n, 28, 28], dtype=">i4").tobytes()
        pixels = np.repeat(np.array(labels, dtype=np.uint8), 784).tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + pixels)
        label_header = np.array([0x801, n], dtype=">i4").tobytes()
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(label_header + bytes(labels))

    assert Mnist().train().pixels.shape == (2, 1, 28, 28)
    assert values(Mnist(), "train") == [3, 1] == Mnist().train().labels.tolist()
    assert values(Mnist(), "test") == [7]


def test_svhn_calls_the_digit_zero_zero(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    root = tmp_path / "data/svhn"
    root.mkdir(parents=True)
    listed = {}
    for part in ("train", "test"):
        pixels = np.arange(2, dtype=np.uint8) + np.zeros((32, 32, 3, 2), dtype=np.uint8)
        savemat(root / f"{part}_32x32.mat", {"X": pixels, "y": np.array([[10], [1]])})
        md5 = hashlib.md5((root / f"{part}_32x32.mat").read_bytes()).hexdigest()
        listed[part] = ["", f"{part}_32x32.mat", md5]
    monkeypatch.setattr(SVHN, "split_list", listed)

    assert Svhn().train().pixels.shape == (2, 3, 32, 32)
    assert values(Svhn(), "train") == [0, 1] == Svhn().train().labels.tolist()
