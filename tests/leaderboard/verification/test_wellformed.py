"""Level 1: documents of the right shape, and whatever else stands in one is judged."""

from __future__ import annotations

import json

import pytest

from pabench.leaderboard.verification import consistent, wellformed
from pabench.leaderboard.verification.folder import read
from pabench.leaderboard.verification.verify import verify
from pabench.store.envelope import unseal
from pabench.store.record import same_labels
from pabench.suite.digest import digest

from .looking import HUGE, flaws, one, said

ODD = [None, -1, "x", [], {}, 1e308, True, [None], {"x": None}, "\ud800"]


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
    for key, inside in inner:
        yield from leaves(inside, (*at, key))


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


def test_parameters_may_stand_in_any_order_in_the_labels_of_older_records(lines):
    path = lines.record("snip", 0.8, 0)
    assert unseal(path.read_bytes())["labels"]["criterion"] == "snip (schedule=linear, steps=2)"
    lines.change(path, lambda r: r["labels"].update(criterion="snip (steps=2, schedule=linear)"))

    assert said(lines) == []
    assert not same_labels({"criterion": "snip (steps=2, schedule=linear)"}, {"criterion": "snip (steps=2)"})


@pytest.mark.parametrize(
    "entry",
    [
        *(
            {name: value}
            for name in ("tied_at_threshold", "zero_scores", "rounds", "kept")
            for value in ("x", [1], HUGE)
        ),
        {"gradient_norm": "x"},
        {"gradient_norm": {"before": "x", "after": 1.0}},
        {"scores": {"0": "x"}},
        {"score_histogram": {"first": 10**9, "positive": [1], "negative": [0], "zero": 0}},
        {"score_histogram": {"first": 0, "positive": [HUGE], "negative": [0], "zero": 0}},
        {"score_histogram": None},
        {"layers": [{"name": "a", "shape": [2], "total": 2, "kept": 1, "zero_scores": "x"}]},
        {"anything": {"else": [HUGE]}},
    ],
    ids=lambda entry: str(entry)[:40],
)
def test_what_no_table_can_hold_in_a_receipt_falls_at_level_one(forgery, entry):
    path = forgery.record()
    forgery.both(path, lambda found: found["receipt"].update(entry))

    assert one(said(forgery), f"level 1: records/{path.name}", f"receipt.{next(iter(entry))}")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"metrics": [1]}, "metrics.0: expected"),
        ({"metrics": "abc"}, "metrics: expected"),
        ({"metrics": None}, "metrics: expected"),
        ({"metrics": [{"name": "x", "nope": 1}]}, "metrics.0.nope: expected"),
        ({"metrics": [{"name": "x", "args": 5}]}, "metrics.0.args: expected"),
        ({"metrics": [{"name": "x", "stage": "moon"}]}, "metrics.0.stage: expected"),
        ({"metrics": [{"name": '=HYPERLINK("http://evil","x")'}]}, "metrics.0.name: expected String should match"),
        ({"metrics": [{"name": "top1"}]}, "metrics: expected names of metrics that no other column of a table has"),
        ({"metrics": [{"name": "a"}, {"name": "a"}]}, "metrics: expected names of metrics that no other column"),
        ({"command": 5}, "command: expected"),
        ({"title": ["a"]}, "title: expected"),
        ({"suite_path": 5}, "suite_path: expected"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_study_that_would_break_a_page_falls_at_level_one(forgery, entry, message):
    forgery.study(lambda s: s.update(entry))

    assert one(said(forgery), f"level 1: study.json: {message}")


@pytest.mark.parametrize("change", [{"seed": HUGE}, {"sparsity": HUGE}])
def test_a_cell_with_a_number_that_is_none_falls_at_level_one(forgery, change):
    forgery.study(lambda s: s["cells"].__setitem__(3, {**s["cells"][3], **change}))
    forgery.listing()

    where = f"level 1: study.json: cells.3.{next(iter(change))}: expected whole numbers below 2**63"
    assert one([str(flaw) for flaw in verify(forgery.folder).levels[-1].flaws], where)
