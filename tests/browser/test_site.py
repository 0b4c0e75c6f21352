"""A leaderboard site in a real browser: from a disk, under its policy, with and without JavaScript."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from pabench.leaderboard import site

from ..leaderboard.test_boards import grid, published
from ..leaderboard.test_site import pages

pytestmark = pytest.mark.browser


@pytest.fixture
def board(tmp_path, monkeypatch):
    """A board of four criteria, `mine` of which has no result; its accuracies grow with its place here."""
    monkeypatch.setattr(site, "render", lambda study: "<!doctype html><title>a study</title>")
    files = pages(published(grid("random", "magnitude", "snip", "mine", sparsities=[0.9, 0.98])), "Our <b>", "A")
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (found,) = (tmp_path / "boards").glob("*.html")
    return found


def names(tab):
    return [text.split("\n")[0].strip() for text in tab.page.locator("table.board tbody th").all_inner_texts()]


def numbers(tab, column):
    shown = tab.page.locator(f"table.board tbody tr:not(.dense) td:nth-child({column}) b").all_inner_texts()
    return [float(text.replace("−", "-")) for text in shown]


def test_headings_sort_a_board_both_ways_and_the_dense_baseline_stays_on_top(tab, board):
    tab.page.goto(board.as_uri())
    headings = tab.page.locator("table.board thead th")
    place = [text.strip() for text in headings.all_inner_texts()].index("90 %") + 1

    headings.nth(place - 1).locator("button").click()
    expect(headings.nth(place - 1)).to_have_attribute("aria-sort", "ascending")
    rising = numbers(tab, place)
    headings.nth(place - 1).locator("button").click()
    expect(headings.nth(place - 1)).to_have_attribute("aria-sort", "descending")

    assert rising == sorted(rising)
    assert len(set(rising)) > 1
    assert numbers(tab, place) == rising[::-1]
    assert names(tab)[0] == "dense baseline"
    headings.nth(1).locator("button").press("Enter")
    expect(headings.nth(1)).to_have_attribute("aria-sort", "ascending")
    assert names(tab)[1:] == sorted(names(tab)[1:])
    assert headings.nth(place - 1).get_attribute("aria-sort") is None
    assert tab.console == []
    assert [url for url in tab.requests if not url.startswith("file:")] == []


def test_a_board_without_javascript_stands_in_the_order_of_its_ranks(tab, board):
    tab.page.goto(board.as_uri())
    ranked = names(tab)
    plain = tab.page.context.browser.new_context(java_script_enabled=False).new_page()
    plain.goto(board.as_uri())

    assert [t.split("\n")[0].strip() for t in plain.locator("table.board tbody th").all_inner_texts()] == ranked
    assert plain.locator("table.board button").count() == 0


def test_every_link_of_the_site_leads_to_a_file(tab, board):
    folder = board.parents[1]
    (folder / "data/v1/manifest.json").touch()  # `publish` writes it, last
    for page in folder.glob("**/*.html"):
        tab.page.goto(page.as_uri())
        for link in tab.page.locator("a[href]").all():
            target = link.get_attribute("href").partition("#")[0]
            assert not target or (page.parent / target).resolve().exists(), (page, target)
    assert tab.console == []
