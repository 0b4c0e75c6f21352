"""Each way to lie is caught, at its level and with a message that names the place."""

from __future__ import annotations

import subprocess
import sys

from pabench.leaderboard.verification.folder import read
from pabench.leaderboard.verification.rerun import Where
from pabench.leaderboard.verification.verify import verify
from pabench.store.envelope import unseal
from pabench.suite.cell import Cell

from ...forgery import Forgery
from .looking import INLINE, TRUSTED, flaws, looked_at, restate, said


def test_an_honest_submission_passes_and_so_does_the_results_folder(submission, results):
    for folder in (submission, results):
        found = verify(folder)
        assert [(level.number, level.passed) for level in found.levels] == [(1, True), (2, True)]
        assert (found.passed, found.exit_code) == (2, 0)
        assert len(found.found.records) == 14


def test_levels_one_and_two_import_neither_torch_nor_a_plugin(submission):
    code = (
        "import sys; from pathlib import Path; from pabench.leaderboard.verification.verify import verify;"
        f"assert verify(Path({str(submission)!r})).passed == 2;"
        "sys.exit(any(m.split('.')[0] in ('torch', 'timm') or m.startswith(('pabench_criteria.', 'pabench_plugin'))"
        " for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_number_changed_in_place_breaks_the_seal_of_its_record(forgery):
    path = forgery.record()
    top1 = unseal(path.read_bytes())["result"]["top1"]
    path.write_bytes(
        path.read_bytes()
        .replace(f'"top1":{top1},'.encode(), b'"top1":99.0,')
        .replace(f'"top1":{top1}}}'.encode(), b'"top1":99.0}')
    )

    (first, *_) = flaws(forgery.folder)
    assert first.startswith(f"level 1: records/{path.name}: expected a whole file that matches its hash")


def test_a_number_sealed_again_is_not_what_the_list_of_files_says(forgery):
    path = forgery.record()
    forgery.change(path, lambda r: r["result"].update(top1=99.0, top5=99.5))

    assert f"level 1: records/{path.name}: sha256 in submission.json: expected" in flaws(forgery.folder)[0]


def test_a_number_forged_throughout_passes_two_levels_and_falls_at_the_fourth(forgery, monkeypatch):
    """Nothing but another training can tell an invented accuracy: levels 1 to 3 say nothing of it."""
    for sparsity in (0.8, 0.9):
        for seed in (0, 1):
            path = forgery.record("snip", sparsity, seed)
            forgery.scored(path, 98.0 + seed)
    forgery.means()
    folder = forgery.listing()

    looked_at(monkeypatch, "random", "snip")
    found = verify(folder, 4, seed=5, fresh=4, where=Where(**INLINE))

    assert [level.passed for level in found.levels] == [True, True, True, False]
    # the other setting agrees, and says that two seeds of a network trained for one epoch could not tell 10 points
    (only,) = [flaw for flaw in found.levels[3].flaws if not flaw.unable]
    assert found.exit_code == 4
    assert any("10 points with probability 0.8; " in str(flaw) for flaw in found.levels[3].flaws if flaw.unable)
    assert only.cell.startswith("digits / lenet_300_100 / snip")
    assert "no difference that is significant at 0.01" in str(only)
    assert "n = 4 and 2" in str(only)


def test_honest_reference_lines_variants_and_donors_pass_three_levels(references):
    found = verify(references, 3, seed=1, where=TRUSTED)

    assert [str(flaw) for level in found.levels for flaw in level.flaws] == []
    assert found.passed == 3
    told = {o["title"].split(" / ")[2]: o["outcome"] for o in found.levels[2].outcomes}
    assert told["small_dense 0.8"] == "the same network"
    assert told["grasp@official 0.8"] == "equal"
    assert len(told) == 5


def test_an_honest_line_that_goes_on_from_an_epoch_passes_three_levels(resumed):
    """Its curve has the two epochs of three that it was trained with masks."""
    found = verify(resumed, 3, seed=1, where=TRUSTED)

    assert [str(flaw) for level in found.levels for flaw in level.flaws] == []
    assert [outcome["outcome"] for outcome in found.levels[2].outcomes] == ["equal"]


def test_epochs_that_a_line_leaves_out_are_those_that_its_receipt_says(resumed, tmp_path):
    """A curve of two values is short where training began with the first of three epochs."""
    forged = Forgery(resumed, tmp_path / "forged")
    path = forged.record("learning_rate_rewinding", 0.8, 0)
    forged.change(path, lambda r: r["receipt"].update(resumes_at=0))
    forged.means()

    assert any("result.curve.loss: expected 3 epochs, found 2 values" in flaw for flaw in flaws(forged.listing()))


def test_every_cell_of_the_forgers_tools_is_one(submission, tmp_path):
    """The tools change nothing where nothing is changed: what falls above falls for what was forged."""
    forged = Forgery(submission, tmp_path / "same")
    forged.cells(lambda cell: None)
    restate(forged, forged.record(), lambda receipt: None)

    assert said(forged) == []
    assert {Cell.from_json(c).key for c in read(forged.folder).study["cells"]} == set(
        read(forged.folder).all("records")
    )
