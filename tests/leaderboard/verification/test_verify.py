"""Each way to lie is caught, at its level and with a message that names the place."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from pabench.leaderboard.verification import (
    consistent,
    wellformed,
)
from pabench.leaderboard.verification.folder import read
from pabench.leaderboard.verification.level import Level
from pabench.leaderboard.verification.rerun import Where
from pabench.leaderboard.verification.verify import verify
from pabench.store.envelope import unseal
from pabench.suite.digest import digest

from .looking import INLINE, flaws, looked_at


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


def test_a_level_that_gave_no_result_is_not_passed(submission):
    found = verify(submission)

    assert not Level(3).passed
    assert replace(found, asked=3).exit_code == 5
    assert replace(found, asked=3, levels=(*found.levels, Level(3))).exit_code == 5


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
            forgery.change(path, lambda r, seed=seed: r["result"].update(top1=99.0 + seed / 10, top5=100.0))
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["result"].update(top1=100.5), "result.top1: expected Input should be less than or equal to 100"),
        (lambda r: r["result"].update(top1="93"), "result.top1: expected Input should be a valid number"),
        (lambda r: r.update(attempt=1, key="0" * 64), "key: expected"),
        (lambda r: r["cell"].update(seed=7), "key: expected"),
        (lambda r: r["labels"].update(criterion="best"), "labels: expected"),
        (lambda r: r.update(result=None), "status: expected a result if and only if the status is ok"),
        (lambda r: r["cost"].update(scoring_seconds=-1.0), "cost.scoring_seconds: expected Input should be greater"),
    ],
)
def test_level_one_names_the_field(forgery, change, message):
    path = forgery.record()
    forgery.change(path, change)

    assert any(f"records/{path.name}" in flaw and message in flaw for flaw in flaws(forgery.listing()))


def leaves(value, at=()):
    """Paths to everything in a document."""
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, one in inner:
        yield from leaves(one, (*at, key))


ODD = [None, -1, "x", [], {}, 1e308, True, [None], {"x": None}, "\ud800"]


@pytest.mark.parametrize(
    "kind", ["records/", "receipts/", "metrics/", "study.json", "submission.json", "aggregates.json"]
)
def test_whatever_stands_in_a_document_it_is_judged_and_never_crashes_the_judge(submission, kind):
    """Some 40 parts of one document of each kind in turn are something odd."""
    foreign = read(submission)
    path = next(
        p
        for p in sorted(foreign.documents)
        if p.startswith(kind) and foreign.documents[p].get("receipt", True) is not None
    )
    honest = foreign.documents[path]
    caught = tried = 0
    places = list(leaves(honest))
    for number, at in enumerate(places[:: max(1, len(places) // 40)]):
        odd = json.loads(json.dumps(honest))
        place = odd
        for key in at[:-1]:
            place = place[key]
        place[at[-1]] = ODD[number % len(ODD)]
        if path == "study.json" and at != ("sha256",):
            odd["sha256"] = digest({k: v for k, v in odd.items() if k != "sha256"})
        foreign.documents[path] = odd
        found = wellformed.check(foreign)
        judged = [*found.flaws, *consistent.check(found)]
        assert all(isinstance(str(flaw), str) for flaw in judged)
        caught, tried = caught + bool(judged), tried + 1
    assert tried > 5
    # what is left is text that means nothing to a check: messages, titles, dates, costs, norms, quantiles
    assert caught / tried > 0.5
