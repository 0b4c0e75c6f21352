"""What the documentation shows works."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import get_args

import pytest

from pabench import registry
from pabench.diagnostics.conformance import names
from pabench.errors import DataError
from pabench.scoring.allocation import Named
from pabench.suite.specs import ModelSpec
from pabench.suite.suite import find, load

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
make = runpy.run_path(str(ROOT / "docs" / "make.py"))  # beside the pages, and in no package


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_python_block_runs(page, tmp_path, monkeypatch):
    """The blocks of a page run one after another, in one namespace and an empty folder."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)
    assert blocks or page.name == "architecture.md"
    # dataclasses look their module up by name
    namespace = {"__name__": "builtins"}
    for block in blocks:
        exec(compile(block, str(page), "exec", dont_inherit=True), namespace)


def generated(name: str) -> str:
    """What stands between the marks of a page."""
    return make["path"](name).read_text().partition(make["BEGIN"])[2].partition(make["END"])[0].strip()


def test_the_picture_of_the_house_is_drawn_from_its_imports_and_all_lead_downward():
    """Where it fails: `python docs/make.py architecture`."""
    house = runpy.run_path(str(ROOT / "docs" / "house.py"))
    floors = [name for name, _ in house["FLOORS"]]
    drawn = (ROOT / "docs" / "architecture.svg").read_text()

    assert drawn == make["architecture"]()
    assert [pair for pair in house["imports"]() if floors.index(pair[0]) > floors.index(pair[1])] == []
    assert house["DOWN"] in drawn
    assert house["UP"] not in drawn
    assert all((ROOT / place).exists() for place in places((ROOT / "docs" / "architecture.md").read_text()))


def places(text: str) -> set[str]:
    """The folders and modules of ours that a page names."""
    named = re.findall(r"`((?:pabench|criteria|reports|suites)/[^`]*)`", text)
    return {re.split("NAME|ROOM", name)[0] for name in named}


def test_the_tables_of_criteria_are_those_of_the_registry():
    """Where it fails: `python docs/make.py criteria`."""
    table = generated("criteria")

    assert table == make["criteria"]()
    assert all(f"| `{name}` |" in table for name in registry.group("criteria").classes)
    assert all(f"| `{name}` |" in table for name in get_args(Named))


def test_the_readme_says_what_each_criterion_was_compared_with():
    """Where it fails: `python docs/make.py README`."""
    assert generated("README") == make["readme"]()


def test_the_table_of_claims_is_made_of_the_values_that_are_published_and_they_still_say_so():
    """Where it fails: `python docs/make.py claims`, or run the claims again."""
    told = {one["name"]: one["state"] for one in json.loads(make["CLAIMS"].read_text())}

    assert generated("claims") == make["claims"]()
    assert {one.claim.name: one.state for one in make["published"]()} == told


def test_the_table_of_conformance_has_all_criteria_and_no_failure():
    """Where it fails: `python docs/make.py conformance`."""
    assert re.findall(r"^\| `([^`]+)` \| \d+ \| 0 \|", generated("conformance"), re.M) == names()


def test_what_float32_moves_is_said_of_all_criteria_and_is_little_for_those_scored_in_it():
    """Where it fails: `python docs/make.py precision`. At most 0.2 % of the kept weights, on two networks."""
    rows = re.findall(r"^\| `([^`]+)` \| (float\d\d) \| \d* \| (.*) \|$", generated("precision"), re.M)

    every = [name for name in names() if "@" not in name]
    fast = [name for name in every if registry.plugin("criteria", name).precision == "float32"]
    assert [name for name, _, _ in rows] == [*every, *fast]
    for name, needed, shares in rows:
        assert needed == registry.plugin("criteria", name).precision
        if needed == "float32":
            assert all(float(share.removesuffix(" %")) <= 0.2 for share in shares.split(" | ")), name


def test_the_zoo_has_every_network_of_its_suite():
    """Where it fails: `python docs/make.py zoo`."""
    models = [entry.name for entry in load(find("timm_zoo")).models]

    assert re.findall(r"^\| (\w+) \|", generated("zoo"), re.M) == ["model", *models]


@pytest.mark.parametrize("model", ["densenet121", "mobilenetv2_035"])
def test_rows_of_the_zoo_are_what_the_doctor_finds(model):
    """One healthy network, and one with a remedy; the others take half an hour."""
    suite = load(find("timm_zoo"))
    (entry,) = [entry for entry in suite.models if entry.name == model]

    names = list(dict.fromkeys(criterion.name for criterion in suite.criteria))
    row = make["zoo_row"](ModelSpec(model, entry.args), names)

    assert make["markdown"]([row]).splitlines()[0] in generated("zoo").splitlines()


def test_a_text_goes_between_the_marks_of_a_page_and_nowhere_else():
    begin, end = make["BEGIN"], make["END"]

    assert make["inserted"](f"before\n{begin}\nold\n{end}\nafter\n", "new") == (
        f"before\n{begin}\n\nnew\n\n{end}\nafter\n"
    )
    with pytest.raises(DataError, match="between which the text goes"):
        make["inserted"]("no marks", "new")


def test_the_readme_names_the_suites_that_ship():
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), re.M)

    assert sorted(listed) == sorted(p.stem for p in (ROOT / "suites").glob("*.yaml"))
    assert all(find(name).is_file() for name in listed)


def test_links_between_pages_lead_somewhere():
    for page in [ROOT / "README.md", *PAGES]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
