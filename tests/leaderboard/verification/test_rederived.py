"""Level 3: masks are made again, and cells without a result tried again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pabench.cli.running import carry_out
from pabench.leaderboard.submission import submit
from pabench.leaderboard.verification.rederived import overlap
from pabench.leaderboard.verification.rerun import Where
from pabench.leaderboard.verification.verify import verify
from pabench.run.session import Options, Session

from ...conftest import STEEP, forget_plugins
from .looking import INLINE, TRUSTED, looked_at, one, said, sampled, swap


def test_two_mask_bits_swapped_throughout_fall_at_the_third_level(forgery, monkeypatch):
    path = forgery.record()
    forgery.mask(path, swap)
    folder = forgery.listing()
    sampled(monkeypatch, path, forgery.record("random"))

    found = verify(folder, 3, seed=1, where=Where(**INLINE))

    assert [level.passed for level in found.levels] == [True, True, False]
    (only,) = found.levels[2].flaws
    # 5,019 of 5,021 weights in common
    assert (only.file, only.field) == (f"records/{path.name}", "receipt.mask")
    assert "expected equal masks (same torch, timm and device), found 0.9996 of the kept weights in common" in str(only)
    assert sum(o["outcome"] == "equal" for o in found.levels[2].outcomes) == 1
    assert found.exit_code == 4


def test_on_other_hardware_the_same_swap_is_an_overlap_that_is_named(forgery, monkeypatch):
    """Where rounding may differ, 0.99 of the weights in common is enough: a forger of 0.02 % wins nothing."""
    path = forgery.record()
    forgery.mask(path, swap)
    forgery.change(path, lambda r: r["environment"].update(device="cpu: another"))
    folder = forgery.listing()
    sampled(monkeypatch, path, forgery.record("random"))

    found = verify(folder, 3, seed=1, where=Where(**INLINE))

    assert found.passed == 3
    assert sorted({o["outcome"] for o in found.levels[2].outcomes}) == ["equal", "overlap 0.9996"]


def test_overlap_is_the_share_of_weights_kept_by_both_among_those_kept_by_any():
    one, other = {"w": np.array([True, True, False])}, {"w": np.array([True, False, True])}

    assert overlap(one, other) == 1 / 3
    assert overlap(one, {"v": one["w"]}) == 0.0
    assert overlap({"w": np.zeros(3, bool)}, {"w": np.zeros(3, bool)}) == 1.0


def unscored(forgery, criterion: str, kind: str, seeds=(0,)) -> Path:
    """Cells at 90 % are said to have failed in their scoring."""
    failed = {"status": "failed", "kind": kind, "message": "it failed", "result": None, "receipt": None, "flags": []}
    for seed in seeds:
        path = forgery.record(criterion, 0.9, seed)
        forgery.both(path, lambda r: r.update(failed))
    forgery.means()
    return forgery.listing()


@pytest.mark.parametrize(("kind", "code"), [("plugin-error", 4), ("degenerate", 4), ("oom", 5)])
def test_a_bad_seed_that_is_called_a_failure_is_found_to_have_masks(forgery, monkeypatch, kind, code):
    """Lack of memory may be true of another machine: it accuses nobody, and the level is not passed."""
    folder = unscored(forgery, "snip", kind)
    looked_at(monkeypatch, "snip")

    found = verify(folder, 3, seed=1, where=Where(**INLINE))

    (only,) = found.levels[2].flaws
    assert only.cell == "digits / lenet_300_100 / snip 0.9 / seed 0"
    assert f"status: expected failed ({kind}), as the record says, found its masks were made here" in str(only)
    assert found.exit_code == code


def test_a_cell_that_truly_fails_does_so_here(forgery, monkeypatch):
    looked_at(monkeypatch, "random")
    forgery.source("steep", "return {n", 'raise ValueError("no")\n        return {n')
    unscored(forgery, "steep", "plugin-error", (0, 1))
    for path in (forgery.record("steep", 0.8, seed) for seed in (0, 1)):
        forgery.both(path, lambda r: r.update(status="failed", kind="plugin-error", result=None, receipt=None))
    forgery.means()

    found = verify(forgery.listing(), 3, seed=1, where=TRUSTED)

    assert found.passed == 3
    (last,) = [o for o in found.levels[2].outcomes if o.get("ended")]
    assert last["outcome"] == "failed here, too (plugin-error)"


ZERO = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 5, test_per_class: 5}]
models: [lenet_300_100]
criteria: [zero, {name: random, allocation: "as:zero"}]
sparsities: [0, 0.9]
seeds: 1
scoring: {degenerate: refuse}
recipe: {epochs: 1, batch_size: 32, lr: 0.05, augment: none}
"""


@pytest.mark.slow
def test_a_cell_that_was_refused_as_degenerate_is_so_here_and_a_donor_is_found(tmp_path, fresh_registry):
    """The scores of zero are all 0; random takes its layer densities over, and needs its file."""
    (tmp_path / "zero.yaml").write_text(ZERO)
    (tmp_path / "criteria").mkdir()
    zero = STEEP.replace("Steep", "Zero").replace('"steep"', '"zero"').replace("w.abs()", "w.abs() * 0")
    (tmp_path / "criteria" / "zero.py").write_text(zero)
    options = Options(suite=str(tmp_path / "zero.yaml"), output=tmp_path / "out", engine="inline", device="cpu")
    carry_out(Session.open(options))
    forget_plugins()

    found = verify(submit(tmp_path / "out", tmp_path / "made").folder, 3, where=Where(trust=("zero",)))

    assert found.passed == 3
    assert [o["outcome"] for o in found.levels[2].outcomes] == ["equal", "degenerate here, too"]


def test_a_training_that_is_said_to_have_failed_is_told_at_level_three_and_tried_at_level_four(forgery, monkeypatch):
    path = forgery.record()
    forgery.change(path, lambda r: r.update(status="failed", kind="diverged", result=None, receipt=None, flags=[]))
    forgery.means()
    folder = forgery.listing()
    looked_at(monkeypatch, "random")

    found = verify(folder, 4, seed=1, fresh=2, where=Where(**INLINE))

    assert any("level 4 trains a sample of them again" in note for note in found.levels[2].notes)
    wrong = [flaw for flaw in found.levels[3].flaws if flaw.field == "status"]
    assert "expected failed (diverged), as the record says, found trained here to" in str(wrong[0])


def test_an_honest_study_with_other_trainings_passes(trained_submission, monkeypatch):
    looked_at(monkeypatch, "snip", "random")
    found = verify(trained_submission, 3, sample=8, where=Where(**INLINE))

    assert found.passed == 3
    told = [outcome["title"] for outcome in found.levels[2].outcomes] if found.levels[2].outcomes else []
    assert len(told) >= 8


def test_a_training_that_this_pabench_has_not_or_of_other_defaults_is_found(trained_forgery, monkeypatch):
    def magic(cell):
        if cell.get("train", {}).get("name") == "rigl":
            cell["train"]["args"]["until"] = 0.5

    trained_forgery.cells(magic)
    looked_at(monkeypatch, "random")
    found = said(trained_forgery, 3)
    assert one(found, "train: ", "rigl")
