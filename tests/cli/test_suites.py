"""The commands about suites: what they refuse, and how they say it."""

from __future__ import annotations

import socket
from pathlib import Path

from .conftest import SUITE
from .test_main import pabench


def test_only_names_the_choices_when_it_matches_nothing(finished):
    folder, _ = finished

    said = pabench("run", "tiny.yaml", "--only", "criterion=snip", cwd=folder)

    assert said.returncode == 2
    assert said.stderr == "--only criterion=snip: no cell has it; known: dense, random\n"


def test_a_wrong_suite_gets_every_error_with_its_place_and_no_traceback(tmp_path):
    text = SUITE.replace("epochs: 1", "epochz: 1").replace("seeds: 1", "seeds: -1").replace("[random]", "[snp]")
    (tmp_path / "tiny.yaml").write_text(text)

    said = pabench("run", "tiny.yaml", cwd=tmp_path)

    assert said.returncode == 2
    lines = said.stderr.splitlines()
    assert any(line.startswith("tiny.yaml:8:1: seeds: ") for line in lines)
    assert any('did you mean "epochs"?' in line and line.startswith("tiny.yaml:9:") for line in lines)
    assert "Traceback" not in said.stderr


def test_validate_finds_what_only_plugins_know(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SUITE.replace("[random]", "[{name: random, allocation: erq}]"))

    said = pabench("validate", "tiny.yaml", cwd=tmp_path)

    assert said.returncode == 2
    assert said.stderr.startswith("tiny.yaml:6:")
    assert "criteria.0.allocation: input should be 'global', 'uniform', 'er', 'erk', 'balanced', " in said.stderr


def test_fetch_without_a_network_says_so(tmp_path, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)

    said = pabench("fetch", "mnist", "--path", tmp_path / "mnist")

    assert said.returncode == 5
    assert "mnist" in said.stderr
    assert "Traceback" not in said.stderr


def test_the_schema_is_the_one_in_the_repository():
    root = Path(__file__).parents[2]

    assert pabench("schema").stdout == (root / "pabench.schema.json").read_text()
