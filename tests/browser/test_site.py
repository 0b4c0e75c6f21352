"""A leaderboard site in a real browser: from a disk, under its policy, with and without JavaScript."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from pabench.leaderboard import site
from pabench.leaderboard.rejudged import rejudged

from ..leaderboard.test_boards import grid, published
from ..leaderboard.test_rejudged import PUBLISHED
from ..leaderboard.test_site import pages

pytestmark = pytest.mark.browser


@pytest.fixture
def board(tmp_path, monkeypatch):
    """A board of four criteria, `mine` of which has no result; its accuracies grow with its place here."""
    monkeypatch.setattr(site, "render", lambda study, more: "<!doctype html><title>a study</title>")
    cells = grid("random", "magnitude", "snip", "mine", sparsities=[0.9, 0.98])
    files = pages(published(cells), "Our <b>", "A", rejudged(PUBLISHED)[0])
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
    headings.nth(0).locator("button").press("Enter")
    expect(headings.nth(0)).to_have_attribute("aria-sort", "ascending")
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
    assert plain.locator("table.board button:visible, form:visible").count() == 0


def test_every_link_of_the_site_leads_to_a_file(tab, board):
    folder = board.parents[1]
    (folder / "data/v1/manifest.json").touch()  # `publish` writes it, last
    for page in folder.glob("**/*.html"):
        tab.page.goto(page.as_uri())
        for link in tab.page.locator("a[href]").all():
            target = link.get_attribute("href").partition("#")[0]
            if target.startswith("https:"):
                continue  # a paper
            assert not target or (page.parent / target).resolve().exists(), (page, target)
    assert tab.console == []


def shown(tab):
    return [
        text.split("\n")[0].strip() for text in tab.page.locator("table.board tbody tr:visible th").all_inner_texts()
    ]


def test_filters_hide_rows_columns_and_what_the_figure_draws_of_them(tab, board):
    """random and magnitude need no images, snip does; nobody has checked any; mine has no result and no paper."""
    tab.page.goto(board.as_uri())
    drawn = (
        "[...document.querySelectorAll('svg.figure [data-series=magnitude]')].filter(e => e.getClientRects().length)"
    )
    assert tab.page.evaluate(f"{drawn}.length") > 2

    tab.page.select_option("form.filters [name=kind]", "data-dependent")

    assert shown(tab) == ["dense baseline", "snip"]
    assert tab.page.evaluate(f"{drawn}.length") == 0
    tab.page.select_option("form.filters [name=kind]", "")
    tab.page.select_option("form.filters [name=sparsity]", "98 %")
    heads = [text.strip() for text in tab.page.locator("table.board thead th:visible").all_inner_texts()]
    assert ("98 %" in heads, "90 %" in heads, len(shown(tab))) == (True, False, 5)
    tab.page.check("form.filters [name=verified]")
    assert shown(tab) == ["dense baseline"]
    assert tab.page.inner_text("form.filters output") == "0 of 4 rows"
    assert tab.console == []


def test_the_front_page_filters_all_results_from_one_file(tab, board):
    index = board.parents[1] / "index.html"
    tab.page.goto(index.as_uri())
    rows = tab.page.locator("table.results tbody tr:visible")
    assert rows.count() == 8

    tab.page.select_option("form.filters [name=sparsity]", "90 %")
    tab.page.select_option("form.filters [name=kind]", "data-free")

    assert {text.split("\t")[0].strip() for text in rows.all_inner_texts()} == {"random", "magnitude", "mine"}
    assert [url for url in tab.requests if url != index.as_uri()] == []


def test_a_button_copies_the_bibtex_of_a_paper_and_another_the_command(tab, board):
    tab.page.goto(board.as_uri())
    row = tab.page.locator("table.board tr[data-criterion=snip]")

    def pasted(button):
        row.get_by_text(button, exact=True).click()
        expect(tab.page.locator("[role=status]")).to_have_text(f"Copied: {button}")
        tab.page.evaluate("document.body.append(Object.assign(document.createElement('textarea'), {id: 'paste'}))")
        tab.page.focus("#paste")
        tab.page.keyboard.press("Control+V")
        text = tab.page.input_value("#paste")
        tab.page.evaluate("document.getElementById('paste').remove()")
        return text

    assert pasted("BibTeX").startswith("@inproceedings{lee2019snip,\n")
    assert pasted("Command").endswith("--only dataset=cifar10 --only model=resnet20 --only criterion=snip")


def test_a_board_is_dark_when_it_is_asked_to_be_and_stays_so(tab, board):
    tab.page.goto(board.as_uri())

    tab.page.click("#theme")

    assert tab.page.evaluate("document.documentElement.dataset.theme") == "dark"
    tab.page.goto((board.parents[1] / "index.html").as_uri())
    assert tab.page.get_attribute("#theme", "aria-pressed") == "true"


def test_nothing_of_a_site_is_cut_off_on_a_phone_and_what_is_clicked_is_24_pixels(tab, board):
    tab.page.set_viewport_size({"width": 390, "height": 844})
    for page in (board, board.parents[1] / "index.html", board.parents[1] / "claims.html"):
        tab.page.goto(page.as_uri())
        assert tab.page.evaluate("document.documentElement.scrollWidth") == 390
        small = """[...document.querySelectorAll("button, summary, select, input, nav a")]
          .filter(e => e.checkVisibility()).map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
          .filter(([, box]) => box.width < 24 || box.height < 24).map(([text]) => text)"""
        assert tab.page.evaluate(small) == []
