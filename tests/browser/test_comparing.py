"""What compares studies, in a real browser."""

from __future__ import annotations

import json

import pytest
from pabench_reports.checklist import table
from playwright.sync_api import expect

from pabench.report import page as report
from pabench.report.join import join

from ..synthetic import CRITERIA, cells, folder

pytestmark = pytest.mark.browser


def grid(*names):
    return cells([CRITERIA[n] for n in names], models=["vgg11_cifar"], sparsities=[0.9], seeds=2)


def test_a_page_of_two_studies_sorts_exports_and_saves_its_checklist(tab, tmp_path):
    left = folder(tmp_path / "a", grid("random", "snip"), name="left <b>")
    joint = join([left, folder(tmp_path / "b", grid("random", "grasp"), name="right", command="pabench run right")])
    page = report.render(joint)

    tab.open(page)

    expect(tab.matches).to_have_text("8 of 8 cells")
    assert sorted(set(tab.column("Study"))) == ["left <b>", "right"]
    tab.page.select_option("[name=from]", "right")
    expect(tab.matches).to_have_text("2 of 8 cells")  # the cells of random are in both, and count for the first
    assert tab.fragment == "#from=right"
    assert set(tab.column("Study")) == {"right"}
    _, data = tab.download('[data-export="json"]')
    rows = json.loads(data)["cells"]
    assert {row["study"] for row in rows} == {"right"}
    assert all(row["rerun"].startswith("pabench run right --only") for row in rows)
    tab.page.locator("#checklist summary").last.click()
    name, text = tab.download(".save-text")
    assert name == "left-b-right-checklist.tex"
    assert text.decode() == table(joint)
    tab.page.locator("#published summary").first.click()
    assert tab.page.locator("#published a").first.get_attribute("href") == "https://arxiv.org/abs/2006.05467"
    assert tab.console == []
    assert [url for url in tab.requests if not url.startswith(("file:", "data:", "blob:"))] == []
