"""A real Chromium, driven by Playwright: one for all tests, a fresh profile for each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None and "CI" in os.environ:
        pytest.fail("no chromium on the PATH, and CI promises one: these tests must not pass by being left out")
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which no Python package brings: apt-get install chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)  # as long as an action may take; its 5 seconds are few on a busy machine
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Tab:
    """A page opened from a file; what its console says and what it asks for is kept."""

    def __init__(self, page: Any, folder: Path) -> None:
        self.page = page
        self.folder = folder
        self.console: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.console.append(message.text))
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, html: str, fragment: str = "") -> Tab:
        path = self.folder / "report.html"
        path.write_text(html, encoding="utf-8")
        self.page.goto(f"{path.as_uri()}{fragment}")
        return self

    def download(self, selector: str) -> tuple[str, bytes]:
        """Name and content of the file that a click gives."""
        with self.page.expect_download() as download:
            self.page.locator(selector).first.click()
        return download.value.suggested_filename, Path(download.value.path()).read_bytes()

    @property
    def matches(self) -> Any:
        """The line that says how many cells are shown: a locator, of which to `expect` a text that may be to come."""
        return self.page.locator("#matches")

    @property
    def fragment(self) -> str:
        return str(self.page.evaluate("location.hash"))

    def column(self, name: str) -> list[str]:
        """The texts of a column of the table, all rows, by its heading."""
        while self.page.is_visible("#more"):
            self.page.click("#more")
        heads = [text.strip() for text in self.page.locator("#cells-table thead th").all_inner_texts()]
        nth = heads.index(name) + 1
        return list(self.page.locator(f"#cells-table tr.cell td:nth-child({nth})").all_inner_texts())


@pytest.fixture
def tab(chromium, tmp_path) -> Iterator[Tab]:
    context = chromium.new_context(viewport={"width": 1280, "height": 1000}, color_scheme="light")
    yield Tab(context.new_page(), tmp_path)
    context.close()
