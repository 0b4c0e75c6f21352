"""A submission without its masks: whose digest it still has, and what is found in it besides."""

from __future__ import annotations

import json
import shutil

from pabench.leaderboard.verification import maskless, wellformed
from pabench.leaderboard.verification.folder import Flaw, read


def without_masks(submission, folder):
    shutil.copytree(submission, folder)
    shutil.rmtree(folder / "masks")
    return folder


def test_its_digest_is_that_of_the_whole_one(submission, tmp_path):
    folder = without_masks(submission, tmp_path / "small")

    assert maskless.whole(read(folder)) == read(submission).digest
    assert maskless.whole(read(submission)) == ""  # nothing is left out


def test_a_list_that_its_digest_does_not_fit_is_of_no_whole_one(submission, tmp_path):
    folder = without_masks(submission, tmp_path / "small")
    stated = json.loads((folder / "submission.json").read_text())
    (folder / "submission.json").write_text(json.dumps({**stated, "digest": "0" * 64}))

    assert maskless.whole(read(folder)) == ""


def test_one_that_lists_no_masks_lacks_none(submission, tmp_path):
    folder = without_masks(submission, tmp_path / "small")
    stated = json.loads((folder / "submission.json").read_text())
    stated["files"] = {path: entry for path, entry in stated["files"].items() if not path.startswith("masks/")}
    (folder / "submission.json").write_text(json.dumps(stated))

    assert maskless.whole(read(folder)) == ""


def test_the_lack_of_masks_is_set_aside_and_nothing_else(submission, tmp_path):
    folder = without_masks(submission, tmp_path / "small")
    (record, *_) = sorted((folder / "records").iterdir())
    record.unlink()

    found = wellformed.check(read(folder)).flaws
    assert len(found) > 2
    assert {flaw.file for flaw in maskless.besides(found)} == {f"records/{record.name}"}
    of_mask = Flaw(2, f"records/{record.name}", "a mask file", "no masks/0.safetensors", "receipt.mask")
    assert maskless.besides([of_mask]) == []
