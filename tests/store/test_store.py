"""Records survive kills, broken disks and each other."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os

import pytest

from pabench.errors import DataError, MissingError, RefusedError
from pabench.store.envelope import unseal
from pabench.store.store import Store

from .conftest import MANIFEST, file_of, key_of, names, record


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


def test_how_long_a_check_took_is_no_difference(store):
    for seconds in (0.1, 0.2):
        store.commit("checks", key_of(0), record(finding={"seconds": seconds, "zeros": 0}))
    assert not (store.folder / "log.txt").exists()

    store.commit("checks", key_of(0), record(finding={"seconds": 0.1, "zeros": 7}))
    assert "finding.zeros 0 and 7" in (store.folder / "log.txt").read_text()


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


def test_of_two_processes_that_commit_one_key_exactly_one_wins(store, record_property):
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
    record_property("injected", rounds)


def test_two_retries_of_one_failed_record_replace_it_once(store, record_property):
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
    record_property("injected", rounds)


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_record_broken_at_any_byte_is_quarantined_and_counts_as_absent(store, damage, record_property):
    store.commit("records", key_of(0), record())
    path = file_of(store)
    whole = path.read_bytes()
    for n in range(len(whole)):
        broken = whole[:n] if damage == "truncated" else whole[:n] + bytes([whole[n] ^ 1 << n % 8]) + whole[n + 1 :]
        path.write_bytes(broken)
        assert store.get("records", key_of(0)) is None
        assert not path.exists()
    assert len(names(store.folder / "quarantine")) == len(whole)
    record_property("injected", len(whole))
    assert "do not match their SHA-256" in (store.folder / "log.txt").read_text()
    assert store.commit("records", key_of(0), record())


def test_a_process_with_code_of_others_moves_no_file_away(store, monkeypatch):
    """To one whose plugin has changed hashlib all records look broken, and they are whole."""
    store.commit("records", key_of(0), record(0))
    monkeypatch.setattr("pabench.store.envelope.hashlib.sha256", hashlib.md5)

    assert Store(store.folder, guest=True).get("records", key_of(0)) is None

    monkeypatch.undo()
    assert store.get("records", key_of(0)) is not None


def test_a_record_under_the_key_of_another_is_quarantined(store):
    store.commit("records", key_of(1), record(1))
    file_of(store, 1).rename(file_of(store, 2))
    assert store.records() == {}
    assert names(store.folder / "quarantine") == [f"records-{key_of(2)}-1.json"]


@pytest.mark.parametrize("how", ["another", "gone"])
def test_a_record_that_was_changed_since_it_was_first_read_is_named_and_not_mixed_in(store, how):
    store.commit("records", key_of(1), record(1))
    found = store.records()

    file_of(store, 1).unlink()
    if how == "another":
        store.commit("records", key_of(1), {**record(1), "status": "failed"})

    assert key_of(1) in found
    with pytest.raises(DataError, match=f"the record {key_of(1)} was changed while it was looked at"):
        found[key_of(1)]


def test_whoever_wants_all_records_is_shown_each_once_while_they_are_checked(store):
    for n in (2, 1):
        store.commit("records", key_of(n), record(n))
    file_of(store, 3).write_bytes(b"broken")
    shown = []

    digests = store.digests("records", store.keys(), see=lambda key, one: shown.append((key, one)))

    found = store.sealed("records", digests)
    assert shown == list(found.items()) == sorted((key_of(n), record(n)) for n in (1, 2))


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


SUITE = "datasets: [digits]\nmodels: [lenet]\ncriteria: [snip]\nseeds: 1\nrecipe: {lr: 0.1}\n"


def study(text: str = SUITE, *, dataset="digits", model="lenet", criterion="snip", lr=0.1, seeds=(0,)) -> dict:
    names = {"dataset": {"name": dataset}, "model": {"name": model}, "criterion": {"name": criterion}}
    cells = [{**names, "seed": seed, "lr": lr} for seed in seeds] + [{**names, "criterion": None, "lr": lr}]
    return {**MANIFEST, "suite": text, "cells": cells}


EDITS = {
    "another recipe": study(SUITE.replace("lr: 0.1", "lr: 0.2"), lr=0.2),
    "other seeds": study(SUITE.replace("seeds: 1", "seeds: [7, 8]"), seeds=(7, 8), lr=0.2),
    "another dataset": study(SUITE.replace("digits", "mnist"), dataset="mnist"),
    "another model": study(SUITE.replace("lenet", "vgg"), model="vgg"),
    "another criterion": study(SUITE.replace("snip", "grasp"), criterion="grasp", lr=0.2),
    "comments": study(f"# of mine\n# and more\n# and more\n\n{SUITE.replace('0.1', '0.2  # was 0.1')}", lr=0.2),
    "all of the text, and one cell is left": study("defaults: all of them\n", seeds=(0, 1)),
}
STRANGERS = {
    "no dataset and no model": study(
        SUITE.replace("digits", "mnist").replace("lenet", "vgg"), dataset="mnist", model="vgg"
    ),
    "no dataset and no model and no criterion": study(dataset="a", model="b", criterion="c"),
    "2 of 6 lines of the suite": study(
        "datasets:\n- digits\nmodels: [lenet]\ncriteria: [snip]\nseeds: 3\nrecipe: {epochs: 9}\n", lr=0.3
    ),
}


@pytest.mark.parametrize("edited", EDITS.values(), ids=EDITS)
def test_an_edit_of_a_suite_goes_on_in_its_folder(tmp_path, edited):
    store = Store(tmp_path / "results")
    store.open_study(study())
    store.open_study(edited)
    assert store.manifest() == edited
    assert json.loads((store.folder / "study-1.json").read_text())["suite"] == SUITE


@pytest.mark.parametrize("why", STRANGERS)
def test_a_strangers_study_of_the_same_name_is_refused_with_what_they_share_and_the_way_out(tmp_path, why):
    store = Store(tmp_path / "results")
    store.open_study(study())
    with pytest.raises(RefusedError) as refused:
        store.open_study(STRANGERS[why])
    assert str(refused.value) == (
        f"{store.folder}: holds another study of the name 'tiny': of this one it has no cell, and {why}; "
        "choose another folder with -o (if it is an edit of that study, remove study.json there: "
        "the records are kept, and cells that are in both are used)"
    )
    assert store.manifest() == study()
    (store.folder / "study.json").unlink()
    store.open_study(STRANGERS[why])
    assert store.manifest() == STRANGERS[why]


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


@pytest.mark.parametrize("key", ["../../etc/passwd", "0" * 63, "A" * 64, "0" * 64 + "\n"])
def test_only_keys_of_64_hexadecimal_digits_name_files(store, key):
    with pytest.raises(ValueError, match="not a key"):
        store.get("records", key)
