"""No command ends in a traceback, whatever stdout can show and whoever has stopped reading it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from pabench.cli.main import app, main
from pabench.cli.terminal import CLOSED, any_terminal, ended_by_ctrl_c, say, steps

from .test_main import pabench

COMMANDS = {
    "run": ["run", "tiny.yaml", "--device", "cpu", "-o", "größe"],
    "plan": ["plan", "tiny.yaml", "--device", "cpu"],
    "validate": ["validate", "tiny.yaml"],
    "schema": ["schema"],
    "fetch": ["fetch", "digits"],
    "report": ["report", "out", "-o", "größe.html"],
    "figures": ["figures", "out", "-o", "größe-bilder"],
    "diff": ["diff", "out", "größe"],
    "status": ["status", "größe"],
    "export": ["export", "out", "-o", "größe.csv"],
    "submit": ["submit", "out", "-o", "submission-ö"],
    "verify": ["verify", "out"],
    "publish": ["publish", "out", "-o", "site-ö"],
    "push": ["push", "größe/nirgends", "me/größe"],
    "pull": ["pull", "größe", "-o", "größe/nirgends"],
    "score": ["score", "lenet_300_100", "-c", "random"],
    "conformance": ["conformance", "größe"],
    "doctor": ["doctor", "lenet_300_100", "-c", "random"],
    "metrics": ["metrics"],
    "list": ["list", "criteria"],
    "claims": ["claims", "-o", "größe/nirgends"],
    "bench": ["bench", "--quick", "--only", "magnitude", "--repeats", "1"],
    "criteria": ["criteria"],
}
OTHERS = [["status", "größe/nirgends"], ["validate", "größe"], ["score", "größe", "-c", "random"], ["--help"], ["-V"]]


@pytest.fixture
def folder(finished, tmp_path, monkeypatch):
    """A suite and its results under names that ASCII has not."""
    (tmp_path / "tiny.yaml").write_text((finished[0] / "tiny.yaml").read_text())
    for name in ("out", "größe"):
        subprocess.run(["cp", "-r", finished[0] / "out", tmp_path / name], check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_is_walked():
    names = {command.name or command.callback.__name__ for command in app.registered_commands}

    assert COMMANDS.keys() == names | {group.name for group in app.registered_groups}


@pytest.mark.parametrize("words", [*COMMANDS.values(), *OTHERS], ids=" ".join)
def test_every_command_writes_to_a_terminal_of_ascii(folder, monkeypatch, words):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(sys, "argv", ["pabench", *words])

    with pytest.raises(SystemExit) as end:
        main()
    out.flush()
    err.flush()

    # click writes its help and usage past us; all that is ours is in the encoding that was asked for
    said = (out.buffer.getvalue() + err.buffer.getvalue()).decode("ascii")
    assert said
    assert (end.value.code or 0) in (0, 2, 4, 5)


# in which nothing is printed, since their arguments are refused
REFUSED = {"conformance", "push", "pull"}


@pytest.mark.parametrize("words", [words for name, words in COMMANDS.items() if name not in REFUSED], ids=" ".join)
def test_every_command_ends_quietly_where_nobody_reads(folder, monkeypatch, words):
    read, write = os.pipe()
    os.close(read)
    err = io.StringIO()
    with open(write, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        monkeypatch.setattr(sys, "stderr", err)
        monkeypatch.setattr(sys, "argv", ["pabench", *words])

        with pytest.raises(SystemExit) as end:
            main()

    assert end.value.code == CLOSED
    assert "Traceback" not in err.getvalue()


TAKES_NOTHING = {">/dev/full": 1, ">&-": 0, "2>&-": 0, ">&- 2>&- <&-": 0}


@pytest.mark.parametrize("buffered", ["", pytest.param("1", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("redirected", "code"), TAKES_NOTHING.items())
def test_a_stdout_that_takes_nothing_is_an_exit_code_and_at_most_a_line(redirected, code, buffered):
    command = f"{sys.executable} -m pabench metrics {redirected}"

    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, env={**os.environ, "PYTHONUNBUFFERED": buffered}
    )

    assert done.returncode == code
    assert done.stderr.count("\n") == code
    assert ("stdout: No space left on device; the output is not complete" in done.stderr) is bool(code)


@pytest.mark.parametrize("before", [False, True])
def test_a_command_goes_on_when_its_terminal_is_closed(tmp_path, before):
    """As that of a run in the background does, maybe before it begins: the user logs out, and the run is to end all the
    same."""
    work = f"""if True:
        import sys
        from pabench.cli.terminal import any_terminal, say, steps
        print("begun", flush=True)
        {"sys.stdin.readline()" if before else ""}
        with any_terminal():
            say("begun")
            {"" if before else "sys.stdin.readline()  # until the terminal is gone"}
            with steps() as step:
                step("a step")
            say("x" * 100_000)
            say("an error", error=True)
            open({str(tmp_path / "ended")!r}, "w").close()
    """
    ours, terminal = os.openpty()
    running = subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=terminal, stderr=terminal)
    os.close(terminal)
    said = b""
    while said.count(b"begun\r\n") < 2 - before:
        said += os.read(ours, 100)

    os.close(ours)
    running.communicate(b"\n", timeout=60)

    assert (running.returncode, (tmp_path / "ended").exists()) == (0, True)


def test_a_terminal_that_takes_nothing_for_a_moment_is_waited_for(tmp_path):
    work = """if True:
        import os
        from pabench.cli.terminal import any_terminal, say
        os.set_blocking(1, False)
        with any_terminal():
            say("x" * 200_000)
    """
    ours, terminal = os.openpty()
    running = subprocess.Popen([sys.executable, "-c", work], stdout=terminal, stderr=subprocess.PIPE)
    os.close(terminal)
    time.sleep(1)
    said = 0
    with suppress(OSError):  # what a closed terminal ends in
        while found := os.read(ours, 100_000):
            said += found.count(b"x")
    os.close(ours)

    assert (running.wait(60), running.stderr.read(), said) == (0, b"", 200_000)


def test_a_message_cannot_steer_the_terminal_nor_fill_it(tmp_path):
    (tmp_path / "loud.py").write_text("raise ValueError('\\x1b[31mred\\x00\\nline two ' + 'x' * 10_000)")

    said = pabench("criteria", "--plugin", "loud.py", cwd=tmp_path)

    assert (said.returncode, said.stdout) == (5, "")
    assert said.stderr.startswith("loud.py:1: ValueError: red line two xxx")
    assert said.stderr.count("\n") == 1
    assert len(said.stderr) < 600


def test_signs_of_ours_have_a_likeness_and_other_characters_are_escaped(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)

    with any_terminal():
        say("– −1.0 ö")

    assert out.buffer.getvalue() == b"- -1.0 \\xf6\n"


def test_steps_are_lines_on_stderr_where_it_is_no_terminal(capsys):
    with steps() as told:
        told("level 3: 1 of 2: snip\x1b[2J")
        told("level 3: 2 of 2: random")

    assert capsys.readouterr() == ("", "level 3: 1 of 2: snip\nlevel 3: 2 of 2: random\n")


def test_ctrl_c_ends_an_import_at_once_and_what_comes_behind_it_hears_of_it():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with ended_by_ctrl_c():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a background job
        with ended_by_ctrl_c():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("delay", [0.4, 0.55, 0.7])
def test_a_run_that_is_interrupted_while_it_imports_ends(tmp_path, delay):
    """It went on to its end, and failed there: the interrupt was lost in the import of torch."""
    code = (
        "import signal, sys, threading, os; signal.signal(signal.SIGINT, signal.default_int_handler);"
        f"threading.Timer({delay}, os.kill, (os.getpid(), signal.SIGINT)).start();"
        "sys.argv = ['pabench', 'run', 'quickstart', '--device', 'cpu', '-o', 'out'];"
        "from pabench.cli.main import main; main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert ended.returncode in (-signal.SIGINT, 130)
    assert "Traceback" not in ended.stderr
