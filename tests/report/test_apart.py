"""Sections of other distributions are made in processes of their own, whatever those do."""

from __future__ import annotations

from pathlib import Path

import pytest

from pabench import registry
from pabench.report import apart, page
from pabench.report.folders import read

SECTION = """
import os, sys, time
from pabench.report.section import Section
{at_import}

class Theirs(Section):
    name, title, order = "theirs", "Theirs", 15

    def render(self, study):
        {when_made}
        return f"<p>{{len(study.frame)}} cells</p>"
"""


@pytest.fixture
def theirs(tmp_path, monkeypatch, fresh_registry):
    """`theirs(at_import, when_made)`: a distribution with a section of this code is installed."""

    def install(at_import="", when_made="pass"):
        info = tmp_path / "theirs-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[pabench.sections]\ntheirs = their_section\n")
        (tmp_path / "their_section.py").write_text(SECTION.format(at_import=at_import, when_made=when_made))
        monkeypatch.syspath_prepend(str(tmp_path))
        return "pabench.sections:their_section"

    return install


def test_a_section_of_others_stands_in_its_place_and_its_code_is_not_here(theirs, results):
    import sys

    theirs()
    found = page.sections(read(results))

    names = [one.name for one in found]
    assert names[0] == "overview"
    assert "theirs" in names[1:4]
    assert next(one.html for one in found if one.name == "theirs") == "<p>14 cells</p>"
    assert "their_section" not in sys.modules


@pytest.mark.parametrize(
    ("at_import", "when_made", "problem"),
    [
        ("os._exit(0)", "pass", "its process ended with code 0 and said nothing"),
        ("", "os._exit(7)", "its process ended with code 7 and said nothing"),
        ("", "os.kill(os.getpid(), 11)", "its process ended with code -11 and said nothing"),
        ("time.sleep(999)", "pass", "its process took longer than 4 s"),
        pytest.param("", "time.sleep(999)", "its process took longer than 4 s", marks=pytest.mark.slow),
        ("1 / 0", "pass", "ZeroDivisionError: division by zero"),
        ("", "raise ValueError('\\x1b[2Jno')", "ValueError"),
        ("", "return 'x' * 3_000_000", "its process said more than 2097152 bytes"),
        ("", "[os.write(n, b'no JSON') for n in range(3, 256) if os.path.exists(f'/proc/self/fd/{n}')]", "of use"),
    ],
)
def test_whatever_its_process_does_the_page_has_a_line_of_it_and_the_other_sections(
    theirs, results, monkeypatch, at_import, when_made, problem
):
    monkeypatch.setattr(apart, "SECONDS", 4.0 if "sleep" in at_import + when_made else 60.0)
    monkeypatch.setattr(apart, "MAX_BYTES", 2**21)
    theirs(at_import, when_made)

    found = page.sections(read(results))

    (one,) = [made for made in found if "their" in made.name]
    assert problem in one.problem
    assert "\n" not in one.problem
    assert "\x1b" not in one.problem
    assert not one.html
    assert len([made for made in found if made.html]) > 5
    assert one.problem.split(":")[0] in page.page("p", found)


def test_what_it_prints_goes_nowhere(theirs, results, capfd):
    theirs("", "print('x' * 10**7)")

    assert any(one.name == "theirs" and one.html for one in page.sections(read(results)))
    assert capfd.readouterr().out == ""


def test_its_figures_are_saved_where_all_are(theirs, results, tmp_path):
    theirs(
        "class P:\n    def save(self, folder):\n        (folder / 'a.svg').write_text('a'); return [folder / 'a.svg']"
    )
    code = (tmp_path / "their_section.py").read_text()
    (tmp_path / "their_section.py").write_text(f"{code}\n    def figures(self, study):\n        return [P()]\n")
    (tmp_path / "figures").mkdir()

    (made,) = apart.made(registry.offered("sections")[0], read(results), tmp_path / "figures")

    assert made.files == (Path(tmp_path / "figures" / "a.svg"),)
    assert made.problem == ""
