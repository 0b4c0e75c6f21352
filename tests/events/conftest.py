"""What the tests of event hooks share: hooks as another distribution offers them, and a cell with its record."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pabench.store.store import Store
from pabench.suite.cell import Cell

from ..conftest import forget_plugins


@pytest.fixture
def offer(tmp_path, monkeypatch):
    """`offer(name, code)`: a distribution whose hook of this name is the class `Hook` of this code; here and in child
    processes."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))

    def offered(name: str, code: str, module: str = "") -> None:
        module = module or f"hook_{name}"
        info = site / f"{module}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[pabench.events]\n{name} = {module}:Hook\n")
        (site / f"{module}.py").write_text(code)
        forget_plugins()

    yield offered
    forget_plugins()


@pytest.fixture
def folder(results, tmp_path) -> Path:
    """A results folder that may be written into."""
    return Path(shutil.copytree(results, tmp_path / "out"))


@pytest.fixture
def cell(folder) -> Cell:
    """A finished cell of it: SNIP at 0.8, seed 0."""
    cells = [Cell.from_json(data) for data in Store(folder).manifest()["cells"]]
    (found,) = [c for c in cells if c.title == "digits / lenet_300_100 / snip 0.8 / seed 0"]
    return found
