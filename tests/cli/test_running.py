"""What `pabench run` prints while a study is carried out."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ..run.conftest import run, write
from .conftest import SUITE
from .test_main import pabench


def test_a_run_prints_plain_lines_where_there_is_no_terminal_and_where_the_report_is(finished):
    folder, done = finished
    lines = done.stdout.splitlines()

    assert lines[0] == "tiny: 2 cells, 0 done, 2 to do"
    assert lines[1].startswith("[1/2] digits / lenet_300_100 / dense / seed 0: ")
    assert "left)" in lines[1]
    assert "cells: 2 ok" in lines
    assert lines[-1] == f"report: {folder / 'out' / 'report.html'}"
    assert "\x1b" not in done.stdout
    assert (folder / "out" / "report.html").stat().st_size > 10_000


def test_a_run_ends_with_what_its_seeds_could_have_detected(tmp_path, capsys):
    run(write(tmp_path, SUITE.replace("[random]", "[random, magnitude]")), tmp_path / "out")

    said = "detects: Fewer than two seeds are finished: no difference between two criteria can be told from chance."
    *_, answer, detects, cite, last = capsys.readouterr().out.splitlines()
    assert answer.startswith("answer: On digits")
    assert (
        "random and magnitude cannot be told apart" in answer or "magnitude and random cannot be told apart" in answer
    )
    assert detects == said
    assert cite.startswith("cite: Not evidence about the criteria: ")
    assert cite.endswith("one seed can detect no difference.")
    assert last == f"report: {tmp_path / 'out' / 'report.html'}"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("records", "records: cannot be written (Permission denied); expected a writable folder: choose one with -o"),
        ("masks", "masks: cannot be written (Permission denied); expected a writable folder: choose one with -o"),
        ("claims", "claims: cannot be written (Permission denied); expected a writable folder: choose one with -o"),
        ("study.json", "study.json: cannot be read (Permission denied)"),
        (".", "study.json: cannot be read (Permission denied)"),
    ],
)
def test_a_folder_that_cannot_be_read_is_one_line_at_the_start(finished, tmp_path, forbid, what, said):
    shutil.copytree(finished[0] / "out", tmp_path / "out")
    forbid(tmp_path / "out" / what)

    done = pabench("run", finished[0] / "tiny.yaml", "--device", "cpu", "-o", tmp_path / "out")

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.splitlines() == [f"{tmp_path / 'out' / said}"]


@pytest.mark.parametrize("below", ["", "x/y"])
def test_a_folder_that_is_a_file_is_one_line_at_the_start(finished, tmp_path, below):
    (tmp_path / "file").write_text("")
    (tmp_path / "results").write_text("")  # where it would go without -o, which is nothing to who writes nothing

    done = pabench("run", finished[0] / "tiny.yaml", "--device", "cpu", "-o", tmp_path / "file" / below)

    assert (done.returncode, done.stdout) == (4, "")
    refused = "cannot be written (a file is in its way); expected a writable folder: choose one with -o"
    assert done.stderr.splitlines() == [f"{tmp_path / 'file' / below}: {refused}"]
    assert pabench("validate", finished[0] / "tiny.yaml", cwd=tmp_path).returncode == 0


def test_a_strangers_suite_of_the_same_name_is_one_line_at_the_start(finished, tmp_path):
    shutil.copytree(finished[0] / "out", tmp_path / "out")
    text = (
        SUITE.replace("[random]", "[magnitude]").replace("lenet_300_100", "resnet8").replace("epochs: 1", "epochs: 2")
    )
    (tmp_path / "tiny.yaml").write_text(text)

    done = pabench("run", "tiny.yaml", "--device", "cpu", "-o", "out", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(
        "out: holds another study of the name 'tiny': of this one it has no cell, and no model and no c"
    )
    assert done.stderr.count("\n") == 1


def test_the_page_is_made_by_a_process_of_its_own(finished, tmp_path):
    """The runner has not imported what makes it, and holds no record for it."""
    shutil.copytree(finished[0] / "out", tmp_path / "out")
    (tmp_path / "out" / "report.html").unlink()
    words = ["run", finished[0] / "tiny.yaml", "--device", "cpu", "-o", tmp_path / "out"]
    program = (
        "import sys, atexit; from pabench.cli.main import main;"
        "atexit.register(lambda: print([m for m in ('pandas', 'matplotlib', 'jinja2') if m in sys.modules]));"
        "main()"
    )

    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == [f"report: {tmp_path / 'out' / 'report.html'}", "[]"]
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_a_page_that_cannot_be_written_is_the_line_of_report_and_its_code(finished, tmp_path):
    shutil.copytree(finished[0] / "out", tmp_path / "out")
    (tmp_path / "out" / "report.html").unlink()
    (tmp_path / "out" / "report.html").mkdir()

    ran = pabench("run", finished[0] / "tiny.yaml", "--device", "cpu", "-o", tmp_path / "out")
    reported = pabench("report", tmp_path / "out")

    assert (ran.returncode, ran.stderr) == (reported.returncode, reported.stderr)
    assert (ran.returncode, ran.stderr.count("\n")) == (4, 1)
    assert ran.stdout.splitlines()[-1] == "cells: 2 ok"


def test_where_the_process_of_the_page_is_killed_a_line_says_how_to_get_it(finished, tmp_path, monkeypatch):
    shutil.copytree(finished[0] / "out", tmp_path / "a study")
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\necho 'note: half of it' >&2\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))

    done = pabench("run", finished[0] / "tiny.yaml", "--device", "cpu", "-o", tmp_path / "a study")

    said = "report: its process ended early, killed by signal 9 (SIGKILL); all records are kept, and "
    assert done.returncode == 1
    assert done.stderr == f"{said}`pabench report '{tmp_path / 'a study'}'` writes it\n"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it writes its page and ends")
def test_the_process_of_the_page_ends_with_its_runner(finished, tmp_path):
    told = f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))"
    (tmp_path / "pandas.py").write_text(f"import os, time, pathlib; {told}; time.sleep(60)")
    program = f"from pabench.cli.running import written; written({str(finished[0] / 'out')!r})"
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    with subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": paths}) as runner:
        page = until(lambda: int((tmp_path / "pid").read_text() or 0))
        runner.kill()

    assert until(lambda: not alive(page))


def until(found):
    """What it finds in the end."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if value := found():
                return value
        time.sleep(0.05)
    return None


def alive(pid):
    """Whether a process runs; where nobody asks for its exit code it stays, as a zombie."""
    return Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


@pytest.mark.slow
def test_where_nobody_reads_on_a_run_ends_without_a_word_of_its_workers(finished, tmp_path):
    """After the line of the first cell, while others are computed."""
    command = [sys.executable, "-m", "pabench", "run", finished[0] / "tiny.yaml", "--set", "seeds=3", "--device", "cpu"]
    with subprocess.Popen(
        [*command, "-j", "2", "-o", tmp_path / "tiny"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as runner:
        assert [runner.stdout.readline()[:5] for _ in range(2)] == ["tiny:", "[1/6]"]
        runner.stdout.close()
        said = runner.stderr.read()  # to its end: no worker holds it any more

    assert (runner.returncode, said) == (141, "")
    assert not list((tmp_path / "tiny" / "runners").iterdir())


def test_a_tracker_of_no_such_name_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SUITE)

    done = pabench("run", "tiny.yaml", "--device", "cpu", "--log", "mlflo", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("--log mlflo: no such event hook; did you mean 'mlflow'?")
    assert not (tmp_path / "results").exists()


@pytest.fixture
def own_pictures(tmp_path, monkeypatch):
    """A suite on a folder of two classes, one picture of the training split grey and the others in colour."""
    monkeypatch.setenv("PABENCH_CACHE", str(tmp_path / "cache"))
    for part, n in (("train", 12), ("test", 4)):
        for name, value in (("a", 40), ("b", 200)):
            (tmp_path / "own" / part / name).mkdir(parents=True)
            for i in range(n):
                pixels = np.full((8, 8, 3), (value + i, value, 0), np.uint8)
                image = Image.fromarray(pixels if i else pixels[..., 0])
                image.save(tmp_path / "own" / part / name / f"{i}.png")
    (tmp_path / "own/train/a/Thumbs.db").touch()
    text = SUITE.replace("{name: digits, train_per_class: 10, test_per_class: 5}", "{name: folder, path: own}")
    (tmp_path / "own.yaml").write_text(text)
    return tmp_path


SEEN = "pixel for pixel (own/test/a/0.png): their accuracy is that of training images"
TOLD = [
    "data: folder: train: 1 file passed over: 1 .db",
    "data: folder: 4 of the pictures are grey, 28 in colour: all are read in colour",
    f"data: folder: 8 of 8 test pictures also in training, {SEEN}",
]


def test_what_there_is_to_know_of_pictures_is_said_once_and_not_by_every_process(own_pictures):
    done = pabench("run", "own.yaml", "--device", "cpu", "-j", "2", "-o", "out", cwd=own_pictures)

    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == TOLD
    assert "cells: 2 ok" in done.stdout
    kept = json.loads((own_pictures / "out/study.json").read_text())["notes"]
    assert [f"data: {note}" for note in kept] == TOLD
    page = (own_pictures / "out/report.html").read_text()
    assert all(f"<li>{note}.</li>" in page for note in kept)


@pytest.mark.parametrize("command", ["validate own.yaml", "run own.yaml --dry-run", "plan own.yaml"])
def test_it_is_said_before_anything_runs_too(command, own_pictures):
    done = pabench(*command.split(), cwd=own_pictures)
    assert [line for line in done.stderr.splitlines() if line.startswith("data: ")] == TOLD


def test_a_model_is_scored_on_pictures_with_the_same_words(own_pictures):
    done = pabench("score", "lenet_300_100", "-c", "snip", "--data", "folder=own", "--device", "cpu", cwd=own_pictures)
    assert done.stderr.splitlines() == TOLD


def test_a_dataset_of_one_class_is_refused_before_it_is_trained_on(own_pictures):
    for part in ("train", "test"):
        (own_pictures / "own" / part / "b").rename(own_pictures / f"{part}-b")

    done = pabench("run", "own.yaml", "--device", "cpu", "-o", "out", cwd=own_pictures)

    assert done.returncode == 5
    assert done.stderr.splitlines() == [
        "folder: own: 1 class, expected two or more: with one, every answer is right",
        "no cell is left to run",
    ]
    assert not (own_pictures / "out").exists()


def test_data_that_breaks_takes_its_own_cells_alone(own_pictures):
    """Of another dataset they run, and where none is left a finished study keeps its page."""
    broken = own_pictures / "own/train/a/3.png"
    assert pabench("run", "own.yaml", "--device", "cpu", "-o", "out", cwd=own_pictures).returncode == 0
    page = (own_pictures / "out/report.html").read_bytes()
    broken.write_bytes(broken.read_bytes()[:20])

    alone = pabench("run", "own.yaml", "--device", "cpu", "-o", "out", cwd=own_pictures)
    two = ["--set", "datasets.+=digits", "--set", "datasets.1.train_per_class=10"]
    beside = pabench("run", "own.yaml", *two, "--device", "cpu", "-o", "two", cwd=own_pictures)

    assert (alone.returncode, beside.returncode) == (5, 5)
    assert "own/train/a/3.png: cannot be read as a picture" in alone.stderr
    assert (own_pictures / "out/report.html").read_bytes() == page
    assert "missing data, its cells are left out: own/train/a/3.png: cannot be read" in beside.stderr
    assert "cells: 2 ok" in beside.stdout


def test_criteria_and_seeds_of_the_command_line_are_overrides_of_the_suite_and_of_what_resumes_it(tmp_path):
    """A file in `criteria/` of the working directory that defines one comes along, wherever the suite lies."""
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "tiny.yaml").write_text(SUITE.replace("[0, 0.9]", "[0.9]"))
    (tmp_path / "criteria").mkdir()
    (tmp_path / "criteria" / "mine.py").write_text(MINE)
    words = ["-c", "{name: random, allocation: erk}", "-c", "mine", "--seeds", "2", "--set", "recipe.batch_size=48"]

    done = pabench("run", "suites/tiny.yaml", *words, "--device", "cpu", "-j", "1", "--json", cwd=tmp_path)

    told = json.loads(done.stdout)
    assert (done.returncode, told["cells"], told["ok"]) == (0, 4, 4)
    study = json.loads((tmp_path / "results" / "tiny" / "study.json").read_text())
    assert study["overrides"] == [
        "criteria=[{name: random, allocation: erk}, mine]",
        "seeds=2",
        "recipe.batch_size=48",
    ]
    assert shlex.split(study["command"])[3:11] == [
        *("--set", "criteria=[{name: random, allocation: erk}, mine]", "--set", "seeds=2"),
        *("--set", "recipe.batch_size=48", "--plugin", "criteria/mine.py"),
    ]
    assert told["resume"] == study["command"]
    again = pabench(*shlex.split(study["command"])[1:], cwd=tmp_path)
    assert again.stdout.splitlines()[0] == "tiny: 4 cells, 4 done, 0 to do"


MINE = """from dataclasses import dataclass
from pabench.plugins import ScoreContext, ScoreCriterion, Tensors

@dataclass(frozen=True, kw_only=True)
class Mine(ScoreCriterion):
    name = "mine"

    def score(self, ctx: ScoreContext) -> Tensors:
        return {n: w.abs() for n, w in ctx.kept.items()}
"""


def test_a_run_for_programs_is_one_document_and_its_lines_go_to_stderr(finished, tmp_path):
    shutil.copytree(finished[0] / "out", tmp_path / "out")

    done = pabench("run", finished[0] / "tiny.yaml", "--device", "cpu", "-j", "1", "-o", tmp_path / "out", "--json")

    told = json.loads(done.stdout)
    assert {key: told[key] for key in ("study", "cells", "ok", "failed", "exit_code", "folder", "report")} == {
        **{"study": "tiny", "cells": 2, "ok": 2, "failed": 0, "exit_code": 0},
        **{"folder": str(tmp_path / "out"), "report": str(tmp_path / "out" / "report.html")},
    }
    assert done.stderr.splitlines()[0] == "tiny: 2 cells, 2 done, 0 to do"
    assert told["conclusion"] == [line for line in done.stderr.splitlines() if line in told["conclusion"]] != []
    dry = json.loads(pabench("run", finished[0] / "tiny.yaml", "-o", tmp_path / "out", "--dry-run", "--json").stdout)
    assert (dry["cells"], dry["done"], dry["to_do"], dry["criteria"]) == (2, {"ok": 2}, 0, {"dense": 1, "random": 1})
