"""The table of faults: every test that it names is there, and docs/reliability.md shows every row."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .faults import FAULTS

TESTS = Path(__file__).parent
NAMES = sorted({name.partition("[")[0] for fault in FAULTS for name in fault.tests})


@pytest.mark.parametrize("name", NAMES)
def test_each_test_that_holds_a_fault_is_there(name):
    file, _, function = name.partition("::")
    tree = ast.parse((TESTS / file).read_text())

    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_page_shows_each_fault_and_nothing_lost():
    page = (TESTS.parent / "docs" / "reliability.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.count(" | ") == 4]
    told = {row[0]: [int(cell) for cell in row[2:]] for row in rows if row[-1].isdecimal()}

    assert list(told) == [fault.what for fault in FAULTS]
    assert all(injected == survived > 0 and lost == 0 for injected, survived, lost in told.values())
