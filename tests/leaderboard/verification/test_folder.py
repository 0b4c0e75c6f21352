"""A stranger's folder is read from inside, and what does not belong there is not opened."""

from __future__ import annotations

import json
import os
import time
from itertools import islice

import numpy as np
import pytest

from pabench.errors import MissingError
from pabench.leaderboard.verification import folder as module
from pabench.leaderboard.verification.folder import LONGEST, MAX_FLAWS, Flaw, read
from pabench.leaderboard.verification.verify import verify

from ...forgery import packed, sha
from .looking import flaws


def test_a_link_out_of_the_folder_is_not_followed(forgery, tmp_path):
    path = forgery.record()
    (tmp_path / "secret.json").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(tmp_path / "secret.json")

    assert any(f"records/{path.name}" in flaw and "no regular file" in flaw for flaw in flaws(forgery.folder))
    assert f"records/{path.name}" not in read(forgery.folder).files


def test_a_folder_that_is_a_link_is_not_entered(forgery, submission):
    (forgery.folder / "masks").rename(forgery.folder.parent / "elsewhere")
    (forgery.folder / "masks").symlink_to(forgery.folder.parent / "elsewhere")

    assert any(flaw.startswith("level 1: masks: expected a folder") for flaw in flaws(forgery.folder))


def test_a_pipe_does_not_block(forgery):
    path = forgery.record()
    path.unlink()
    os.mkfifo(path)

    assert any("no regular file" in flaw for flaw in flaws(forgery.folder))


@pytest.mark.parametrize("name", ["data.pkl", "results.tar.gz", ".hidden", "records/note.txt", "masks/x.safetensors"])
def test_a_file_that_does_not_belong_there_is_not_opened(forgery, name):
    (forgery.folder / name).write_bytes(b"\x80\x04cos\nsystem\n(S'false'\ntR.")

    assert any(f"level 1: {name}: expected" in flaw for flaw in flaws(forgery.folder))


def test_a_list_that_points_out_of_the_folder_finds_nothing(forgery):
    stated = json.loads((forgery.folder / "submission.json").read_text())
    stated["files"]["../../etc/passwd"] = {"sha256": "0" * 64, "bytes": 1}
    (forgery.folder / "submission.json").write_text(json.dumps(stated))

    assert "level 1: ../../etc/passwd: expected the file that submission.json lists, found no such file" in flaws(
        forgery.folder
    )


def test_a_huge_file_is_not_read(forgery):
    path = forgery.record()
    os.truncate(path, 2**40)

    assert any("1099511627776 bytes, more than 16777216" in flaw for flaw in flaws(forgery.folder))


@pytest.mark.parametrize(
    "body",
    [
        b'{"key":NaN}',
        b'{"key":1,"key":2}',
        b"[" * 200_000,
        b'{"key":' + b"9" * 5000 + b"}",
        b"[]",
        b"\xff\xfe",
    ],
)
def test_json_that_is_not_strict_is_named_and_nothing_crashes(forgery, body):
    import hashlib

    path = forgery.record()
    path.write_bytes(b'{"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'","record":' + body + b"}\n")

    found = flaws(forgery.listing())
    assert any(f"records/{path.name}" in flaw for flaw in found)


@pytest.mark.parametrize(
    "cell", [[], {"dataset": 1}, {"seed": True}, {"recipe": {"milestones": None}}, {"sparsity": 2}]
)
def test_a_cell_that_is_none_is_named(forgery, cell):
    forgery.study(lambda s: s["cells"].__setitem__(3, {**s["cells"][3], **cell} if cell else cell))

    assert any("study.json: cells.3" in flaw for flaw in flaws(forgery.listing()))


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        (lambda s: s.update(cells=[{}] * 20_000), "study.json: cells.0: expected a cell"),
        (lambda s: s.update(cells=[0] * 200_000), "cells.0: expected Input should be a valid dictionary"),
        (lambda s: s.update(cells=[{}] * 20_001), "more than 20,000 cells"),
        (lambda s: s["cells"][3]["model"].update(name="x" * 100_000), "a cell of 65,536 characters or more"),
        (lambda s: s["cells"][3].update(seed=10**4000), "expected whole numbers below 2**63"),
        (lambda s: s.update(overrides=["seeds=2"] * 101), "overrides: expected List should have at most 100 items"),
        (lambda s: s.update(overrides=["seeds=" + "1" * 20_000]), "overrides.0: expected String should have at most"),
        (lambda s: s.update(suite="a" * 2_000_000), "suite: expected String should have at most 1048576"),
        (lambda s: s.update(suite="x\n- " * 50_000), "suite: expected a valid suite"),
        (lambda s: s.update(command="'" * 200_000), "command: expected String should have at most 100000"),
        (
            lambda s: s.update(environment={str(n): 0 for n in range(50_000)}),
            "environment: expected at most 1,000 entries, not 50,000",
        ),
        (lambda s: s.update(metrics=[{"name": "a"}] * 1_001), "metrics: expected List should have at most 1000"),
        (lambda s: s["cells"][3]["criterion"]["args"].update(deep=deep(40)), "nested deeper than 32 levels"),
    ],
)
def test_a_study_of_any_size_is_refused_in_seconds(forgery, lie, message):
    forgery.study(lie)
    forgery.listing()

    began = time.process_time()
    found = verify(forgery.folder)
    spent = time.process_time() - began

    assert any(message in str(flaw) for flaw in found.levels[0].flaws)
    assert len(found.levels[0].flaws) <= MAX_FLAWS
    assert spent < 20  # two to four on an idle core; searched pair by pair it would be hours


def deep(levels: int):
    return [deep(levels - 1)] if levels else []


def test_of_a_strangers_text_a_flaw_keeps_the_beginning():
    assert len(Flaw(1, "x" * 10**6, "y", "z" * 10**6).found) == LONGEST


def test_of_a_folder_of_millions_some_names_are_read(forgery, monkeypatch):
    """Its entries are counted, up to the bound; a list of them all would fill the memory."""
    read_so_far = []
    monkeypatch.setattr(module, "MAX_FILES", 5)
    monkeypatch.setattr(
        module, "islice", lambda entries, most: islice((read_so_far.append(e) or e for e in entries), most)
    )

    said = flaws(forgery.folder)

    assert any("level 1: records: expected at most 5 files, found more" in flaw for flaw in said)
    assert len(read_so_far) <= 6 * 6


def test_a_device_and_a_sparse_file_are_not_read(forgery):
    mask = next((forgery.folder / "masks").iterdir())
    os.truncate(mask, 2**41)
    record = forgery.record()
    record.unlink()
    record.symlink_to("/dev/zero")

    said = flaws(forgery.folder)
    assert any(f"masks/{mask.name}" in flaw and "more than 29360128" in flaw for flaw in said)
    assert any(f"records/{record.name}" in flaw and "no regular file" in flaw for flaw in said)


def test_terminal_escapes_in_what_a_stranger_wrote_do_not_reach_the_terminal(forgery):
    path = forgery.record()
    forgery.change(path, lambda r: r["labels"].update(criterion="\x1b[2Jbest\n"))

    text = "\n".join(flaws(forgery.listing()))
    assert "\x1b" not in text
    assert "best" in text


def test_a_folder_that_is_no_submission_is_refused_in_one_line(tmp_path):
    with pytest.raises(MissingError, match=r"no study.json; expected a submission"):
        verify(tmp_path)
    with pytest.raises(MissingError, match="No such file"):
        verify(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("pattern", "layers"), [("2:4", ["b"]), ("channels", ["a", "b"]), ("", []), ("9" * 99, []), (3, [])]
)
def test_a_mask_that_is_not_of_the_form_its_receipt_says_is_told_by_layer(pattern, layers):
    masks = {"a": np.array([[1, 1, 0, 0]], bool), "b": np.array([[1, 1, 1, 0]], bool)}
    data = packed(masks, {"parameters": {"pattern": pattern}})

    assert module._mask(data, sha(data), f"masks/{sha(data)}.safetensors").unformed == layers
