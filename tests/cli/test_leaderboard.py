"""The commands of the leaderboard: what they say, and their exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pabench.cli.leaderboard import SHOWN

from .test_main import pabench


@pytest.fixture(scope="module")
def submitted(finished, tmp_path_factory):
    folder, _ = finished
    target = tmp_path_factory.mktemp("submitted") / "mine"
    return target, pabench("submit", folder / "out", "-o", target)


def test_submit_says_where_how_much_and_the_digest_that_verify_finds(submitted):
    target, said = submitted
    made, digest = said.stdout.splitlines()[-2:]

    assert said.returncode == 0, said.stderr
    assert made.startswith(f"submission: {target} (2 cells, ")
    checked = pabench("verify", target)
    assert checked.returncode == 0
    first, ended, *levels = checked.stdout.splitlines()
    assert first == f"tiny: submission, {digest.replace(': ', ' ')}"
    assert ended == "  2 cells: 2 ok, 0 missing"
    assert [line for line in levels if line.startswith("level")] == [
        "level 1, well-formed: passed",
        "level 2, consistent: passed",
    ]


def test_a_folder_that_is_not_empty_is_left_alone(submitted, finished):
    target, _ = submitted

    said = pabench("submit", finished[0] / "out", "-o", target)

    assert said.returncode != 0
    assert str(target) in said.stderr
    assert said.stderr.count("\n") == 1


def test_an_altered_record_is_rejected_by_name(submitted, tmp_path):
    broken = shutil.copytree(submitted[0], tmp_path / "broken")
    (record,) = list((broken / "records").iterdir())[:1]
    record.write_bytes(record.read_bytes()[:-10])

    said = pabench("verify", broken)

    assert said.returncode == 4
    assert "level 1, well-formed: FAILED" in said.stdout
    assert record.name in said.stdout


def test_a_person_is_shown_some_flaws_and_told_how_many_there_are(submitted, tmp_path):
    littered = shutil.copytree(submitted[0], tmp_path / "littered")
    for n in range(SHOWN + 10):
        (littered / "records" / f"{n}.txt").write_text("")

    said = pabench("verify", littered)
    told = json.loads(pabench("verify", littered, "--json").stdout)

    level = told["levels"][0]
    assert len(level["flaws"]) > SHOWN
    assert f"  and {len(level['flaws']) - SHOWN} more (--json has all)" in said.stdout


def test_publish_says_what_it_wrote_and_what_changed(submitted, tmp_path):
    first = pabench("publish", submitted[0], "-o", tmp_path / "site")
    again = pabench("publish", submitted[0], "-o", tmp_path / "site")

    assert first.returncode == 0, first.stderr
    site, changed = first.stdout.splitlines()[-2:]
    assert site.startswith(f"site: {tmp_path / 'site' / 'index.html'} (")
    assert (tmp_path / "site" / "index.html").is_file()
    assert changed.endswith(", removed: 0")
    assert again.stdout.splitlines()[-1] == "changed: 0, removed: 0"


def test_an_engine_that_is_none_is_one_line(submitted):
    said = pabench("verify", submitted[0], "--engine", "nope")

    assert (said.returncode, said.stderr) == (2, "--engine nope: expected processes or inline\n")


def test_submit_and_publish_for_programs(finished, tmp_path):
    submitted = pabench("submit", finished[0] / "out", "-o", tmp_path / "made", "--json")
    published = pabench("publish", tmp_path / "made", "-o", tmp_path / "site", "--json")

    made, site = json.loads(submitted.stdout), json.loads(published.stdout)
    assert (submitted.returncode, published.returncode) == (0, 0)
    assert (made["folder"], made["cells"], made["missing"]) == (str(tmp_path / "made"), 2, 0)
    assert made["digest"] in pabench("verify", tmp_path / "made").stdout
    assert [f"note: {note}" for note in made["notes"]] == submitted.stderr.splitlines()
    assert site["index"] == str(tmp_path / "site" / "index.html")
    assert site["files"] == site["changed"] == sum(path.is_file() for path in (tmp_path / "site").rglob("*"))
    assert list(site) == ["folder", "files", "changed", "removed", "bytes", "notes", "index"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--watts", "tpu=3"], "--watts tpu=3: did you mean 'cpu'? known: cpu, gpu"),
        (["--watts", "cpu=lots"], "--watts cpu=lots: expected a number of watts above 0, as --watts cpu=12"),
        (["--watts", "gpu=0"], "--watts gpu=0: expected a number of watts above 0"),
        (["--watts", "cpu"], "--watts cpu: expected KIND=N, as in --watts cpu=12"),
    ],
)
def test_watts_are_numbers_of_a_processor(submitted, tmp_path, options, why):
    said = pabench("publish", submitted[0], "-o", tmp_path / "site", *options)

    assert said.returncode == 2
    assert why in said.stderr


def test_publish_takes_claims_watts_and_a_licence(submitted, tmp_path):
    claims = Path(__file__).parents[2] / "reports" / "published" / "claims.json"
    options = ("--claims", claims, "--watts", "cpu=7.5", "--licence", "CC0-1.0")

    said = pabench("publish", submitted[0], "-o", tmp_path / "site", *options)

    assert said.returncode == 0, said.stderr
    page = (tmp_path / "site" / "index.html").read_text()
    assert "7.5 W a CPU core and 200 W a GPU" in page
    assert "https://spdx.org/licenses/CC0-1.0.html" in page
    assert (tmp_path / "site" / "claims.html").is_file()
