"""The commands about results folders: status and export."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time

import pandas as pd
import pytest

from pabench.report.conclusion import lines
from pabench.report.folders import read
from pabench.run.claims import Runner
from pabench.run.engine import Event, Task
from pabench.store.store import Store

from .test_main import pabench


def test_status_for_people_and_programs(finished):
    folder, _ = finished

    assert "tiny: 2 cells: 2 ok, 0 failed, 0 skipped, 0 missing" in pabench("status", folder / "out").stdout
    found = json.loads(pabench("status", folder / "out", "--pairing", "--json").stdout)
    assert found["ok"] == 2
    assert found["pairing"] == {"blocks": 1, "cells": 2, "unpaired": [], "apart": []}


def test_status_finds_a_cell_that_was_not_paired(finished, tmp_path):
    """A record with other weights than its block's: the check can fail."""
    shutil.copytree(finished[0] / "out", tmp_path / "out")
    store = Store(tmp_path / "out")
    key, record = next(iter(store.records().items()))
    (tmp_path / "out" / "records" / f"{key}.json").unlink()
    store.commit("records", key, {**record, "pairing": {**record["pairing"], "weights": "0" * 64}})

    said = pabench("status", tmp_path / "out", "--pairing")

    assert said.returncode == 3
    assert "weights has 2 different hashes" in said.stdout


def test_status_tells_who_is_at_work_on_what_and_who_is_dead(finished, tmp_path):
    shutil.copytree(finished[0] / "out", tmp_path / "out")
    told = {"host": "node7\x1b[31m", "machine": "another", "pid": 7, "born": "1", "command": "", "workers": 1}
    lease = tmp_path / "out" / "runners" / "dead.json"
    lease.write_text(json.dumps({**told, "threads": 1, "running": {"a": {"title": "digits / grasp"}}}))
    os.utime(lease, (0, time.time() - 3600))
    with Runner(tmp_path / "out", command="", workers=2, threads=1) as runner:
        runner.claim(Task("b", "digits / snip 0.9", ""))
        runner.claim(Task("c", "digits / random: masks", ""))
        runner.tell(Event("b", "progress", {"epoch": 3, "epochs": 20}))
        runner.renew()
        said = pabench("status", tmp_path / "out").stdout.splitlines()
        found = json.loads(pabench("status", tmp_path / "out", "--json").stdout)

    assert said[1] == f"  run on {socket.gethostname()}, process {os.getpid()}: last sign of life 0:00:00 ago"
    assert said[2:4] == ["    digits / snip 0.9: epoch 3 of 20", "    digits / random: masks"]
    assert said[4].startswith("  run on node7, process 7: last sign of life 1:00:0")
    assert said[4].endswith(" ago, dead: others take its cells over")
    assert len(said) == 5
    assert [(one["pid"], one["alive"], len(one["running"])) for one in found["runners"]] == [
        (os.getpid(), True, 2),
        (7, False, 1),
    ]


@pytest.mark.parametrize(
    ("command", "what", "said"),
    [
        *((command, what, what) for command in ("status", "report") for what in ("records", "study.json")),
        ("report", "metrics", "metrics"),  # status looks at none
        ("status", ".", "study.json"),
        ("report", ".", "study.json"),
    ],
)
def test_what_cannot_be_read_is_one_line(finished, tmp_path, forbid, command, what, said):
    shutil.copytree(finished[0] / "out", tmp_path / "out")
    forbid(tmp_path / "out" / what)

    done = pabench(command, tmp_path / "out")

    assert done.returncode == 4
    assert done.stderr.splitlines() == [f"{tmp_path / 'out' / said}: cannot be read (Permission denied)"]


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_export_writes_a_row_a_cell(finished, tmp_path, suffix):
    folder, _ = finished
    out = tmp_path / f"cells.{suffix}"

    assert pabench("export", folder / "out", "-o", out).stdout == f"2 cells: {out}\n"

    frame = {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet}[suffix](out)
    assert sorted(frame["criterion"]) == ["dense", "random"]
    assert frame["top1"].between(0, 100).all()


def test_figures_are_written_as_pdf_and_svg(finished, tmp_path):
    done = pabench("figures", finished[0] / "out", "-o", tmp_path / "figures")

    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert done.stdout == f"{len(names)} files: {tmp_path / 'figures'}\n"
    assert {"accuracy-digits-lenet-300-100.pdf", "accuracy-digits-lenet-300-100.svg"} <= set(names)
    assert done.stderr == ""


def test_report_and_export_for_programs(finished, tmp_path):
    page, table, checklist = tmp_path / "page.html", tmp_path / "cells.csv", tmp_path / "checklist.tex"

    report = pabench("report", finished[0] / "out", "-o", page, "--json")
    both = pabench("report", finished[0] / "out", "--checklist", checklist, "--json")
    export = pabench("export", finished[0] / "out", "-o", table, "--json")

    same = {"conclusion": lines(read(finished[0] / "out")), "left_out": []}
    assert json.loads(report.stdout) == {"report": str(page), "checklist": None, **same}
    assert json.loads(both.stdout) == {"report": None, "checklist": str(checklist), **same}
    assert report.stderr == f"report: {page}\n"
    assert json.loads(export.stdout) == {"file": str(table), "cells": 2}
    assert len(table.read_text().splitlines()) == 3


def test_report_opens_the_page_and_says_where_there_is_no_browser(finished, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("webbrowser.open", lambda address: asked.append(address) or len(asked) == 1)
    page = tmp_path / "größe.html"

    opened = pabench("report", finished[0] / "out", "-o", page, "--open")
    without = pabench("report", finished[0] / "out", "-o", page, "--open")

    assert asked == [page.as_uri()] * 2
    assert (opened.returncode, opened.stderr) == (0, "")
    assert without.returncode == 0
    assert without.stderr == (
        f"no browser to open {page} with; open it yourself, or copy it to a machine that has one\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        "report -o file/page.html",
        "report --checklist file/x.tex",
        "figures -o file",
        "export -o file/x.csv",
        "submit -o file/x",
    ],
)
def test_what_is_to_be_written_where_a_file_is_in_the_way_is_one_line(finished, tmp_path, words):
    (tmp_path / "file").write_text("")

    command, *options = words.split()
    said = pabench(command, finished[0] / "out", *options, cwd=tmp_path)

    line = "file: cannot be written (a file is in its way); expected a writable folder: choose one with -o"
    assert (said.returncode, said.stderr.splitlines()) == (4, [line])


def test_report_takes_the_place_of_pages_alone(finished, tmp_path):
    """The name of a suite, given by mistake."""
    (tmp_path / "suite.yaml").write_text("protocol: pai-v1\n")

    said = pabench("report", finished[0] / "out", "-o", tmp_path / "suite.yaml")

    assert said.returncode == 4
    assert "suite.yaml: is there and no page; give -o the name of a new file" in said.stderr
    assert (tmp_path / "suite.yaml").read_text() == "protocol: pai-v1\n"
    said = pabench("report", finished[0] / "out", "-o", tmp_path)
    assert (said.returncode, said.stderr.strip()) == (
        4,
        f"{tmp_path}: is a folder; name a file, as in -o {tmp_path / 'report.html'}",
    )
    for _ in range(2):
        assert pabench("report", finished[0] / "out", "-o", tmp_path / "page.html").returncode == 0
