"""What the documentation shows works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from pabench import registry
from pabench.allocation import Named
from pabench.listing import markdown
from pabench.suite import find

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_python_block_runs(page, tmp_path, monkeypatch):
    """The blocks of a page run one after another, in one namespace and an empty folder."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)
    assert blocks
    # dataclasses look their module up by name
    namespace = {"__name__": "builtins"}
    for block in blocks:
        exec(compile(block, str(page), "exec", dont_inherit=True), namespace)


def test_the_tables_of_criteria_are_those_of_the_registry():
    """Where it fails: put what `pabench criteria --markdown` prints between the two marks."""
    page = (ROOT / "docs" / "criteria.md").read_text()
    table = re.search(r"<!-- pabench criteria --markdown -->\n(.*?)\n<!-- end -->", page, re.S).group(1)

    assert table.strip() == markdown([])
    assert all(f"| `{name}` |" in table for name in registry.group("criteria").classes)
    assert all(f"| `{name}` |" in table for name in get_args(Named))


def test_the_readme_names_the_suites_that_ship():
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), re.M)

    assert sorted(listed) == sorted(p.stem for p in (ROOT / "suites").glob("*.yaml"))
    assert all(find(name).is_file() for name in listed)


def test_links_between_pages_lead_somewhere():
    for page in [ROOT / "README.md", *PAGES]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
