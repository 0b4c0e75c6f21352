"""A leaderboard site: only what compares stands together, badges are earned, and nothing of others is touched."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pabench.errors import DataError, RefusedError, SuiteError
from pabench.leaderboard import boards as comparable, site
from pabench.leaderboard.boards import Badge, Published, boards
from pabench.leaderboard.publish import publish
from pabench.leaderboard.submission import submit
from pabench.leaderboard.verification.sampling import place, row
from pabench.leaderboard.verification.verify import verify
from pabench.report import frame
from pabench.store.envelope import seal, unseal
from pabench.suite.specs import CriterionSpec

from .. import synthetic
from ..forgery import Forgery


@pytest.fixture(autouse=True, scope="module")
def quick_reports():
    """A study's page takes seconds, and is tested in test_report.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site, "render", lambda study: f"<!doctype html><title>{study.manifest['name']}</title>")
        yield


def published(cells, slug="one", *, badges=None, **changes):
    """A study of synthetic records; `changes` are of every record."""
    records = {cell.key: synthetic.record(cell, **changes) for cell in cells}
    study = frame.study(synthetic.manifest(cells, slug), records)
    return Published(slug, f"Study {slug}", "d" * 64, study, badges or {})


def pages(study, title, author):
    """The site of one study."""
    return site.pages([study], boards([study]), title, [author])


def grid(*names, **options):
    criteria = [synthetic.CRITERIA.get(name) or CriterionSpec(name, version=1) for name in names]
    return synthetic.cells(criteria, models=options.pop("models", ("resnet20",)), **options)


def texts(page: bytes) -> str:
    """What a page shows, without tags."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", page.decode(), flags=re.S))


# --- what may stand together ------------------------------------------------------------------------------------------


def test_two_studies_of_one_block_share_a_board_and_a_common_cell_counts_once():
    (only,) = boards([published(grid("random", "snip"), "one"), published(grid("random", "mine"), "two")])

    # 3 seeds of dense + 3 criteria at 3 sparsities; dense and random of both studies are the same cells
    assert len(only.frame) == 3 + 3 * 3 * 3
    assert sorted(set(only.frame["criterion"])) == ["dense", "mine", "random", "snip"]
    assert only.studies["random"] == ["one", "two"]
    assert only.remarks == ["two has 12 cells that others have: with equal accuracies."]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c: replace(c, recipe=replace(c.recipe, epochs=2)), "recipe epochs 160 here, 2 there"),
        (lambda c: replace(c, dataset=replace(c.dataset, fingerprint="0" * 64)), "dataset content ffffffffffff here"),
        (lambda c: replace(c, scoring=replace(c.scoring, dtype="float32")), "scores in float64 here, float32 there"),
        (lambda c: replace(c, protocol="pai-v2"), "protocol pai-v1 here, pai-v2 there"),
        (lambda c: replace(c, seed=c.seed + 10), "no seed in common"),
    ],
)
def test_what_does_not_compare_is_on_another_board_which_says_why(change, why):
    one = published(grid("random", "snip"), "one")
    other = published([change(cell) for cell in grid("random", "mine")], "two")

    first, second = boards([one, other])
    ((apart, told),) = first.apart
    assert apart is second
    assert why in told
    assert first.slug != second.slug


def test_other_sparsities_are_another_board():
    first, _ = boards([published(grid("random"), "one"), published(grid("random", sparsities=(0.8, 0.95)), "two")])

    assert first.apart[0][1] == "sparsities 0.8, 0.95, 0.99 here, 0.8, 0.95 there"


def test_the_same_seeds_with_other_weights_are_another_board():
    """Another version of torch draws other weights: nothing is paired, whatever the seeds are called."""
    pairing = {"weights": "0" * 64, "order": "1" * 64, "augmentation": "2" * 64, "scoring_batch": ""}
    first, _ = boards([published(grid("random"), "one"), published(grid("mine"), "two", pairing=pairing)])

    assert first.apart[0][1] == "the same seeds gave other weights, order, augmentation, so that nothing is paired"


def test_two_criteria_of_one_name_are_two_rows():
    edited = replace(synthetic.CRITERIA["snip"], source="e" * 64)
    one = published(grid("random", "snip"), "one")
    other = published(synthetic.cells([edited], models=("resnet20",)), "two")

    (only,) = boards([one, other])
    assert set(only.frame["criterion"]) == {"dense", "random", "snip", "snip · two"}


def test_runs_of_one_cell_that_differ_are_said_and_the_first_is_shown():
    cells = grid("random")
    one = published(cells, "one")
    records = {c.key: synthetic.record(c) for c in cells}
    key = next(c.key for c in cells if c.criterion)
    records[key]["result"]["top1"] += 1
    other = replace(one, slug="two", study=frame.study(synthetic.manifest(cells, "two"), records))

    (only,) = boards([one, other])
    dispute = "another accuracy than in one, by up to 1.00 points"
    told = f"1 of them with {dispute}; what was checked further is shown, else the first"
    assert only.remarks == [f"two has 12 cells that others have: {told}."]
    assert only.disputed == [f"two has 1 cell with {dispute}"]
    assert float(only.frame.set_index("key")["top1"][key]) == one.study.records[key]["result"]["top1"]


def test_a_copy_with_other_numbers_does_not_replace_what_was_verified_whatever_comes_first():
    cells = grid("random", "snip")
    (known,) = {row(c) for c in cells if c.criterion and c.criterion.name == "snip"}
    records = {c.key: synthetic.record(c) for c in cells}
    for record in records.values():
        record["result"]["top1"] = 99.0
    copy = replace(published(cells, "aaa"), study=frame.study(synthetic.manifest(cells, "aaa"), records))
    honest = published(cells, "honest", badges={known: Badge(1, "masks re-derived")})

    (only,) = boards([copy, honest])
    shown = only.frame.groupby("criterion")["study"].unique().map(list).to_dict()
    # dense has no row of its own: it is of the study that was checked further
    assert shown == {"dense": ["honest"], "snip": ["honest"], "random": ["aaa"]}
    (told,) = only.disputed
    assert told.startswith("honest has 21 cells with another accuracy than in aaa, by up to")

    (without,) = boards([replace(copy, rejected="rejected at level 4"), published(cells, "honest")])
    assert set(without.frame["study"]) == {"honest"}
    assert without.frame["top1"].max() < 99


def test_a_finished_cell_is_shown_before_one_that_failed_elsewhere():
    """snip failed in one (9 cells) and finished in two, dense and random are equal: 21 cells of both, none is lost."""
    cells = grid("random", "snip")
    records = {
        c.key: (synthetic.failed if c.criterion and c.criterion.name == "snip" else synthetic.record)(c) for c in cells
    }
    one = replace(published(cells, "one"), study=frame.study(synthetic.manifest(cells, "one"), records))
    two = published(cells, "two")

    for order in ([one, two], [two, one]):
        (only,) = boards(order)
        assert len(only.frame) == 21
        assert set(only.frame["status"]) == {"ok"}
        snip = only.frame[only.frame["criterion"] == "snip"]
        assert snip["study"].tolist() == ["two"] * 9
        told = "9 of them finished in one study alone, which is shown"
        assert only.remarks == [f"{order[1].slug} has 21 cells that others have: {told}."]


def badge_of(*studies: Published) -> Badge:
    (only,) = boards(studies)
    return only.badges["snip"]


def test_a_row_has_the_least_badge_of_the_studies_whose_results_it_shows():
    everything = grid("random", "snip")
    of_one_seed, more = [c for c in everything if not c.seed], grid("random", "snip", seeds=4)
    (known,) = {row(c) for c in everything if c.criterion and c.criterion.name == "snip"}
    again = {known: Badge(2, "trained again")}

    # of two, which was checked further, one seed is shown, and the others of one
    both = badge_of(published(everything, "one"), published(of_one_seed, "two", badges=again))
    assert both == Badge(0, f"one: {Badge().detail}; two: trained again")
    # of two, which has nine of its cells from one, the fourth seed alone is shown
    both = badge_of(published(everything, "one", badges=again), published(more, "two"))
    assert both == Badge(0, f"one: trained again; two: {Badge().detail}")
    assert badge_of(published(everything, "one", badges=again), published(of_one_seed, "two")) == again[known]


def test_another_environment_is_named():
    other = published(grid("mine"), "two", environment={**synthetic.ENVIRONMENT, "device": "cuda: Example 9"})
    (only,) = boards([published(grid("random"), "one"), other])

    assert "two ran with torch 2.14.1, cuda: Example 9" in only.remarks[-1]


def test_all_boards_together_hold_the_criteria_that_are_on_each():
    found = boards([published(grid("random", "snip", "mine")), published(grid("random", "snip", models=("vgg",)), "b")])

    assert comparable.on_all(found) == ["random", "snip"]
    assert set(comparable.together(found)["criterion"]) == {"random", "snip"}


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files():
    cells = grid("random", "snip", "grasp", "synflow")
    known = {cell.criterion.name: row(cell) for cell in cells if cell.criterion}
    badges = {known["snip"]: Badge(1, "masks re-derived"), known["synflow"]: Badge(2, "trained again")}
    return pages(published(cells, badges=badges), "Boards", "Ada Lovelace")


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
            assert not found.tags & {"img", "iframe", "link", "form", "object"}
            assert not [link for link in found.links if re.match(r"[a-z]+:|/", link)]
            for tag in ("style", "script"):
                (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", data.decode(), re.S)
                (sha,) = re.findall(rf"{tag}-src 'sha256-([^']+)'", html.unescape(data.decode()))
                assert base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode() == sha


def test_a_board_as_csv_and_json_has_the_numbers_of_its_page(files):
    (name,) = [path for path in files if path.startswith("data/v1/boards/") and path.endswith(".json")]
    rows = {r["criterion"]: r for r in json.loads(files[name])["rows"]}
    table = {r["criterion"]: r for r in csv.DictReader(files[name.replace(".json", ".csv")].decode().splitlines())}

    assert rows["snip"]["checked"] == table["snip"]["checked"] == "mask-verified"
    assert float(table["snip"]["top1_0.8"]) == pytest.approx(rows["snip"]["top1"]["0.8"]["mean"])
    assert rows["random"]["ok"] == 9
    assert f"{rows['snip']['top1']['0.8']['mean']:.2f}" in files[f"boards/{Path(name).stem}.html"].decode()


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


# --- publishing -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def out(submission, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "site"
    publish([str(submission)], folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_manifest_has_the_hash_of_every_other_file(out):
    stated = json.loads((out / "data/v1/manifest.json").read_text())["files"]
    there = {path: hashlib.sha256(data).hexdigest() for path, data in contents(out).items()}
    del there["data/v1/manifest.json"]

    assert stated == there
    assert {"index.html", ".nojekyll", "CITATION.cff", "README.md", "studies/small/index.html"} <= set(there)


def test_links_between_pages_lead_somewhere(out):
    for page in [out / "index.html", *out.glob("boards/*.html")]:
        for target in re.findall(r'href="([^"#]+)', page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_a_site_made_again_is_the_same_to_the_byte(out, submission, tmp_path):
    publish([str(submission)], tmp_path / "again")

    assert contents(tmp_path / "again") == contents(out)


def test_a_results_folder_gives_the_site_of_its_submission(out, results, tmp_path):
    publish([str(results)], tmp_path / "site")

    assert contents(tmp_path / "site") == contents(out)


def test_publishing_over_a_site_changes_what_changed_and_leaves_what_others_wrote(out, submission, tmp_path):
    folder = shutil.copytree(out, tmp_path / "site")
    (folder / "CNAME").write_text("boards.example.org")
    (folder / "studies" / "notes.txt").write_text("mine")
    before = contents(folder)

    again = publish([str(submission)], folder)
    assert (again.changed, again.removed) == (0, 0)

    renamed = publish([f"other={submission}"], folder)
    after = contents(folder)
    assert renamed.removed > 14
    assert not [path for path in after if "/small/" in path]
    assert after["CNAME"] == b"boards.example.org"
    assert after["studies/notes.txt"] == b"mine"
    board = next(path for path in before if path.startswith("boards/"))
    assert board in after  # its permalink stays


def test_a_file_of_somebody_else_is_not_written_over(submission, tmp_path):
    (tmp_path / "index.html").write_text("my home page")
    with pytest.raises(RefusedError, match=r"index.html: not written by `pabench publish`"):
        publish([str(submission)], tmp_path)
    assert contents(tmp_path) == {"index.html": b"my home page"}

    (tmp_path / "index.html").rename(tmp_path / "README.md")
    made = publish([str(submission)], tmp_path)
    assert (tmp_path / "README.md").read_text() == "my home page"
    assert "left as it is" in made.notes[-1]


def test_a_submission_that_does_not_pass_is_not_published(submission, tmp_path):
    forgery = Forgery(submission, tmp_path / "forged")
    forgery.both(forgery.record(), lambda r: r["receipt"].update(kept=5021))

    with pytest.raises(RefusedError, match=r"counted in the mask"):
        publish([str(forgery.listing())], tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_file_that_was_edited_since_is_not_written_over(out, submission, tmp_path):
    folder = shutil.copytree(out, tmp_path / "site")
    (folder / "README.md").write_text("my front page")
    made = publish([str(submission)], folder)
    assert (folder / "README.md").read_text() == "my front page"
    assert made.notes[-1].endswith("README.md: written or edited by somebody else, left as it is")

    page = folder / "index.html"
    page.write_text(page.read_text() + "<!-- mine -->")
    before = contents(folder)
    with pytest.raises(RefusedError, match=r"index.html: edited since `pabench publish` wrote it; move it away"):
        publish([f"other={submission}"], folder)
    assert contents(folder) == before


def test_a_site_is_not_written_into_what_it_is_made_of(submission, tmp_path):
    mine = shutil.copytree(submission, tmp_path / "mine")
    before = contents(tmp_path)
    for out in (mine, mine / "site", tmp_path):
        with pytest.raises(RefusedError, match="keep the site and what it is made of apart"):
            publish([str(mine)], out)
    with pytest.raises(SuiteError, match=r"study.json: a file; name the folder of the site"):
        publish([str(submission)], mine / "study.json")
    assert contents(tmp_path) == before


def test_a_results_folder_that_changes_meanwhile_is_not_published(results, tmp_path, monkeypatch):
    from pabench.leaderboard import publish as module

    mine = shutil.copytree(results, tmp_path / "mine")

    def slowly(folder, out, **options):
        made = submit(folder, out, **options)
        next(mine.glob("records/*.json")).unlink()
        return made

    monkeypatch.setattr(module, "submit", slowly)
    with pytest.raises(RefusedError, match="mine: changed while it was published"):
        publish([str(mine)], tmp_path / "site")


def test_what_no_check_foresaw_is_an_error_that_names_the_folder(submission, tmp_path, monkeypatch):
    def broken(study):
        raise KeyError("top1")

    monkeypatch.setattr(site, "render", broken)
    with pytest.raises(DataError, match=r"mine: cannot be shown \(KeyError: 'top1'\)"):
        publish([f"mine={submission}"], tmp_path / "site")
    monkeypatch.setattr(frame, "study", lambda *_: broken(None))
    with pytest.raises(DataError, match=rf"{submission}: cannot be shown \(KeyError"):
        publish([str(submission)], tmp_path / "site")
    assert not (tmp_path / "site").exists()


def checked(folder: Path, path: Path, **changes) -> Path:
    """A record of a verification of levels 3 and 4 that looked at the row of snip, as `verify --record` writes it."""
    found = verify(folder)
    snip = next(c for c in found.found.cells.values() if c.criterion and c.criterion.name == "snip")
    outcome = {"key": snip.key, "title": snip.title, "row": row(snip), "place": place(snip), "outcome": "equal"}
    levels = [level.to_json() for level in found.levels]
    levels += [{"level": 3, "passed": True, "flaws": [], "notes": [], "outcomes": [outcome]}]
    levels += [{"level": 4, "passed": True, "outcomes": [{**outcome, "fresh": [50.0, 51.0, 52.0], "detectable": 4.2}]}]
    path.write_bytes(seal({**found.to_json(), "levels": levels, "passed": 4, **changes}))
    return path


def badges(folder: Path) -> dict[str, str]:
    (path,) = folder.glob("data/v1/boards/*.json")
    return {r["criterion"]: r["checked"] for r in json.loads(path.read_text())["rows"]}


def test_a_badge_is_of_the_rows_that_were_looked_at(submission, tmp_path):
    publish([str(submission)], tmp_path / "site", verified=[checked(submission, tmp_path / "v.json")])

    assert badges(tmp_path / "site") == {"snip": "reproduced", "random": "self-reported", "steep": "self-reported"}
    (page,) = (tmp_path / "site").glob("boards/*.html")
    assert "3 trainings with fresh seeds agree; a difference of 4.2 points would show (80 %)" in texts(
        page.read_bytes()
    )


@pytest.mark.parametrize("digest", ["0" * 64, "f" * 64])
def test_a_verification_of_another_state_earns_nothing(submission, tmp_path, digest):
    made = publish(
        [str(submission)], tmp_path / "site", verified=[checked(submission, tmp_path / "v.json", digest=digest)]
    )

    assert set(badges(tmp_path / "site").values()) == {"self-reported"}
    assert "is of none of these studies as they are now: not used" in made.notes[0]


def test_a_verification_is_stale_once_a_file_of_the_submission_changes(submission, tmp_path):
    record = checked(submission, tmp_path / "v.json")
    forgery = Forgery(submission, tmp_path / "changed")
    forgery.change(forgery.record(), lambda r: r.update(created="2030-01-01T00:00:00Z"))

    publish([str(forgery.listing())], tmp_path / "site", verified=[record])
    assert set(badges(tmp_path / "site").values()) == {"self-reported"}


def test_an_altered_verification_is_refused(submission, tmp_path):
    record = checked(submission, tmp_path / "v.json")
    record.write_bytes(record.read_bytes().replace(b"equal", b"Equal"))

    with pytest.raises(DataError, match="no record of a verification"):
        publish([str(submission)], tmp_path / "site", verified=[record])


def test_a_level_that_failed_earns_nothing(submission, tmp_path):
    record = checked(submission, tmp_path / "v.json")
    data = unseal(record.read_bytes())
    data["levels"][2]["passed"] = False
    record.write_bytes(seal(data))

    publish([str(submission)], tmp_path / "site", verified=[record])
    assert set(badges(tmp_path / "site").values()) == {"self-reported"}


FLAW = {"text": "level 4: records/x.json: expected no difference", "unable": False}


def failing(record: Path, path: Path, *, level: int = 4, seed: int = 7, **flaw) -> Path:
    """The record of a verification that found a flaw at a level."""
    data = unseal(record.read_bytes())
    data["levels"][level - 1] |= {"passed": False, "flaws": [{**FLAW, **flaw}]}
    path.write_bytes(seal({**data, "levels": data["levels"][:level], "passed": level - 1, "seed": seed}))
    return path


@pytest.mark.parametrize("level", [3, 4])
def test_a_verification_that_rejected_takes_all_badges_away_and_the_site_says_so(submission, tmp_path, level):
    """Whatever other records say: one sample that proves something wrong is not made right by one that does not."""
    good = checked(submission, tmp_path / "a.json")
    bad = failing(good, tmp_path / "b.json", level=level)

    made = publish([str(submission)], tmp_path / "site", verified=[good, bad])

    assert set(badges(tmp_path / "site").values()) == {"self-reported"}
    said = f"rejected at level {level} by a verification with seed 7: level 4: records/x.json: expected no difference"
    assert made.notes == (f"{submission}: {said}; no row of it has a badge, and the site says so",)
    assert f"Rejected. {said}" in texts((tmp_path / "site" / "index.html").read_bytes())
    (page,) = (tmp_path / "site").glob("boards/*.html")
    assert f"snip: {said}" in texts(page.read_bytes())
    assert unseal(bad.read_bytes()) == json.loads((tmp_path / "site/data/v1/verifications/small.json").read_text())


def test_a_level_that_could_not_be_checked_takes_nothing_away(submission, tmp_path):
    good = checked(submission, tmp_path / "a.json")
    unable = failing(good, tmp_path / "b.json", unable=True)

    publish([str(submission)], tmp_path / "one", verified=[good, unable])
    assert badges(tmp_path / "one")["snip"] == "reproduced"
    publish([str(submission)], tmp_path / "two", verified=[unable])
    assert badges(tmp_path / "two")["snip"] == "mask-verified"


def test_a_cell_that_fails_here_too_earns_its_row_nothing(submission, tmp_path):
    record = checked(submission, tmp_path / "v.json")
    data = unseal(record.read_bytes())
    for level in data["levels"][2:]:
        level["outcomes"][0]["ended"] = True
    record.write_bytes(seal(data))

    publish([str(submission)], tmp_path / "site", verified=[record])
    assert set(badges(tmp_path / "site").values()) == {"self-reported"}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda r: r.pop("digest"), "digest"),
        (lambda r: r.update(levels=[5]), "levels.0"),
        (lambda r: r.update(seed="x"), "seed"),
        (lambda r: r["levels"][3]["outcomes"][0].pop("fresh"), "levels.3"),
        (lambda r: r["levels"][2].update(flaws=[{"text": "x"}]), "levels.2.flaws.0.unable"),
    ],
)
def test_a_sealed_record_of_another_shape_is_refused_in_one_line(submission, tmp_path, change, where):
    record = checked(submission, tmp_path / "v.json")
    data = unseal(record.read_bytes())
    change(data)
    record.write_bytes(seal(data))

    with pytest.raises(DataError, match=rf"v.json: no record of a verification; expected what .* wrote: {where}: "):
        publish([str(submission)], tmp_path / "site", verified=[record])


def test_two_studies_of_one_name_are_told_apart_by_the_publisher(submission, tmp_path):
    with pytest.raises(RefusedError, match="two studies are called 'small'"):
        publish([str(submission), str(submission)], tmp_path / "site")


def test_publishing_runs_no_code_of_a_submission(submission, tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; from pabench.leaderboard import site; from pabench.cli.main import app; "
        "site.render = lambda study: ''; "
        f"app(['publish', {str(submission)!r}, '-o', {str(tmp_path / 'site')!r}], standalone_mode=False); "
        "sys.exit(any(m in ('torch', 'timm') or m.startswith('pabench_plugin') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
