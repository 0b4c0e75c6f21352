"""Pages say what was checked, run nothing but their own script, and show hostile names as the text they are."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import json
import re
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pabench.leaderboard import site
from pabench.leaderboard.boards import Badge, boards
from pabench.leaderboard.compute import Compute, Watts
from pabench.leaderboard.verification.sampling import row
from pabench.report import frame
from pabench.suite.specs import CriterionSpec

from .. import synthetic
from .test_boards import grid, published

pytestmark = pytest.mark.usefixtures("quick_reports")


def pages(study, title, author, claims=()):
    """The site of one study."""
    about = site.About(title, [author], claims=claims)
    tables = site.of_studies([study], about)
    return tables | site.pages([study], boards([study]), about, "2026-11-30", tables=tables)


def texts(page: bytes) -> str:
    """What a page shows, without tags."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", page.decode(), flags=re.S))


@pytest.fixture(scope="module")
def files(quick_reports):
    cells = grid("random", "snip", "grasp", "synflow")
    known = {cell.criterion.name: row(cell) for cell in cells if cell.criterion}
    badges = {known["snip"]: Badge(1, "masks re-derived"), known["synflow"]: Badge(2, "trained again")}
    return pages(published(cells, badges=badges), "Boards", "Ada Lovelace")


def test_the_code_has_the_licence_that_its_package_states():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]

    assert project["license"] == site.CODE_LICENCE


def test_the_front_page_says_what_the_studies_took_and_under_what_terms():
    took = Compute(12, {"cpu": {"scoring": 100.0, "training": 7000.0, "evaluation": 100.0}})
    study = replace(published(grid("random", "snip")), compute=took)
    about = site.About("Boards", licence="CC0-1.0", watts=Watts(cpu=500))

    made = site.pages([study], boards([study]), about, "2026-11-30", tables={})
    shown = texts(made["index.html"])

    # 7,200 s of a core of 500 W are 1 kWh
    assert "All studies together: 12 trainings, 2 h 0 min of CPU cores" in shown
    assert "about 1 kWh" in shown
    assert "hours of a processor × 500 W a CPU core and 200 W a GPU" in shown
    assert "may be used under CC0-1.0 : that is the choice of those who publish it" in shown
    assert "Nobody has computed these results again" in shown
    assert 'license: "CC0-1.0"' in made["CITATION.cff"].decode()
    assert json.loads(made["data/v1/studies.json"])[0]["compute"]["kwh"] == 1.0
    (board,) = [texts(data) for path, data in made.items() if path.startswith("boards/")]
    assert "dataset from CIFAR-10; licence: none stated; Krizhevsky 2009" in board
    assert "claims.html" not in made


def test_the_page_of_a_study_says_the_same(monkeypatch):
    given = []
    monkeypatch.setattr(site, "render", lambda study, more: str(given.append(more)))
    study = replace(published(grid("snip")), compute=Compute(3, {"gpu": {"training": 3600.0}}, banked=2))

    site.of_studies([study], site.About("Boards"))

    ((terms,),) = given
    shown = texts(terms.html.encode())
    assert "Trainings: 3. Processors: 1 h 0 min of GPUs (training 1 h 0 min); about 0.2 kWh of energy." in shown
    assert "2 cells taken from another study are not in it." in shown
    assert "Results and figures: CC-BY-4.0" in shown


def test_badges_differ_in_words_and_in_shape(files):
    (page,) = [data for path, data in files.items() if path.startswith("boards/")]
    shown = texts(page)

    assert re.search(r"snip ◐ mask-verified", shown)
    assert re.search(r"synflow \(steps=100\) ● reproduced", shown)
    assert re.search(r"grasp ○ self-reported", shown)


def test_pages_ask_for_nothing_and_run_the_one_script_that_their_policy_allows(files):
    class Found(HTMLParser):
        def __init__(self):
            super().__init__()
            self.links, self.tags = [], set()

        def handle_starttag(self, tag, attributes):
            self.tags.add(tag)
            self.links += [value for name, value in attributes if name in ("src", "href")]

    for path, data in files.items():
        if path.endswith(".html") and not path.startswith("studies/"):
            found = Found()
            found.feed(data.decode())
            assert not found.tags & {"img", "iframe", "link", "object"}
            outside = {link for link in found.links if re.match(r"[a-z]+:|/", link)}
            papers = {f"https://arxiv.org/abs/{n}" for n in ("1810.02340", "2002.07376", "2006.05467", "2202.02643")}
            licences = {f"https://spdx.org/licenses/{name}.html" for name in ("Apache-2.0", "CC-BY-4.0")}
            cifar = {"https://www.cs.toronto.edu/~kriz/cifar.html"}
            front = licences | cifar if path == "index.html" else set()
            assert outside == (set() if path in ("pai-v1.html", "datasheet.html") else papers | front)
            for tag in ("style", "script"):
                (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", data.decode(), re.S)
                (sha,) = re.findall(rf"{tag}-src 'sha256-([^']+)'", html.unescape(data.decode()))
                assert base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode() == sha


def test_a_site_defines_its_numbers_and_every_board_leads_there(files):
    """Who has nothing but the folder can read the protocol, as a page and as text."""
    (board,) = [data.decode() for path, data in files.items() if path.startswith("boards/")]

    assert '<dt>protocol</dt><dd><a href="../pai-v1.html">pai-v1</a></dd>' in board
    assert "N − floor(sparsity · N) are kept" in files["pai-v1.md"].decode()
    assert "N − floor(sparsity · N) are kept" in texts(files["pai-v1.html"])
    assert '<h2 id="changes">Changes</h2>' in files["pai-v1.html"].decode()
    assert "What the data are and are not good for: datasheet" in texts(files["index.html"]).replace(" .", "")


def test_the_command_that_adds_a_criterion_keeps_those_of_the_suite(files):
    """With `-c` it would be alone in its table. What was set when the study was run stands before it."""
    command = "data/v1/suites/one.yaml --set criteria.+=mine --plugin criteria/mine.py --bank . -o results/mine"
    cells = grid("random", "snip")
    known = published(cells)
    known.study.manifest["overrides"] = ["criteria=[random, snip]"]
    (changed,) = [data for path, data in pages(known, "Boards", "A").items() if path.startswith("boards/")]
    (board,) = [data for path, data in files.items() if path.startswith("boards/")]

    assert f"pabench run {command}" in html.unescape(board.decode())
    before, _, after = command.partition(" ")
    assert f"pabench run {before} --set 'criteria=[random, snip]' {after}" in html.unescape(changed.decode())


def test_a_board_as_csv_and_json_has_the_numbers_of_its_page(files):
    (name,) = [path for path in files if path.startswith("data/v1/boards/") and path.endswith(".json")]
    rows = {r["criterion"]: r for r in json.loads(files[name])["rows"]}
    table = {r["criterion"]: r for r in csv.DictReader(files[name.replace(".json", ".csv")].decode().splitlines())}

    assert rows["snip"]["checked"] == table["snip"]["checked"] == "mask-verified"
    assert float(table["snip"]["top1_0.8"]) == pytest.approx(rows["snip"]["top1"]["0.8"]["mean"])
    assert rows["random"]["ok"] == 9
    assert f"{rows['snip']['top1']['0.8']['mean']:.2f}" in files[f"boards/{Path(name).stem}.html"].decode()


def test_a_board_has_the_rates_of_failed_blocks_and_collapsed_cells():
    """snip is at chance in one of three seeds at one sparsity, and magnitude fails in one: 1 of 3, 0.8 % to 90.6 %."""
    names = [synthetic.CRITERIA[name] for name in ("random", "snip", "magnitude")]
    cells = synthetic.cells(names, models=("resnet20",), sparsities=(0.8, 0.9))

    def record(cell):
        name = cell.criterion.name if cell.criterion else ""
        if cell.seed == 0 and cell.sparsity == 0.9 and name == "magnitude":
            return synthetic.failed(cell)
        fell = cell.seed == 0 and cell.sparsity == 0.9 and name == "snip"
        return synthetic.with_top1(lambda c: 10.0)(cell) if fell else synthetic.record(cell)

    study = frame.study(synthetic.manifest(cells), {c.key: record(c) for c in cells})
    files = pages(replace(published(cells), study=study), "Boards", "A")

    (name,) = [path for path in files if path.startswith("data/v1/boards/") and path.endswith(".json")]
    rows = {row["criterion"]: row for row in json.loads(files[name])["rows"]}
    rate = {"count": 1, "n": 3, "low": pytest.approx(0.0084, abs=1e-4), "high": pytest.approx(0.9057, abs=1e-4)}
    assert (rows["snip"]["collapsed"]["0.9"], rows["magnitude"]["failed_blocks"]) == (rate, rate)
    assert (rows["snip"]["collapsed"]["0.8"]["count"], rows["snip"]["failed_blocks"]["count"]) == (0, 0)
    page = files[f"boards/{Path(name).stem}.html"].decode()
    assert '<small class="warn">1 of 3 collapsed</small> <small>33 % [0.8, 90.6]</small>' in page
    assert '<td class="num warn">1 of 3 <small>33 % [0.8, 90.6]</small></td>' in page


def test_hostile_names_are_escaped_and_are_no_formula():
    hostile = [CriterionSpec("<script>alert(1)</script>", version=1), CriterionSpec("=cmd|'/c calc'!A1", version=1)]
    cells = synthetic.cells([synthetic.CRITERIA["random"], *hostile], models=("resnet20",))
    made = pages(published(cells), "<b>Boards</b>", '"Eve"\n  evil: yes')

    for path, data in made.items():
        if path.endswith(".html"):
            assert b"<script>alert" not in data
            assert b"<b>Boards" not in data
    table = next(data for path, data in made.items() if path.startswith("data/v1/boards/") and path.endswith(".csv"))
    assert b"\n'=cmd" in table
    assert b"\n  evil" not in made["CITATION.cff"]


def test_the_front_matter_is_what_a_static_space_needs(files):
    assert files["README.md"].decode().startswith('---\ntitle: "Boards"\nsdk: static\napp_file: index.html\n')
    assert files[".nojekyll"] == b""
    assert '- name: "Ada Lovelace"' in files["CITATION.cff"].decode()
