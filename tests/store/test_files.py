"""Files survive kills, power cuts and full disks: whole or absent, and the first writer wins."""

from __future__ import annotations

import errno
import functools
import os
import select
import signal
import time

import pytest

from pabench.errors import RefusedError
from pabench.store import files
from pabench.store.envelope import seal
from pabench.store.store import Store

from .conftest import MANIFEST, file_of, key_of, names, record

FILE_CALLS = ("open", "write", "fsync", "link", "unlink")


def in_child(function) -> int:
    """Run in a forked process; returns its wait status (0: it returned)."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def before_call(n: int, action) -> None:
    """Do `action` instead of the n-th file call from now on, counted from 0."""
    count = iter(range(10**6))

    def intercepted(call):
        return lambda *args, **kwargs: action() if next(count) == n else call(*args, **kwargs)

    for name in FILE_CALLS:
        setattr(os, name, intercepted(getattr(os, name)))


@pytest.mark.parametrize("kind", ["symlink", "fifo", "folder"])
def test_only_regular_files_are_read(store, tmp_path, kind):
    (tmp_path / "elsewhere.json").write_bytes(seal(record()))
    if kind == "symlink":
        file_of(store).symlink_to(tmp_path / "elsewhere.json")
    elif kind == "fifo":
        os.mkfifo(file_of(store))
    else:
        file_of(store).mkdir()
    assert store.get("records", key_of(0)) is None
    assert names(store.folder / "quarantine") == [f"records-{key_of(0)}-1.json"]


def test_a_writer_killed_before_any_of_its_file_calls_leaves_the_whole_record_or_none(store, record_property):
    seen = set()
    for n in range(100):
        status = in_child(
            lambda n=n: (
                before_call(n, lambda: os.kill(os.getpid(), signal.SIGKILL)),
                store.commit("records", key_of(n), record(n)),
            )
        )
        found = store.get("records", key_of(n))
        assert found in (None, record(n))
        assert store.commit("records", key_of(n), record(n)) == (found is None)
        if status == 0:
            break
        seen.add(found is None)
    assert n >= 6
    record_property("injected", n)
    assert seen == {True, False}
    assert names(store.folder / "quarantine") == []


def test_every_acknowledged_record_survives_a_kill_at_any_moment(store, record_property):
    for round_ in range(5):
        ours, theirs = os.pipe()

        def write_forever(theirs=theirs, first=round_ * 10_000):
            for n in range(first, first + 10_000):
                store.commit("records", key_of(n), record(n, padding="x" * 5000))
                os.write(theirs, n.to_bytes(4, "big"))

        pid = os.fork()
        if pid == 0:
            write_forever()
            os._exit(0)
        os.close(theirs)
        select.select([ours], [], [], 10)
        time.sleep(0.007 * (round_ + 1))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with os.fdopen(ours, "rb") as pipe:
            data = pipe.read()
        acknowledged = [int.from_bytes(data[i : i + 4], "big") for i in range(0, len(data), 4)]
        assert acknowledged
        valid = store.records()
        assert {key_of(n) for n in acknowledged} <= valid.keys()
    record_property("injected", round_ + 1)
    assert names(store.folder / "quarantine") == []


def test_a_power_cut_tears_nothing_and_loses_nothing_acknowledged(store, monkeypatch):
    """Model: content is on disk once its file was synced, a name once its folder was synced after the link."""
    synced, unsynced_names, torn = set(), set(), []

    def sync(handle, real=os.fsync):
        target = os.readlink(f"/proc/self/fd/{handle}")
        synced.add(os.fstat(handle).st_ino)
        unsynced_names.difference_update({name for name in unsynced_names if os.path.dirname(name) == target})
        return real(handle)

    def give_name(source, name, real):
        if os.stat(source).st_ino not in synced:
            torn.append(name)  # the name may reach the disk before the content
        unsynced_names.add(str(name))
        return real(source, name)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "link", functools.partial(give_name, real=os.link))
    monkeypatch.setattr(os, "replace", functools.partial(give_name, real=os.replace))
    store.commit("records", key_of(0), record(status="failed"))
    store.commit("records", key_of(0), record(), replace_failed=True)
    sha = store.put_mask(b"bits")
    store.open_study({**MANIFEST, "cells": []})
    assert torn == []
    assert unsynced_names == set()
    assert os.stat(store.folder / "masks" / f"{sha}.safetensors").st_ino in synced


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_file_call_breaks_no_record_and_is_resumed(store, number, record_property):
    def fail():
        raise OSError(number, os.strerror(number))

    for n in range(100):
        with pytest.MonkeyPatch.context() as patch:
            for name in FILE_CALLS:
                patch.setattr(os, name, getattr(os, name))
            before_call(n, fail)
            try:
                store.commit("records", key_of(n), record(n))
                refused = False
            except RefusedError:
                refused = True
        assert store.get("records", key_of(n)) in (None, record(n))
        store.commit("records", key_of(n), record(n))
        assert store.get("records", key_of(n)) == record(n)
        if not refused and n >= 8:
            break
    record_property("injected", n)
    assert names(store.folder / "quarantine") == []


def test_a_full_disk_is_refused_with_the_bytes_needed(store, monkeypatch):
    def full(handle, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(RefusedError, match=r"records: disk full: 5000 bytes needed, \d+ free"):
        files.write_once(store.folder / "records" / "x", b"x" * 5000)
    assert names(store.folder / "records") == []


def test_without_hard_links_the_first_commit_still_wins(store, monkeypatch):
    def unsupported(source, name):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    assert store.commit("records", key_of(0), record())
    assert not store.commit("records", key_of(0), record(result=None))
    assert store.get("records", key_of(0)) == record()
    assert names(store.folder / "records") == [f"{key_of(0)}.json"]


@pytest.mark.parametrize("place", ["file/results", "/proc/results"])
def test_a_folder_that_cannot_be_written_is_refused_by_name(tmp_path, place):
    (tmp_path / "file").write_text("")
    folder = tmp_path / place
    with pytest.raises(RefusedError) as refusal:
        Store(folder).open_study(MANIFEST)
    assert refusal.value.exit_code == 4
    assert str(folder.parent) in str(refusal.value)


@pytest.mark.parametrize("answer", [errno.EEXIST, errno.ENOENT, errno.ESTALE])
@pytest.mark.parametrize("call", ["mkdir", "open"])
def test_a_folder_that_another_machine_is_making_is_waited_for(tmp_path, monkeypatch, call, answer):
    left, real = iter(range(3)), getattr(os, call)

    def unsettled(*args, **kwargs):
        if next(left, None) is not None:
            raise OSError(answer, os.strerror(answer))
        return real(*args, **kwargs)

    monkeypatch.setattr(os, call, unsettled)
    store = Store(tmp_path / "results")
    store.open_study(MANIFEST)
    assert next(left, None) is None
    assert store.commit("records", key_of(0), record())


def test_a_read_only_folder_is_refused_before_anything_else(tmp_path, monkeypatch):
    def read_only(path, flags, *args, real=os.open, **kwargs):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(RefusedError, match="cannot be written"):
        Store(tmp_path).open_study(MANIFEST)


def test_temporary_files_of_killed_writers_are_removed_once_they_are_old(store):
    old, young = store.folder / "records/.tmp-old", store.folder / "records/.tmp-young"
    old.touch()
    young.touch()
    os.utime(old, (time.time() - 3600,) * 2)
    store.open_study(MANIFEST)
    assert names(store.folder / "records") == [".tmp-young"]
