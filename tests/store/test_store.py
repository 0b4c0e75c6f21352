"""Records survive kills, broken disks and each other."""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import multiprocessing
import os
import select
import signal
import time
from pathlib import Path

import pytest

from pabench.errors import DataError, MissingError, RefusedError
from pabench.store import files
from pabench.store.envelope import parse, seal, unseal
from pabench.store.store import Store

MANIFEST = {"schema": 1, "name": "tiny", "suite": "a: 1\n", "cells": [{"seed": 0}], "created": "monday"}
FILE_CALLS = ("open", "write", "fsync", "link", "unlink")


def key_of(n: int) -> str:
    return f"{n:064x}"


def record(n: int = 0, **fields) -> dict:
    return {"key": key_of(n), "status": "ok", "result": {"top1": 91.5}, **fields}


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "results")
    store.open_study(MANIFEST)
    return store


def file_of(store: Store, n: int = 0) -> Path:
    return store.folder / "records" / f"{key_of(n)}.json"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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


def test_a_committed_record_is_read_back(store):
    assert store.commit("records", key_of(1), record(1))
    assert store.get("records", key_of(1)) == record(1)
    assert store.statuses([key_of(2), key_of(1)]) == {key_of(2): "missing", key_of(1): "ok"}
    assert store.get("receipts", key_of(1)) is None


def test_the_file_is_json_that_holds_the_sha256_of_the_canonical_record(store):
    store.commit("records", key_of(1), {"status": "ok", "key": key_of(1)})
    body = f'{{"key":"{key_of(1)}","status":"ok"}}'
    assert json.loads(file_of(store, 1).read_text()) == {
        "sha256": hashlib.sha256(body.encode()).hexdigest(),
        "record": json.loads(body),
    }


def test_the_first_commit_wins_and_an_equal_second_one_is_silent(store):
    assert store.commit("records", key_of(0), record(cost={"wall_seconds": 1}, created="monday", attempt=1))
    assert not store.commit("records", key_of(0), record(cost={"wall_seconds": 2}, created="friday", attempt=2))
    assert store.get("records", key_of(0))["created"] == "monday"
    assert not (store.folder / "log.txt").exists()


def test_a_second_execution_with_another_result_is_logged(store):
    store.commit("records", key_of(0), record())
    store.commit("records", key_of(0), record(result={"top1": 90.25}))
    log = (store.folder / "log.txt").read_text()
    assert f"records/{key_of(0)}.json: a second execution differs" in log
    assert "result.top1 91.5 and 90.25" in log


def test_a_retry_replaces_a_failed_record_and_keeps_it_in_history(store):
    failed = record(status="failed", kind="oom")
    store.commit("records", key_of(0), failed)
    assert not store.commit("records", key_of(0), record())
    assert store.commit("records", key_of(0), record(), replace_failed=True)
    assert store.get("records", key_of(0)) == record()
    assert unseal((store.folder / "history" / f"records-{key_of(0)}-1.json").read_bytes()) == failed


def test_a_retry_never_replaces_a_good_record(store):
    store.commit("records", key_of(0), record())
    assert not store.commit("records", key_of(0), record(status="failed"), replace_failed=True)
    assert store.get("records", key_of(0))["status"] == "ok"
    assert names(store.folder / "history") == []


def test_of_two_processes_that_commit_one_key_exactly_one_wins(store):
    rounds, context = 50, multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(2), context.SimpleQueue()

    def commit_all():
        for n in range(rounds):
            barrier.wait(10)
            answers.put((n, store.commit("records", key_of(n), record(n))))

    processes = [context.Process(target=commit_all) for _ in range(2)]
    for process in processes:
        process.start()
    won = sorted(answers.get() for _ in range(2 * rounds))
    for process in processes:
        process.join()
    assert won == [(n, outcome) for n in range(rounds) for outcome in (False, True)]
    assert len(store.records()) == rounds


def test_two_retries_of_one_failed_record_replace_it_once(store):
    rounds, context = 20, multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(2), context.SimpleQueue()
    for n in range(rounds):
        store.commit("records", key_of(n), record(n, status="failed"))

    def retry_all():
        for n in range(rounds):
            barrier.wait(10)
            answers.put((n, store.commit("records", key_of(n), record(n), replace_failed=True)))

    processes = [context.Process(target=retry_all) for _ in range(2)]
    for process in processes:
        process.start()
    won = sorted(answers.get() for _ in range(2 * rounds))
    for process in processes:
        process.join()
    assert won == [(n, outcome) for n in range(rounds) for outcome in (False, True)]
    assert len(names(store.folder / "history")) == rounds


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_record_broken_at_any_byte_is_quarantined_and_counts_as_absent(store, damage):
    store.commit("records", key_of(0), record())
    path = file_of(store)
    whole = path.read_bytes()
    for n in range(len(whole)):
        broken = whole[:n] if damage == "truncated" else whole[:n] + bytes([whole[n] ^ 1 << n % 8]) + whole[n + 1 :]
        path.write_bytes(broken)
        assert store.get("records", key_of(0)) is None
        assert not path.exists()
    assert len(names(store.folder / "quarantine")) == len(whole)
    assert "do not match their SHA-256" in (store.folder / "log.txt").read_text()
    assert store.commit("records", key_of(0), record())


def test_a_record_under_the_key_of_another_is_quarantined(store):
    store.commit("records", key_of(1), record(1))
    file_of(store, 1).rename(file_of(store, 2))
    assert store.records() == {}
    assert names(store.folder / "quarantine") == [f"records-{key_of(2)}-1.json"]


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


@pytest.mark.parametrize(
    "text",
    [
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":1e999}',
        '{"a":1,"a":1}',
        "[" * 33 + "]" * 33,
        "[" * 200_000,
        "1" * 5000,
        '"\xff"',
        "",
        "{} {}",
    ],
    ids=["nan", "infinity", "overflow", "key twice", "33 deep", "200000 deep", "5000 digits", "latin1", "empty", "two"],
)
def test_what_is_not_strict_json_is_refused(text):
    with pytest.raises(DataError):
        parse(text.encode("latin1"))


def test_strict_json_is_accepted_up_to_its_depth():
    assert parse(b"[" * 32 + b"]" * 32)
    assert parse(b'{"a":[1,-2.5e-3,null,true,"x"]}') == {"a": [1, -0.0025, None, True, "x"]}


def test_a_writer_killed_before_any_of_its_file_calls_leaves_the_whole_record_or_none(store):
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
    assert seen == {True, False}
    assert names(store.folder / "quarantine") == []


def test_every_acknowledged_record_survives_a_kill_at_any_moment(store):
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
def test_a_disk_that_fails_at_any_file_call_breaks_no_record_and_is_resumed(store, number):
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


def test_a_read_only_folder_is_refused_before_anything_else(tmp_path, monkeypatch):
    def read_only(path, flags, *args, real=os.open, **kwargs):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(RefusedError, match="cannot be written"):
        Store(tmp_path).open_study(MANIFEST)


def test_records_are_read_from_a_folder_that_cannot_be_written(store, monkeypatch):
    store.commit("records", key_of(1), record(1))
    file_of(store, 2).write_bytes(b"broken")

    def read_only(path, flags, *args, real=os.open, **kwargs):
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", read_only)
    assert store.records() == {key_of(1): record(1)}


def test_the_manifest_is_read_back(store):
    assert store.manifest() == MANIFEST


def test_a_changed_suite_replaces_the_manifest_and_keeps_the_old_one_and_the_records(store):
    store.commit("records", key_of(0), record())
    grown = {**MANIFEST, "cells": [{"seed": 0}, {"seed": 1}]}
    store.open_study(grown)
    assert store.manifest() == grown
    assert json.loads((store.folder / "study-1.json").read_text())["cells"] == MANIFEST["cells"]
    assert store.get("records", key_of(0)) == record()


def test_starting_the_same_study_again_changes_nothing(store):
    store.open_study({**MANIFEST, "created": "friday", "cells": ({"seed": 0},)})
    assert store.manifest()["created"] == "monday"
    assert not (store.folder / "study-1.json").exists()


def test_another_study_is_refused_with_both_names(store):
    with pytest.raises(RefusedError, match="holds the study 'tiny', not 'other'"):
        store.open_study({**MANIFEST, "name": "other"})
    assert store.manifest() == MANIFEST


def test_a_broken_manifest_is_named_and_written_anew_by_the_next_run(store):
    path = store.folder / "study.json"
    path.write_text(path.read_text().replace("tiny", "tinx"))
    with pytest.raises(DataError, match=r"study.json: does not match its SHA-256"):
        store.manifest()
    store.open_study(MANIFEST)
    assert store.manifest() == MANIFEST
    assert len(names(store.folder / "quarantine")) == 1


def test_a_folder_without_a_study_is_named(tmp_path):
    with pytest.raises(MissingError, match=r"no study\.json"):
        Store(tmp_path).manifest()
    assert Store(tmp_path).records() == {}


def test_a_mask_is_known_by_its_sha256(store):
    sha = store.put_mask(b"bits")
    assert sha == hashlib.sha256(b"bits").hexdigest() == store.put_mask(b"bits")
    assert store.get_mask(sha) == b"bits"


def test_a_broken_mask_is_never_returned_and_can_be_put_again(store):
    sha = store.put_mask(b"bits")
    (store.folder / "masks" / f"{sha}.safetensors").write_bytes(b"bitz")
    with pytest.raises(DataError, match=sha):
        store.get_mask(sha)
    (store.folder / "masks" / f"{sha}.safetensors").write_bytes(b"bitz")
    store.put_mask(b"bits")
    assert store.get_mask(sha) == b"bits"


def test_temporary_files_of_killed_writers_are_removed_once_they_are_old(store):
    old, young = store.folder / "records/.tmp-old", store.folder / "records/.tmp-young"
    old.touch()
    young.touch()
    os.utime(old, (time.time() - 3600,) * 2)
    store.open_study(MANIFEST)
    assert names(store.folder / "records") == [".tmp-young"]


@pytest.mark.parametrize("key", ["../../etc/passwd", "0" * 63, "A" * 64, "0" * 64 + "\n"])
def test_only_keys_of_64_hexadecimal_digits_name_files(store, key):
    with pytest.raises(ValueError, match="not a key"):
        store.get("records", key)
