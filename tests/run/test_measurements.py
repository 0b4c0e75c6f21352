"""What a study lacks of its metrics, as tasks after their cells."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections import Counter

import pytest

from pabench.cli.running import carry_out
from pabench.diagnostics.metrics.synflow_r import SynflowR
from pabench.errors import SuiteError
from pabench.run import tasks
from pabench.run.engine import Outcome, Schedule
from pabench.run.session import Options, Session
from pabench.run.timeouts import limited

from ..diagnostics.test_metric import CHEAP
from ..training.test_measure import SMALL, SUITE, files, session


def opened_again(folder, text):
    opened = session(folder, text)
    return opened.survey(opened.plan())


def test_a_task_that_dies_leaves_the_reason_for_each_number(tmp_path):
    opened = session(tmp_path, SMALL)
    opened.store.open_study({"name": "study"})
    plan = tasks.plan(opened.store, opened.chosen, device="cpu")
    survey = opened.survey(plan)
    (key,) = [t.key for t in survey.tasks if "/ random /" in t.title]

    survey.record_loss(Outcome(key, False, "crash", "killed by signal 11"))

    entries = [e for f in files(tmp_path).values() for e in f["entries"]]
    assert {e["error"] for e in entries} == {"crash: killed by signal 11"}
    assert sorted(e["metric"] for e in entries) == [n for n in CHEAP if n != "overlap"]


@pytest.mark.parametrize(
    "other", [{"only": ("train=rigl",)}, {"masks_only": True}, {"only": ("criterion=random", "sparsity=0.98")}], ids=str
)
def test_what_a_run_on_less_has_measured_meanwhile_is_not_measured_again(tmp_path, monkeypatch, other):
    """Neither knows what the other one will do: both looked at the folder when nothing was there."""
    text = SUITE + "train: [plain, rigl]\n"
    ours = session(tmp_path, text)
    here = ours.begin()
    with ours.runner() as runner:
        plan = ours.plan()
        survey = ours.survey(plan)
        assert carry_out(session(tmp_path, text, **other)) == 0
        theirs = dict(files(tmp_path))
        chosen = [*plan.tasks, *survey.tasks]
        list(ours.run(chosen, plan, survey, here, lambda event: None, threading.Event(), runner))

    entries = Counter((*e["of"], e["metric"]) for f in files(tmp_path).values() for e in f["entries"])
    assert theirs
    assert set(entries.values()) == {1}
    assert opened_again(tmp_path, text).tasks == []


@pytest.mark.parametrize("retry", [False, True])
def test_what_another_run_died_of_is_measured_with_retry_alone(tmp_path, monkeypatch, retry):
    measured = []
    monkeypatch.setattr(SynflowR, "measure", lambda self, *what: measured.append(1) or {"synflow_r.log10": 1.0})
    text = SMALL.replace("0.98", "0.9, 0.98")
    ours, less = session(tmp_path, text, retry=retry), session(tmp_path, text, only=("sparsity=0.98",))
    here = ours.begin()
    with ours.runner() as runner, less.runner() as other:
        plan, part = ours.plan(), less.plan()
        survey, lost = ours.survey(plan), less.survey(part)
        for task in lost.tasks:
            died = Outcome(task.key, False, "timeout", "took too long")
            other.claim(task), lost.record_loss(died), other.ended(died)
        chosen = [*plan.tasks, *survey.tasks]
        list(ours.run(chosen, plan, survey, here, lambda event: None, threading.Event(), runner))

    assert len(measured) == 2 + retry  # of the dense network and of one mask


def test_measurements_come_after_the_cells_they_are_about(tmp_path):
    opened = session(tmp_path)
    added = opened.survey(opened.plan()).tasks
    pairs = [t for t in added if t.kind == "compare"]
    assert (len(added), len(pairs)) == (5, 1)  # dense, three criteria, the pairs
    # three scorings and six trainings
    assert len(pairs[0].after) == 9


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("[nkt]", r"study.yaml:8:11: metrics.0: no metric named 'nkt'; did you mean 'ntk'\?"),
        ("[{name: ntk, samples: 0}]", r"study.yaml:8:\d+: metrics.0.samples: .*greater than or equal to 1"),
        ("[ntk, {name: ntk, samples: 3}]", r"study.yaml:8:\d+: metrics.1: ntk a second time; name each metric once"),
        ("[{name: jacobian, sample: 3}]", r"metrics.0.sample: unknown parameter of jacobian; did you mean 'samples'"),
        ("ntk", r"metrics: expected a list"),
    ],
)
def test_what_is_wrong_with_a_metric_is_told_at_its_line(tmp_path, metrics, message):
    text = SUITE.lstrip("\n") + f"metrics: {metrics}\n"

    with pytest.raises(SuiteError, match=message):
        session(tmp_path, text)


def test_metrics_are_no_part_of_any_key(tmp_path):
    plain = session(tmp_path).cells
    asked = session(tmp_path, SUITE + "metrics: [ntk, {name: steps_to, accuracies: [10]}]\n").cells

    assert [c.key for c in asked] == [c.key for c in plain]
    assert [c.pruning_key for c in asked] == [c.pruning_key for c in plain]


def test_a_cell_costs_the_runner_a_few_kilobytes_with_all_that_is_to_be_measured_of_it(tmp_path):
    """Cells, tasks, what they are to measure, and the schedule: pairs of masks are many times the cells."""
    held = []
    for seeds in (10, 50):
        tracemalloc.start()
        opened = Session.open(Options("quickstart", overrides=[f"seeds={seeds}"], output=tmp_path, device="cpu"))
        plan = opened.plan()
        survey = opened.survey(plan)
        schedule = Schedule(limited([*plan.tasks, *survey.tasks], None, lambda: lambda _: 0.0))
        gc.collect()
        held.append((tracemalloc.get_traced_memory()[0], len(opened.cells)))
        tracemalloc.stop()
        assert schedule.next() is not None
    (few, some), (most, many) = held

    assert many == 5 * some
    assert (most - few) / (many - some) < 5_000


def test_what_a_study_takes_in_the_runner_is_what_its_cells_and_their_keys_take(tmp_path, monkeypatch):
    """Tasks, and all else that is made of cells, are there for a part of the study at a time."""
    monkeypatch.setattr("pabench.run.session.PART", 100)
    monkeypatch.setattr("pabench.run.session.CELLS_EACH", 1)
    most = []
    for seeds in (10, 10, 50):  # what is made once in a process is there from the first on
        tracemalloc.start()
        opened = Session.open(Options("quickstart", overrides=[f"seeds={seeds}"], output=tmp_path, device="cpu"))
        found, held, cells = opened.look(), 0, 0
        for plan in opened.parts(found):
            schedule = Schedule(limited([*plan.tasks, *opened.survey(plan).tasks], None, lambda: lambda _: 0.0))
            assert schedule.next() is not None
            gc.collect()
            held, cells = max(held, tracemalloc.get_traced_memory()[0]), cells + len(plan.open)
        most.append((held, cells))
        tracemalloc.stop()
        assert cells == len(opened.cells)
    _, (few, some), (many, all_of_them) = most

    assert all_of_them == 5 * some
    assert (many - few) / (all_of_them - some) < 700
