"""The report in a real browser, opened from a file: nothing foreign runs, everything of ours does."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pabench import frame, report

from ..synthetic import CRITERIA, cells, manifest, record, study_with_trouble

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """Opens a page in a fresh headless Chromium and gives the document as it is after its scripts ran."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.console = ""

    def open(self, page: str, fragment: str = "", act: str = "") -> str:
        """The document's HTML; `act` is JavaScript to run in it afterwards, allowed by its hash in the policy."""
        path = self.folder / "report.html"
        path.write_text(allowing(page, act) if act else page, encoding="utf-8")
        done = subprocess.run(
            [
                CHROMIUM,
                *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
                *("--disable-dev-shm-usage", f"--user-data-dir={self.folder / 'profile'}", "--enable-logging=stderr"),
                *("--window-size=1280,2000", "--virtual-time-budget=4000", "--dump-dom", f"{path.as_uri()}{fragment}"),
            ],
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        )
        self.console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
        return done.stdout


def allowing(page: str, script: str) -> str:
    """The page with one more script at its end that its policy lets run."""
    wrapped = f"(async () => {{ {script} }})()"
    sha = base64.b64encode(hashlib.sha256(wrapped.encode()).digest()).decode()
    return page.replace("script-src ", f"script-src 'sha256-{sha}' ", 1).replace(
        "</body>", f"<script>{wrapped}</script></body>"
    )


def titled(document: str) -> str:
    return html.unescape(re.search("<title>(.*?)</title>", document, re.DOTALL)[1])


@pytest.fixture
def browser(tmp_path) -> Browser:
    if CHROMIUM is None and "CI" in os.environ:
        pytest.fail("no chromium on the PATH, and CI promises one: these tests must not pass by being left out")
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which no Python package brings: apt-get install chromium")
    return Browser(tmp_path)


@pytest.fixture(scope="module")
def page() -> str:
    return report.render(frame.study(*study_with_trouble()))


def test_a_hostile_study_opens_without_a_complaint(browser, page):
    document = browser.open(page)

    assert "132 of 132 cells" in document
    assert browser.console == ""
    assert document.count('<tr class="cell">') == 132


def test_an_injected_script_does_not_run(browser, page):
    injected = page.replace("</main>", "<script>document.title = 'taken'</script></main>")

    document = browser.open(injected)

    assert titled(document) == "cifar_cpu <b> – pabench"
    assert "Content Security Policy" in browser.console
    assert "132 of 132 cells" in document


def test_a_link_restores_its_filter_and_its_order(browser, page):
    document = browser.open(page, "#model=resnet20&sparsity=0.99&sort=top1")

    assert "21 of 132 cells" in document
    body = document[document.index('id="cells-table"') :]
    assert re.findall(r'aria-sort="(\w+)"', body).count("ascending") == 1
    shown = [re.findall(r"<td[^>]*>([^<]*)</td>", row)[4] for row in re.findall(r'<tr class="cell">.*?</tr>', body)]
    assert shown[:3] == ["10.00", "10.00", "10.00"]
    assert shown[20] == "–"
    assert shown[:20] == sorted(shown[:20], key=float)


def test_the_table_can_be_filtered_by_ablation(browser):
    expected = cells(
        [CRITERIA["snip"], CRITERIA["grasp"]], models=["resnet20"], seeds=2, ablations=["shuffle", "invert"]
    )
    page = report.render(frame.study(manifest(expected), {c.key: record(c) for c in expected}))
    cell = next(c for c in expected if c.ablation == "invert")

    shuffled = browser.open(page, "#ablation=shuffle")
    assert "12 of 38 cells" in shuffled
    assert [browser.console, len(re.findall(r"<td[^>]*>shuffle</td>", shuffled))] == ["", 12]
    assert "14 of 38 cells" in browser.open(page, "#ablation=none")
    opened = html.unescape(browser.open(page, f"#cell={cell.key[:12]}"))
    assert f'<a href="#cell={cell.parent().key[:16]}">its plain cell</a>' in opened
    assert "--only sparsity=0.8 --only seed=0 --only ablation=invert" in opened


def test_a_link_to_a_cell_opens_all_that_is_known_of_it(browser, page):
    cell = next(c for c in cells() if c.title == "cifar10 / vgg11_bn / magnitude 0.99 / seed 0")

    document = html.unescape(browser.open(page, f"#cell={cell.key[:12]}"))

    assert "DivergedError: epoch 3: the loss is nan" in document
    assert (
        "pabench run suites/synthetic.yaml -o results --only dataset=cifar10 --only model=vgg11_bn "
        "--only criterion=magnitude --only sparsity=0.99 --only seed=0 --retry failed"
    ) in document


def test_filtering_by_hand_writes_the_link(browser, page):
    document = browser.open(
        page,
        act="""
        const form = document.getElementById('filters');
        form.elements.status.value = 'failed';
        form.elements.status.dispatchEvent(new Event('input', {bubbles: true}));
        document.title = location.hash + ' ' + document.querySelectorAll('tr.cell').length;""",
    )

    assert titled(document) == "#status=failed 2"


def test_a_row_opens_and_closes_from_its_button(browser, page):
    document = browser.open(
        page,
        act="""
        const open = document.querySelector('#cells-table .open'), seen = [];
        for (let i = 0; i < 2; i++) {
          open.click();
          seen.push(open.getAttribute('aria-expanded'), document.querySelectorAll('tr.detail').length);
        }
        document.title = seen.join(' ');""",
    )

    assert titled(document) == "true 1 false 0"


def test_the_csv_holds_the_filtered_rows_and_no_formula(browser):
    expected = cells(models=["resnet20"], seeds=1)
    records = {c.key: record(c, message='=HYPERLINK("http://x")') for c in expected}
    page = report.render(frame.study(manifest(expected), records))

    document = browser.open(
        page,
        "#criterion=snip&sparsity=0.8",
        act="""
        let blob; URL.createObjectURL = b => (blob = b, 'data:,');
        document.getElementById('csv').click();
        document.title = await blob.text();""",
    )

    header, row = titled(document).strip().split("\n")
    assert header.startswith("dataset,model,criterion,sparsity,seed,status,kind,message,flags,top1,")
    assert row.startswith("""cifar10,resnet20,snip,0.8,0,ok,,"'=HYPERLINK(""http://x"")",,""")


def test_the_switch_turns_the_page_dark_and_text_in_figures_with_it(browser, page):
    document = browser.open(
        page,
        "#theme=light",
        act="""
        const ink = () => getComputedStyle(document.querySelector('svg.figure text')).fill, light = ink();
        document.getElementById('theme').click();
        document.title = [light, ink(), getComputedStyle(document.body).backgroundColor].join(' / ');""",
    )

    assert titled(document) == "rgb(27, 31, 36) / rgb(228, 231, 235) / rgb(20, 23, 28)"


def test_ten_thousand_cells_filter_and_sort_within_a_tenth_of_a_second(browser):
    expected = cells(sparsities=[0.8, 0.9, 0.95, 0.98, 0.99], seeds=193)[:10_000]
    page = report.render(frame.study(manifest(expected), {c.key: record(c) for c in expected}))

    document = browser.open(
        page,
        act="""
        const form = document.getElementById('filters'), times = [];
        for (const text of ['snip 95', 'res', 'grasp', 'vgg11 99']) {
          form.elements.q.value = text;
          form.dispatchEvent(new Event('input'));
          document.querySelector('#cells-table thead th:nth-child(7) button').click();
          times.push(+document.getElementById('matches').dataset.milliseconds);
        }
        document.title = Math.min(...times) + ' ' + document.getElementById('matches').textContent;""",
    )

    milliseconds, matches = titled(document).split(" ", 1)
    assert re.fullmatch(r"\d+ of 10000 cells", matches)
    assert 0 < float(milliseconds) < 100
