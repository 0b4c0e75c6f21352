"""A results bank: cells of others are taken under their own key, paired or not at all, and say where they are from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pabench.cli.forecast import dry_run
from pabench.cli.results import status_text
from pabench.cli.running import carry_out
from pabench.errors import DataError, MissingError, RefusedError
from pabench.leaderboard import bank
from pabench.leaderboard.publish import publish
from pabench.leaderboard.submission import submit
from pabench.leaderboard.verification.verify import verify
from pabench.report.status import counts
from pabench.run.session import Options, Session
from pabench.scoring.masks import pack
from pabench.store.envelope import seal, unseal
from pabench.store.store import Store
from pabench.suite.cell import Cell

from ..conftest import PUBLIC, STEEP, forget_plugins
from ..pageless import undrawn

MINE = STEEP.replace("Steep", "Mine").replace('"steep"', '"mine"').replace("w.abs()", "(w + 0.01).abs()")


def written(folder: Path) -> Path:
    """The public suite with a criterion of one's own in place of the third."""
    (folder / "criteria").mkdir()
    (folder / "criteria" / "mine.py").write_text(MINE)
    path = folder / "mine.yaml"
    path.write_text(PUBLIC.replace("steep", "mine"))
    return path


@pytest.fixture(autouse=True, scope="module")
def quick_reports():
    """A study's page takes seconds, and is tested in tests/report/test_page.py."""
    with undrawn(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("pabench.leaderboard.site.render", lambda study, more: "")
        yield


@pytest.fixture
def suite(tmp_path):
    forget_plugins()
    yield written(tmp_path)
    forget_plugins()


@pytest.fixture(scope="module")
def ran(submission, tmp_path_factory):
    """The results of that suite, run with the bank."""
    forget_plugins()
    suite = written(tmp_path_factory.mktemp("newcomer"))
    assert carry_out(session(suite, submission)) == 0
    forget_plugins()
    return suite.parent / "out"


def banks(opened: Session) -> list[bank.Bank]:
    return bank.open_banks(opened.options.banks)


@pytest.fixture(scope="module")
def site(submission, tmp_path_factory):
    """A published site of the bank, which keeps no masks."""
    folder = tmp_path_factory.mktemp("published") / "site"
    publish([str(submission)], folder, masks=False)
    return folder


SMALL = ("seeds=1", "sparsities=[0, 0.8]")
"""Dense and three criteria at one sparsity: 4 cells, of which the bank has 3, two of them with a mask."""


def session(suite: Path, *banks: Path, **options) -> Session:
    options = {"engine": "inline", "device": "cpu"} | options
    return Session.open(Options(suite=str(suite), output=suite.parent / "out", banks=banks, **options))


def altered(submission: Path, folder: Path, how) -> Path:
    """A copy of the bank's records and study, each record changed."""
    shutil.copytree(submission, folder)
    (folder / "submission.json").unlink()
    (folder / "aggregates.json").unlink()
    for path in folder.glob("records/*.json"):
        data = unseal(path.read_bytes())
        how(data)
        path.write_bytes(seal(data))
    return folder


def test_only_ones_own_criterion_is_computed_and_the_rest_is_the_banks(ran, submission):
    records = Store(ran).records()
    taken = {key: record for key, record in records.items() if "bank" in record}
    theirs = Store(submission).records()
    # 2 seeds of dense + 2 criteria at 2 sparsities; 4 cells are computed
    assert len(taken) == 10
    assert {r["labels"]["criterion"] for k, r in records.items() if k not in taken} == {"mine"}
    assert len(records) == 14
    for key, record in taken.items():
        assert record["result"] == theirs[key]["result"]
        assert record["bank"]["study"] == "small"
        assert record["bank"]["digest"] == verify(submission).digest
        assert record["flags"] == theirs[key]["flags"]

    found = counts(ran)
    assert list(found["banks"].values()) == [10]
    assert "from the bank small" in status_text(found)


def test_what_was_taken_and_what_was_computed_share_weights_order_and_batch(ran):
    found = verify(ran)
    assert (found.passed, found.levels[0].notes[-1]) == (2, "10 cells of a results bank")


def test_a_dry_run_counts_what_would_come_from_the_bank(suite, submission, capsys):
    code, told = dry_run(session(suite, submission))

    shown = capsys.readouterr().out
    assert "cells: 14; done: none; from banks: 10; to do: 4" in shown
    assert "bank: 10 of small" in shown
    assert (code, told["criteria"]["mine"]) == (0, 4)
    assert not (suite.parent / "out").exists()


def test_a_published_site_is_a_bank(suite, site):
    opened = session(suite, site)
    assert len(bank.offered(banks(opened), opened.cells)) == 10


def test_a_run_with_a_bank_that_has_no_masks_makes_them_and_ends_in_a_submission(
    suite, site, submission, tmp_path, capsys
):
    """The masks are those that the bank's records name, and nothing is trained that the bank has."""
    assert carry_out(session(suite, site, overrides=SMALL)) == 0

    shown = capsys.readouterr().out
    assert "without 2 masks, which a submission needs and the run makes again" in shown
    assert "4 cells, 3 done, 1 to do, 2 masks to make again" in shown
    made = submit(suite.parent / "out", tmp_path / "made").folder
    assert verify(made).passed == 2
    assert len(list(made.glob("masks/*"))) == 3
    theirs, mine = Store(submission).records(), Store(made).records()
    assert sum(mine[key]["result"] == theirs[key]["result"] for key in mine if key in theirs) == 3


def test_masks_that_come_out_otherwise_here_are_told_with_what_to_do(suite, site, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "pabench.training.prune.pack", lambda masks, receipt: pack(masks, {**receipt, "elsewhere": True})
    )

    assert carry_out(session(suite, site, overrides=SMALL)) == 0

    assert "masks: 2 of the 2 that were made again are not those that the records name" in capsys.readouterr().out
    with pytest.raises(DataError, match="run the suite again to make it anew"):
        submit(suite.parent / "out", tmp_path / "made")


def test_a_bank_that_contradicts_itself_is_refused(suite, submission, tmp_path):
    """Level 2: top-5 of 1 % beside top-1 of 99.9 % is well-formed, and impossible."""
    theirs = altered(submission, tmp_path / "bank", lambda r: r["result"].update(top1=99.9, top5=1.0))

    with pytest.raises(DataError, match=r"result.top5: expected at least top-1.*`pabench verify .*` says all"):
        carry_out(session(suite, theirs))


def test_a_results_folder_in_the_making_is_a_bank_of_what_it_has(suite, results, tmp_path):
    folder = shutil.copytree(results, tmp_path / "half")
    for path in sorted(folder.glob("records/*.json"))[:5]:
        path.unlink()

    opened = session(suite, folder)
    assert 5 <= len(bank.offered(banks(opened), opened.cells)) < 10


def test_other_initial_weights_are_refused_before_anything_is_taken(suite, submission, tmp_path):
    def other(record):
        record["pairing"]["weights"] = "0" * 64
        record["environment"]["torch"] = "1.0"

    theirs = altered(submission, tmp_path / "bank", other)
    for path in theirs.glob("receipts/*.json"):
        data = unseal(path.read_bytes())
        data["pairing"]["weights"] = "0" * 64
        path.write_bytes(seal(data))

    with pytest.raises(RefusedError, match=r"its weights are not what this machine makes \(torch 1.0 there"):
        carry_out(session(suite, theirs))
    assert Store(suite.parent / "out").records() == {}


def test_another_environment_is_flagged_in_every_record_that_comes_from_it(suite, submission, tmp_path):
    theirs = altered(submission, tmp_path / "bank", lambda r: r["environment"].update(device="cuda: Example 9"))

    opened = session(suite, theirs, only=("criterion=random",))
    assert carry_out(opened) == 0

    records = Store(suite.parent / "out").records().values()
    flags = [flag for record in records for flag in record["flags"] if flag["flag"] == "other-environment"]
    assert len(flags) == len(records) == 4
    assert "device cuda: Example 9 there, cpu:" in flags[0]["detail"]


def test_a_cell_with_another_key_is_not_taken_and_the_reason_is_said(suite, submission, capsys):
    opened = session(suite, submission, overrides=("recipe.lr=0.01",))

    assert bank.offered(banks(opened), opened.cells) == {}
    assert bank.reasons(banks(opened), opened.cells) == [
        "2 cells of dense: the bank's has another recipe.lr",
        "4 cells of random: the bank's has another recipe.lr",
        "4 cells of snip: the bank's has another recipe.lr",
    ]


def test_a_bank_with_a_forged_key_is_refused(suite, submission, tmp_path):
    theirs = altered(submission, tmp_path / "bank", lambda r: None)
    path = next(p for p in theirs.glob("records/*.json") if unseal(p.read_bytes())["cell"]["criterion"])
    data = unseal(path.read_bytes())
    data["cell"]["seed"] = 9
    path.write_bytes(seal(data))
    assert Cell.from_json(data["cell"]).key != path.stem

    with pytest.raises(DataError, match=r"derived from the cell.*`pabench verify .*` says all"):
        carry_out(session(suite, theirs))


def test_a_folder_that_is_no_bank_is_refused_in_one_line(suite, tmp_path):
    with pytest.raises(MissingError, match="expected a results folder, a submission or a published site"):
        carry_out(session(suite, tmp_path / "criteria"))


def test_failed_cells_are_not_taken(suite, submission, tmp_path):
    theirs = altered(
        submission,
        tmp_path / "bank",
        lambda r: r.update(status="failed", kind="oom", result=None) if r["receipt"] else None,
    )

    opened = session(suite, theirs)
    assert {banks(opened)[0].found.cells[key].criterion for key in bank.offered(banks(opened), opened.cells)} == {None}


def test_a_study_that_used_a_bank_can_be_submitted_and_names_it(ran, tmp_path):
    made = submit(ran, tmp_path / "submitted").folder

    found = verify(made)
    assert found.passed == 2
    kept = [json.dumps(r["bank"]["study"]) for r in Store(made).records().values() if "bank" in r]
    assert kept == ['"small"'] * 10
