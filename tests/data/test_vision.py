"""Tests of pabench.data.vision, on small files of the same layouts."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pabench.data.vision import Cifar10, FashionMnist, Mnist, Svhn
from pabench.errors import DataError, MissingError

from .conftest import values


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


def idx_files(labels: dict[str, list[int]]) -> Iterator[tuple[str, bytes]]:
    """Images that are all their label, and labels, in the format of MNIST."""
    for part, of_part in labels.items():
        n = len(of_part)
        header = np.array([0x803, n, 28, 28], dtype=">i4").tobytes()
        yield f"{part}-images-idx3-ubyte", header + np.repeat(np.array(of_part, dtype=np.uint8), 784).tobytes()
        yield f"{part}-labels-idx1-ubyte", np.array([0x801, n], dtype=">i4").tobytes() + bytes(of_part)


def test_mnist_is_read_from_its_raw_files(tmp_path: Path):
    raw = tmp_path / "data/mnist/MNIST/raw"
    raw.mkdir(parents=True)
    for name, content in idx_files({"train": [3, 1], "t10k": [7]}):
        (raw / name).write_bytes(content)

    assert Mnist().train().pixels.shape == (2, 1, 28, 28)
    assert values(Mnist(), "train") == [3, 1] == Mnist().train().labels.tolist()
    assert values(Mnist(), "test") == [7]


@pytest.fixture
def debian(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The files of Debian's package, of three images."""
    folder = tmp_path / "debian"
    folder.mkdir()
    for name, content in idx_files({"train": [3, 1], "t10k": [7]}):
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(FashionMnist, "debian", folder)
    return folder


def test_fashion_mnist_is_unpacked_from_the_files_of_debian_and_nothing_is_downloaded(debian: Path):
    FashionMnist().fetch()

    assert values(FashionMnist(), "train") == [3, 1] == FashionMnist().train().labels.tolist()
    assert values(FashionMnist(), "test") == [7]


@pytest.mark.parametrize("damage", [lambda whole: whole[:-1], lambda whole: whole[:-1] + bytes([whole[-1] ^ 1])])
def test_a_damaged_file_of_debian_is_named(damage, debian: Path):
    packed = debian / "t10k-labels-idx1-ubyte.gz"
    packed.write_bytes(damage(packed.read_bytes()))

    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.gz: .*; install dataset-fashion-mnist again"):
        FashionMnist().fetch()


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
