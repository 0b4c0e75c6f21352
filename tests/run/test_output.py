"""What a task prints, in its log."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pabench.run import output
from pabench.run.output import Log

from .test_engine import PROCESSES, Run, toy


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(output, "MOST", 10)


def logged(path, *parts):
    log = Log(path)
    for part in parts:
        log.add(part)
    log.close()
    return path.read_text()


def test_a_log_is_plain_text_whatever_comes_in_what_pieces(tmp_path):
    parts = (b"a \x1b[31mred\x1b[0m \x00\r10 %\r20 %\n\xc3", b"\xb6 \xff end")
    assert logged(tmp_path / "a.log", *parts) == "a red \n10 %\n20 %\nö \N{REPLACEMENT CHARACTER} end"


def test_of_a_long_one_beginning_and_end_are_kept_and_the_middle_is_counted(tmp_path, short):
    told = "the first \n[17 bytes are left out here]\nd the last"
    assert logged(tmp_path / "a.log", b"the first ", b"this does ", b"not, ", b"and the last") == told


def test_no_log_is_written_of_a_task_that_prints_nothing_nor_of_a_disk_that_takes_none(tmp_path):
    Log(tmp_path / "a.log").close()
    assert not (tmp_path / "a.log").exists()
    (tmp_path / "file").write_text("")
    log = Log(tmp_path / "file" / "a.log")
    log.add(b"lost")
    log.close()
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.usefixtures("bare_server", "toys")
@pytest.mark.parametrize("guarded", [False, True])
def test_nothing_that_a_task_prints_reaches_the_runners_terminal(tmp_path, capfd, guarded):
    log = tmp_path / "logs" / "a.log"
    run = Run(PROCESSES, [replace(toy("a", "speak"), log=str(log), guarded=guarded)])
    assert run.outcomes["a"].ok
    assert log.read_text() == "from Python\nfrom a shell\nred"
    assert capfd.readouterr() == ("", "")
