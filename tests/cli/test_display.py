"""What a running study shows, and how it is stopped."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing

import pytest

from pabench.cli.display import Bars, Lines, display, stoppable
from pabench.errors import Aborted
from pabench.run.engine import Event, Outcome

DONE = Outcome("a", ok=True, seconds=1.25)


def test_a_line_a_cell_counts_what_was_finished_before(capsys):
    """Two of five were done; the time left is that of the cells that are still open."""
    shown = Lines({"a": "digits / snip", "b": "digits / grasp"}, 3, 2, 5)

    shown.ended(DONE, "digits / snip: 90.00 %")
    shown.ended(DONE, "")  # a scoring, which is no cell
    shown.ended(DONE, "digits / grasp: 91.00 %")

    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("[3/5] digits / snip: 90.00 % (1.2 s; 0:00:0")
    assert second.startswith("[4/5] digits / grasp: 91.00 % (1.2 s; 0:00:0")
    assert second.endswith(" left)")


def test_after_the_last_cell_what_is_measured_is_told_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr("pabench.cli.display.SILENT_SECONDS", 0.0)
    shown = Lines({"a": "digits / snip", "b": "metrics", "c": "metrics", "d": "metrics"}, 1, 0, 1)

    for line in ("", "digits / snip: 90.00 %", "", ""):
        shown.ended(DONE, line)

    cell, rest = capsys.readouterr().out.splitlines()
    assert cell.startswith("[1/1] digits / snip: 90.00 %")
    assert rest == "metrics: 1 measurement to go"
    monkeypatch.setattr("pabench.cli.display.SILENT_SECONDS", 60.0)
    Lines({"a": "metrics", "b": "metrics"}, 0, 1, 1).ended(DONE, "")
    assert not capsys.readouterr().out


def test_what_other_runs_compute_and_have_computed_is_told(capsys):
    shown = Lines({"a": "digits / snip"}, 3, 0, 3, lambda: 2)

    shown.ended(Outcome("a", ok=True, elsewhere=True), "digits / snip: 90.00 %")

    line = capsys.readouterr().out
    assert line.startswith("[1/3] digits / snip: 90.00 % (another run; 0:00:0")
    assert line.endswith(" left; other runs compute 2)\n")


def test_bars_tell_it_too(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with closing(display({"a": "digits", "b": "metrics"}, 1, 0, 1, lambda: 3)) as shown:
        shown.ended(DONE, "digits: 90.00 %")

    out = capsys.readouterr().out
    assert "other runs compute 3" in out
    assert "metrics: 1 measurement to go" in out


def test_a_process_that_died_is_told(capsys):
    Lines({"a": "digits"}, 1, 0, 1).event(Event("a", "crashed", {"attempt": 1, "message": "killed by signal 9"}))

    assert capsys.readouterr().out == "  tried again: digits: killed by signal 9\n"


def test_there_are_bars_where_a_terminal_can_draw_them(monkeypatch):
    kinds = []
    for variables in ({"FORCE_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb", "FORCE_COLOR": "1"}, {}):
        monkeypatch.delenv("FORCE_COLOR", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        shown = display({"a": "digits"}, 1, 0, 1)
        kinds.append(type(shown))
        shown.event(Event("a", "started", None))
        shown.event(Event("a", "progress", {"epoch": 1, "epochs": 2, "loss": 0.5, "top1": 50.0}))
        shown.ended(DONE, "digits: 90.00 %")
        shown.close()

    assert kinds == [Bars, Lines, Lines]


def test_the_first_signal_asks_and_the_second_ends(capfd):
    before = signal.getsignal(signal.SIGINT)
    with stoppable() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT
        with pytest.raises(Aborted):
            os.kill(os.getpid(), signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is before
    assert "stopping: running cells are ended" in capfd.readouterr().err


def test_signals_are_left_alone_outside_of_the_main_thread():
    seen = []

    def ask():
        with stoppable() as stop:
            seen.append((stop.is_set(), signal.getsignal(signal.SIGINT)))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()

    assert seen == [(False, before)]


def test_a_closed_terminal_stops_a_run_unless_it_was_told_to_go_on(capfd):
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
    try:
        with stoppable() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.signal == signal.SIGHUP
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with stoppable() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)
