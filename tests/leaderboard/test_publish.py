"""A published site: badges are earned, nothing of others is touched, and no code of a submission is run."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from pabench.errors import DataError, RefusedError, SuiteError
from pabench.leaderboard import site
from pabench.leaderboard.publish import publish
from pabench.leaderboard.submission import submit
from pabench.leaderboard.verification.sampling import place, row
from pabench.leaderboard.verification.verify import verify
from pabench.report import frame
from pabench.store.envelope import seal, unseal
from pabench.suite.digest import digest as whole

from ..forgery import Forgery
from .conftest import contents
from .test_rejudged import PUBLISHED
from .test_site import texts
from .verification.looking import HUGE

pytestmark = pytest.mark.usefixtures("quick_reports")


def test_the_manifest_has_the_hash_of_every_other_file(out):
    stated = json.loads((out / "data/v1/manifest.json").read_text())["files"]
    there = {path: hashlib.sha256(data).hexdigest() for path, data in contents(out).items()}
    del there["data/v1/manifest.json"]

    assert stated == there
    assert {"index.html", ".nojekyll", "CITATION.cff", "README.md", "studies/small/index.html"} <= set(there)
    assert {"croissant.json", "datasheet.md", "datasheet.html", "pai-v1.md", "pai-v1.html"} <= set(there)


def test_links_between_pages_lead_somewhere(out):
    for page in [*out.glob("*.html"), *out.glob("boards/*.html")]:
        for target in re.findall(r'href="(?!https:)([^"#]+)', page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_a_site_made_again_is_the_same_to_the_byte(out, submission, tmp_path):
    publish([str(submission)], tmp_path / "again")

    assert contents(tmp_path / "again") == contents(out)


def test_the_date_of_publication_stays_where_nothing_else_changes(out, submission, tmp_path, monkeypatch):
    from pabench.leaderboard import publish as module

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2031, 5, 6, tzinfo=tz)

    folder = shutil.copytree(out, tmp_path / "site")
    before = contents(folder)
    monkeypatch.setattr(module, "datetime", Later)

    assert publish([str(submission)], folder).changed == 0
    assert contents(folder) == before
    publish([str(submission)], folder, title="Another")
    assert "published 2031-05-06" in (folder / "index.html").read_text()
    assert json.loads((folder / "data/v1/manifest.json").read_text())["published"] == "2031-05-06"


def test_a_results_folder_gives_the_site_of_its_submission(out, results, tmp_path):
    publish([str(results)], tmp_path / "site")

    assert contents(tmp_path / "site") == contents(out)


def test_a_submission_that_does_not_pass_is_not_published(submission, tmp_path):
    forgery = Forgery(submission, tmp_path / "forged")
    forgery.both(forgery.record(), lambda r: r["receipt"].update(kept=5021))

    with pytest.raises(RefusedError, match=r"counted in the mask"):
        publish([str(forgery.listing())], tmp_path / "site")
    assert not (tmp_path / "site").exists()


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
    def broken(study, more=()):
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


@pytest.fixture(scope="module")
def small(submission, tmp_path_factory):
    """A site without masks, of a submission that was verified with them."""
    folder = tmp_path_factory.mktemp("small")
    publish([str(submission)], folder / "site", masks=False, verified=[checked(submission, folder / "v.json")])
    return folder / "site"


STUDY, RECORDS = "data/v1/studies/small", "data/v1/verifications"


def test_a_site_without_masks_is_made_again_from_what_it_holds(small, tmp_path):
    """Whose masks were left out, and which nobody may have any more."""
    publish([str(small / STUDY)], tmp_path / "site", masks=False, verified=[small / RECORDS])

    assert contents(tmp_path / "site") == contents(small)
    assert badges(tmp_path / "site")["snip"] == "reproduced"


def test_masks_that_no_recorded_verification_saw_are_asked_for(small, tmp_path):
    with pytest.raises(RefusedError, match="its masks are not here, and no record of a verification that saw them"):
        publish([str(small / STUDY)], tmp_path / "site")


def test_what_is_there_of_a_submission_without_masks_is_looked_at_again(small, tmp_path):
    forgery = Forgery(small / STUDY, tmp_path / "forged")
    forgery.change(forgery.record(), lambda r: r["result"].update(top1=99.5))

    with pytest.raises(RefusedError, match=r"rejects it:\n  level 1: records/[0-9a-f]{64}.json: sha256 in submission"):
        publish([str(forgery.folder)], tmp_path / "site", verified=[small / RECORDS])
    stated = json.loads((forgery.folder / "submission.json").read_text())
    for path in forgery.folder.glob("records/*.json"):
        stated["files"][f"records/{path.name}"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    stated["digest"] = whole({path: entry["sha256"] for path, entry in stated["files"].items()})
    (forgery.folder / "submission.json").write_text(json.dumps(stated))
    with pytest.raises(RefusedError, match="no record of a verification that saw them"):  # nor this state of it
        publish([str(forgery.folder)], tmp_path / "site", verified=[small / RECORDS])
    with pytest.raises(RefusedError, match="expected a mask file"):  # in a list without masks they are missed, too
        publish([str(forgery.listing())], tmp_path / "site", verified=[small / RECORDS])


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
    assert f"snip ○ self-reported {said}" in texts(page.read_bytes())
    assert f"small: {said}" in texts(page.read_bytes())
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


def of_dataset(submission: Path, folder: Path, **changes) -> Path:
    """A copy of a submission whose cells are of another dataset."""
    forgery = Forgery(submission, folder)
    forgery.cells(lambda cell: cell["dataset"].update(changes))
    forgery.means()
    return forgery.listing()


def test_one_title_for_two_contents_is_refused(submission, tmp_path):
    """A reader would take one for the other: same name, other images."""
    other = of_dataset(submission, tmp_path / "other", fingerprint="e" * 64)

    with pytest.raises(RefusedError) as refused:
        publish([str(submission), f"copy={other}"], tmp_path / "site")
    mine = json.loads((submission / "study.json").read_text())["cells"][0]["dataset"]["fingerprint"]
    assert str(refused.value) == (
        f"two datasets are called 'digits' and have different content: in small {mine[:16]} (digits), in copy "
        f"{'e' * 16} (digits); give one of them another `title:` in its suite, and run that again (no cell is computed "
        "anew)"
    )
    assert refused.value.exit_code == 4
    assert not (tmp_path / "site").exists()


def test_titles_that_sound_alike_are_one_title(submission, tmp_path):
    # a dataset of another kind, and its images, under a title that reads as the first one's name
    other = of_dataset(submission, tmp_path / "other", fingerprint="e" * 64, args={**CUT, "title": "Digits."})

    with pytest.raises(RefusedError, match=r"two datasets are called 'Digits\.' and have different content"):
        publish([str(submission), f"copy={other}"], tmp_path / "site")


CUT = {"train_per_class": 10, "test_per_class": 10}


def test_two_cuts_of_one_content_may_have_one_title_and_their_boards_say_what_differs(submission, tmp_path):
    other = Forgery(submission, tmp_path / "other")
    other.cells(lambda cell: cell["dataset"]["args"].update(train_per_class=9))
    other.study(lambda study: study.update(suite=study["suite"].replace("train_per_class: 10", "train_per_class: 9")))
    other.means()

    publish([str(submission), f"copy={other.listing()}"], tmp_path / "site")

    pages = [texts(page.read_bytes()) for page in (tmp_path / "site").glob("boards/*.html")]
    there = {said for page in pages for said in re.findall(r"dataset train_per_class .*? there", page)}
    assert there == {"dataset train_per_class 10 here, 9 there", "dataset train_per_class 9 here, 10 there"}


def test_publishing_runs_no_code_of_a_submission(submission, tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; from pabench.leaderboard import site; from pabench.cli.main import app; "
        "site.render = lambda study, more: ''; "
        f"app(['publish', {str(submission)!r}, '-o', {str(tmp_path / 'site')!r}, '--claims', {str(PUBLISHED)!r}], "
        "standalone_mode=False); "
        "sys.exit(any(m in ('torch', 'timm') or m.startswith('pabench_plugin') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_who_publishes_is_told_which_folder_breaks_the_page_and_where(submission, tmp_path):
    forgery = Forgery(submission, tmp_path / "forged")
    forgery.both(forgery.record(), lambda found: found["receipt"].update(rounds=HUGE))
    forgery.means()

    with pytest.raises(RefusedError, match=r"forged: not published(.|\n)*receipt\.rounds: expected whole numbers"):
        publish([str(forgery.listing())], tmp_path / "site")


def test_claims_are_on_the_front_page_as_their_values_judge_them(submission, tmp_path):
    told = json.loads(PUBLISHED.read_text())
    for one in told:
        one["state"] = "confirmed" if one["tests"] else one["state"]
    (tmp_path / "claims.json").write_text(json.dumps(told))

    made = publish([str(submission)], tmp_path / "site", claims=tmp_path / "claims.json")

    front = texts((tmp_path / "site" / "index.html").read_bytes())
    assert (
        "Beyond 99 % pruning in many rounds is better than in one, for SNIP and for SynFlow. contradicted accuracy at"
        in front
    )
    assert "claims.html" in (tmp_path / "site" / "index.html").read_text()
    assert [note.partition(" is said")[0].rpartition(" ")[2] for note in made.notes] == [
        "effective_sparsity",
        "labels_do_not_matter",
        "rounds_beat_one_shot",
    ]
    data = tmp_path / "site" / "data" / "v1"
    assert {one["name"]: one["state"] for one in json.loads((data / "claims.json").read_text())} == {
        one["name"]: one["state"] for one in json.loads(PUBLISHED.read_text())
    }
    assert "data/v1/claims.json" in json.loads((data / "manifest.json").read_text())["files"]
    # the site says what it was made of, and gives the same site again
    again = publish([str(submission)], tmp_path / "site", claims=data / "claims.json")
    assert (again.changed, again.notes) == (0, ())


@pytest.mark.parametrize("licence", ["", "CC BY 4.0", "<b>", "../x"])
def test_a_licence_is_a_name_of_one(submission, tmp_path, licence):
    with pytest.raises(SuiteError, match=r"--licence .*: expected a name of https://spdx\.org/licenses, as CC-BY-4\.0"):
        publish([str(submission)], tmp_path / "site", licence=licence)
    assert not (tmp_path / "site").exists()


def test_a_study_takes_what_its_records_and_receipts_say(out, submission):
    records = [unseal(path.read_bytes()) for path in submission.glob("records/*.json")]
    receipts = [unseal(path.read_bytes()) for path in submission.glob("receipts/*.json")]

    (told,) = json.loads((out / "data/v1/studies.json").read_text())

    hours = told["compute"]["hours"]["cpu_core"]
    threads = records[0]["environment"]["threads"]
    seconds = sum(record["cost"].get("training_seconds", 0) for record in records)
    assert hours["training"] == pytest.approx(threads * seconds / 3600, abs=1e-6)
    masks = sum(receipt["cost"].get("pruning_seconds", 0) for receipt in receipts)
    assert hours["scoring"] == pytest.approx(threads * masks / 3600, abs=1e-6)
    assert told["compute"]["trainings"] == sum(record["status"] == "ok" for record in records)
