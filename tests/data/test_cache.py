"""Tests of pabench.data.cache: decoded images on disk."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from pabench.data import cache
from pabench.data.cache import decoded, hashed, sha256_of, trust


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


TOLD = "0" * 64


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file that has lain there for a while, in a process that has read none."""
    monkeypatch.setattr(cache, "_hashed", {})
    monkeypatch.setattr(cache, "SETTLED", -1)
    (tmp_path / "images").write_bytes(b"0123")
    return tmp_path / "images"


def test_a_file_that_another_process_of_the_study_has_read_is_not_read_again(file: Path, monkeypatch):
    sha256_of(file)
    found = json.loads(json.dumps(hashed()))
    monkeypatch.setattr(cache, "_hashed", {})

    trust({name: (stamp, TOLD) for name, (stamp, _) in found.items()})

    assert sha256_of(file) == TOLD


@pytest.mark.parametrize("touched", ["written", "replaced", "linked"])
def test_a_file_that_was_touched_since_is_read_again_whatever_its_size_and_time(file: Path, touched: str):
    sha256_of(file)
    (name, (stamp, _)) = next(iter(hashed().items()))
    trust({name: (stamp, TOLD)})
    before = file.stat()
    if touched == "written":
        file.write_bytes(b"0124")
    else:
        other = file.with_name("other")
        other.write_bytes(b"0124")
        if touched == "linked":
            file.unlink()
            file.symlink_to(other)
        else:
            other.replace(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert sha256_of(file) == hashlib.sha256(b"0124").hexdigest()


def test_a_file_that_was_written_just_before_is_for_every_process_to_read(file: Path, monkeypatch):
    monkeypatch.setattr(cache, "SETTLED", 3_600_000_000_000)

    sha256_of(file)

    assert hashed() == {}


def test_of_many_files_the_largest_are_told(file: Path, monkeypatch):
    """A task is told of few: there may be a hundred thousand pictures."""
    monkeypatch.setattr(cache, "MOST", 1)
    large = file.with_name("large")
    large.write_bytes(b"01234")
    sha256_of(large)
    sha256_of(file)

    assert list(hashed()) == [str(large)]
