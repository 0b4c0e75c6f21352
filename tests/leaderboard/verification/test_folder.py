"""A stranger's folder is read from inside, and what does not belong there is not opened."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from pabench.errors import MissingError
from pabench.leaderboard.verification import folder
from pabench.leaderboard.verification.folder import read
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

    assert folder._mask(data, sha(data), f"masks/{sha(data)}.safetensors").unformed == layers
