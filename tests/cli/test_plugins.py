"""The commands about plugins: criteria are listed, shown, and begun."""

from __future__ import annotations

import pytest

from .conftest import SUITE
from .test_main import pabench


@pytest.mark.usefixtures("fresh_registry")
def test_criteria_are_listed_shown_and_begun(tmp_path):
    listed = pabench("criteria").stdout
    shown = pabench("criteria", "show", "grasp").stdout
    begun = pabench("criteria", "new", "mine", cwd=tmp_path)

    assert "grasp@official" in listed
    assert "temperature" in shown
    assert "arXiv:2002.07376" in shown
    assert begun.returncode == 0
    (tmp_path / "tiny.yaml").write_text(SUITE.replace("[random]", "[mine]"))
    assert "1 ok" in pabench("run", "tiny.yaml", "--only", "criterion=mine", "--device", "cpu", cwd=tmp_path).stdout
    assert pabench("criteria", "new", "mine", cwd=tmp_path).returncode == 4
