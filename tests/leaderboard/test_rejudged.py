"""Of a file of claims only its values are believed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pabench.errors import DataError
from pabench.leaderboard import rejudged as module
from pabench.leaderboard.claims import shipped
from pabench.leaderboard.rejudged import rejudged

PUBLISHED = Path(__file__).parents[2] / "reports" / "published" / "claims.json"


@pytest.fixture(scope="module")
def told():
    return {one["name"]: one for one in json.loads(PUBLISHED.read_text())}


def written(folder: Path, *claims) -> Path:
    path = folder / "claims.json"
    path.write_text(json.dumps(claims))
    return path


def test_what_is_published_is_judged_as_it_was(told):
    found, notes = rejudged(PUBLISHED)

    assert {one.claim.name: one.state for one in found} == {name: one["state"] for name, one in told.items()}
    assert [[f.said for f in one.findings] for one in found] == [
        [test["said"] for test in one["tests"]] for one in told.values()
    ]
    assert notes == []


def test_a_state_that_the_values_do_not_say_is_not_believed(told, tmp_path):
    lie = {**told["rounds_beat_one_shot"], "state": "confirmed", "why": "<script>", "note": "<script>"}

    (found,), (note,) = rejudged(written(tmp_path, lie))

    assert found.state == "contradicted"
    assert "rounds_beat_one_shot is said to be confirmed, by its values it is contradicted" in note
    assert "<script>" not in json.dumps(found.to_json())


def test_what_was_not_run_stays_so(told, tmp_path):
    waiting = told["synflow_is_best_when_sparse"]
    missing = {**told["zeros_are_ties"], "tests": [], "state": "data missing"}

    found, notes = rejudged(written(tmp_path, waiting, missing))
    assert ([one.state for one in found], notes) == (["needs a GPU", "data missing"], [])


def test_only_a_claim_that_needs_a_gpu_waits_for_one(told, tmp_path):
    (found,), (note,) = rejudged(written(tmp_path, {**told["zeros_are_ties"], "tests": [], "state": "needs a GPU"}))
    assert found.state == "not run"
    assert "by its values it is not run" in note


def changed(one, **columns):
    """A claim whose first test has other columns of values."""
    first, *others = one["tests"]
    return {**one, "tests": [{**first, "values": {**first["values"], **columns}}, *others]}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda one: {**one, "name": "mine"}, "mine: no claim that comes with pabench"),
        (lambda one: {**one, "name": "../x\n"}, "no claim that comes with pabench"),
        (lambda one: {**one, "claim": "All is well."}, "another claim than this version's"),
        (lambda one: {**one, "tests": one["tests"][:1]}, "another claim than this version's"),
        (lambda one: {**one, "tests": []}, "confirmed, and no value that says so"),
        (lambda one: {**one, "state": 1}, "0.state: expected what"),
        (lambda one: changed(one, value=["1", "2"]), "0.tests.0.values.value.0: expected what"),
        (lambda one: changed(one, value=[0.9]), "columns of one length"),
        (lambda one: changed(one, value=[0.9, None]), "a value of each cell that is finished"),
        (lambda one: changed(one, outcome=["trained", "won"]), "outcomes of cells, not 'won'"),
        (lambda one: changed(one, block=["a", "a"]), "one value of each block, sparsity and side"),
        (lambda one: changed(one, sparsity=[0.5, 2.0]), "0.tests.0.values.sparsity.1: expected what"),
    ],
)
def test_what_is_no_file_of_claims_is_refused_in_one_line(told, tmp_path, change, why):
    with pytest.raises(DataError) as refused:
        rejudged(written(tmp_path, change(told["zeros_are_ties"])))
    assert why in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path / 'claims.json'}: ")
    assert "\n" not in str(refused.value)


def test_a_claim_stands_there_once(told, tmp_path):
    with pytest.raises(DataError, match="zeros_are_ties stands there twice"):
        rejudged(written(tmp_path, told["zeros_are_ties"], told["zeros_are_ties"]))


@pytest.mark.parametrize("text", ["[NaN]", '[{"name": "a", "name": "b"}]', "{", "[" * 10_000, '"\\u0000"'])
def test_what_is_no_strict_json_is_refused(tmp_path, text):
    (tmp_path / "claims.json").write_text(text)
    with pytest.raises(DataError, match=r"claims\.json: .*expected what `pabench claims --json` wrote"):
        rejudged(tmp_path / "claims.json")


def test_a_link_and_a_file_that_is_not_there_are_told(tmp_path):
    (tmp_path / "link").symlink_to(PUBLISHED)
    for path in (tmp_path / "link", tmp_path / "none"):
        with pytest.raises(DataError, match="expected what `pabench claims --json` wrote"):
            rejudged(path)


def test_all_claims_of_the_file_ship(told):
    assert set(told) <= set(shipped())
    assert module.WAITING == ("not run", "data missing", "needs a GPU")
