"""The loop of the engines of several machines, on a cluster that only says what became of each attempt."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

from pabench.run.engine import Event, Outcome
from pabench.run.engines.cluster import Cluster, Queue

from ..test_engine import Run, toy


@dataclass(frozen=True, kw_only=True)
class Stage(Cluster):
    """A task ends as `plays` says of its attempts, by key, and well where it says nothing; `seen` is what happened."""

    plays: dict = field(default_factory=dict)
    seen: list = field(default_factory=list)
    limits: list = field(default_factory=list)

    def queue(self):
        self.seen.append("opened")
        return StageQueue(self)


@dataclass
class StageQueue(Queue):
    stage: Stage
    given: list = field(default_factory=list)

    def submit(self, attempts):
        self.given += attempts
        self.stage.seen.append([(a.task.key, a.number, a.alone) for a in attempts])
        self.stage.limits.extend((a.task.timeout, a.task.longer) for a in attempts)

    def news(self):
        attempt = self.given.pop(0)
        key = attempt.task.key
        yield Event(key, "started", {})
        kinds = self.stage.plays.get(key, [])
        kind = kinds[attempt.number - 1] if attempt.number <= len(kinds) else ""
        yield Outcome(key, not kind, kind, kind and f"because of {kind}")

    def stop(self):
        self.stage.seen.append("stopped")

    def close(self):
        self.stage.seen.append("closed")


def toys(keys, **options):
    return [toy(key, "touch", **options) for key in keys]


def test_what_crashes_is_tried_three_times_and_the_others_go_on():
    run = Run(Stage(plays={"a": ["crash"] * 9, "b": ["crash"]}), toys("abc"))
    assert {key: (outcome.kind, outcome.attempts) for key, outcome in run.outcomes.items()} == {
        "a": ("crash", 3),
        "b": ("", 2),
        "c": ("", 1),
    }
    assert run.data("a", "started") == [{"attempt": 1}, {"attempt": 2}, {"attempt": 3}]
    assert run.data("a", "crashed") == [{"attempt": n, "message": "because of crash"} for n in (1, 2)]


def test_errors_and_timeouts_are_not_tried_again():
    run = Run(Stage(plays={"a": ["error"], "b": ["timeout"]}), toys("ab"))
    assert [(o.kind, o.attempts) for o in run.outcomes.values()] == [("error", 1), ("timeout", 1)]


def test_what_memory_is_short_for_comes_again_alone_after_the_others_and_so_do_those_like_it():
    """a and b are alike: a runs out beside others, and again alone; b, not given away yet, is alone at once."""
    stage = Stage(plays={"a": ["oom", "oom"]})
    run = Run(stage, [*toys("a", like="heavy"), *toys("cb", like="heavy")[1:], *toys("de")], workers=1000)
    assert (run.outcomes["a"].kind, run.outcomes["a"].attempts) == ("oom", 2)
    assert [item for item in stage.seen if isinstance(item, list)][1] == [("a", 2, True)]


def test_no_more_are_given_away_than_may_run_and_one_at_a_time_is_alone():
    stage = Stage()
    Run(stage, toys("abc"), workers=2)
    assert stage.seen[1:4] == [[("a", 1, False), ("b", 1, False)], [("c", 1, False)], "closed"]
    stage = Stage()
    Run(stage, toys("a"), workers=1)
    assert stage.seen[1] == [("a", 1, True)]


def test_how_long_a_task_may_take_is_told_with_it():
    """The function that estimates it stays here."""
    stage = Stage()
    Run(stage, [replace(task, timeout=600.0, longer=lambda _: 9000.0) for task in toys("a")])
    assert stage.limits == [(9000.0, None)]


def test_a_cluster_without_a_task_is_not_asked():
    stage = Stage()
    assert Run(stage, []).order == []
    assert stage.seen == []


def test_after_a_stop_the_cluster_is_told_once_and_given_nothing():
    stage = Stage()
    Run(stage, toys("abcdef"), workers=3, react=lambda event, run: run.stop.set())
    assert stage.seen == ["opened", [(key, 1, False) for key in "abc"], "stopped", "closed"]


def test_closing_the_iterator_early_closes_the_queue():
    stage = Stage()
    outcomes = stage.run(toys("abc"), workers=3, threads=1, on_event=lambda _: None, stop=threading.Event())
    assert next(outcomes).key == "a"
    outcomes.close()
    assert stage.seen[-1] == "closed"
