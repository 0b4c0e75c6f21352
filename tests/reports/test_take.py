"""Take it away: identity, citations, papers."""

from __future__ import annotations

import doctest
import hashlib
import subprocess
import sys

from pabench_reports import take

from pabench import registry
from pabench.report import frame
from pabench.source import declared
from pabench.suite.specs import CriterionSpec

from ..synthetic import CRITERIA, cells, manifest, record


def study(name="synthetic", change=None, **more):
    expected = cells([CRITERIA["snip"], CriterionSpec("mine", version=1)], models=["resnet20"], seeds=1)
    records = {c.key: record(c) for c in expected}
    if change:
        records[expected[1].key]["result"]["top1"] += change
    return frame.study({**manifest(expected, name), **more}, records)


def test_doctests_hold():
    assert doctest.testmod(take).failed == 0


def test_the_identity_changes_with_a_digit_of_a_record_and_the_cells_do_not():
    before, after = dict(take.identity(study())), dict(take.identity(study(change=0.01)))

    assert {term for term in before if before[term] != after[term]} == {"Records"}
    assert before["Suite"] == hashlib.sha256(b"protocol: pai-v1\n").hexdigest()
    assert before["Cells"].endswith(" (7 cells)")


def test_a_title_cannot_leave_its_field_in_the_citation():
    text = take.bibtex({"name": "a&b", "title": "100 % }, evil = {x\\", "created": "2026-01-02T00:00:00Z"})

    assert "title = {100 \\% \\}, evil = \\{x\\textbackslash{}}," in text
    assert text.startswith("@misc{a-b,")
    assert "year = {2026}" in text


def test_papers_are_those_that_the_criteria_name():
    """Read without importing a criterion, and equal to what importing them gives."""
    classes = registry.group("criteria").classes

    assert {name: found.paper for name, found in declared().items()} == {name: c.paper for name, c in classes.items()}
    assert declared()["snip"].paper == "arXiv:1810.02340"


def test_papers_are_read_without_torch():
    code = "import sys; from pabench.source import declared; declared(); print('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_a_criterion_that_is_not_built_in_has_no_paper_and_says_so():
    html = str(take.Take().render(study()))

    assert '<a href="https://arxiv.org/abs/1810.02340" rel="noreferrer">Lee et al. 2019</a>' in html
    assert "@inproceedings{lee2019snip," in html
    assert html.count("not built in: ask its author") == 1
