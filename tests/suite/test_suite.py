"""A suite is read strictly, and everything wrong with it is told at once, with its place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from pabench.errors import SuiteError
from pabench.suite import suite

from .conftest import GOOD, findings_if_any

ROOT = Path(__file__).parents[2]


@given(st.data())
def test_only_a_suite_error_escapes_for_a_damaged_suite(data):
    at = data.draw(st.integers(0, len(GOOD)))
    inserted = data.draw(st.text("{}[]&*!|>%@`'\",:?-#~\\ \n\t01.eE<x", min_size=1, max_size=12))

    told = findings_if_any(GOOD[:at] + inserted + GOOD[at + data.draw(st.integers(0, 5)) :])

    assert all(line.startswith("s.yaml:") for line in told)


@pytest.mark.parametrize("name", [".", "absent.yaml", "nul\0.yaml"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(SuiteError, match=r"cannot be read: .*; expected a suite in YAML"):
        suite.load(f"{tmp_path}/{name}")


def test_finds_a_shipped_suite_by_name_and_a_file_by_path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)

    assert suite.find(str(path)) == path
    assert suite.find("quickstart").read_bytes() == (ROOT / "suites/quickstart.yaml").read_bytes()


def test_an_unknown_suite_is_told_with_those_that_exist():
    with pytest.raises(
        SuiteError, match=r"no suite 'quikstart'; did you mean 'quickstart'\? known: cifar, cifar_20k, "
    ):
        suite.find("quikstart")


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_suites_are_valid_and_name_the_schema(path):
    assert path.read_text().startswith("# yaml-language-server: $schema=../pabench.schema.json\n")
    assert suite.load(path).protocol == "pai-v1"


def test_the_schema_in_the_repository_is_current():
    written = json.loads((ROOT / "pabench.schema.json").read_text())

    assert written == suite.json_schema(), "write pabench.schema.json again: pabench schema > pabench.store.schema.json"


def test_importing_suite_and_study_loads_no_torch_and_no_timm():
    code = "import sys, pabench.suite.suite, pabench.suite.grid; print({'torch', 'timm'} & set(sys.modules))"

    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "set()\n"


CLAIM = """\
claim: SNIP is better than random pruning.
suite:
  protocol: pai-v1
  datasets: [digits]
  models: [resnet20]
  criteria: [random]
  sparsities: [0.9]
  seeds: 3
  recipe: {epochs: 1}
"""


def test_the_suite_inside_a_claim_is_a_suite_with_its_lines_and_overrides():
    found = suite.parse(CLAIM, "claim.yaml", ["seeds=2"])

    assert (found.seeds, found.models[0].name, found.text) == (2, "resnet20", CLAIM)
    assert found.where("models", 0) == "claim.yaml:5:12"
    assert findings_if_any(CLAIM.replace("seeds: 3", "sedes: 3")) == [
        "s.yaml:2:1: seeds: missing; add `seeds: 3`",
        's.yaml:8:3: sedes: unknown key; did you mean "seeds"?',
    ]
