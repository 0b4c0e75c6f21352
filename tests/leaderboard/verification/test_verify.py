"""Each way to lie is caught, at its level and with a message that names the place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pabench.cli.main import app
from pabench.cli.running import carry_out
from pabench.errors import DataError, MissingError, SuiteError
from pabench.leaderboard.submission import submit
from pabench.leaderboard.verification import (
    certificate,
    consistent,
    rederived,
    sampling,
    verify as verification,
    wellformed,
)
from pabench.leaderboard.verification.folder import read
from pabench.leaderboard.verification.level import Level
from pabench.leaderboard.verification.rederived import overlap
from pabench.leaderboard.verification.reproduced import agreements, enough
from pabench.leaderboard.verification.rerun import Where
from pabench.leaderboard.verification.verify import verify
from pabench.run.session import Options, Session
from pabench.source import code_digest
from pabench.store.envelope import seal, unseal
from pabench.suite.cell import Cell
from pabench.suite.digest import digest

from ...conftest import STEEP, forget_plugins
from ...forgery import Forgery, sha

INLINE = {"engine": "inline"}


@pytest.fixture
def forgery(submission, tmp_path):
    return Forgery(submission, tmp_path / "forged")


def flaws(folder: Path, level: int = 2) -> list[str]:
    """What the last level that was reached says."""
    return [str(flaw) for flaw in verify(folder, level).levels[-1].flaws]


def test_an_honest_submission_passes_and_so_does_the_results_folder(submission, results):
    for folder in (submission, results):
        found = verify(folder)
        assert [(level.number, level.passed) for level in found.levels] == [(1, True), (2, True)]
        assert (found.passed, found.exit_code) == (2, 0)
        assert len(found.found.records) == 14


def test_levels_one_and_two_import_neither_torch_nor_a_plugin(submission):
    code = (
        "import sys; from pathlib import Path; from pabench.leaderboard.verification.verify import verify;"
        f"assert verify(Path({str(submission)!r})).passed == 2;"
        "sys.exit(any(m.split('.')[0] in ('torch', 'timm') or m.startswith(('pabench_criteria.', 'pabench_plugin'))"
        " for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- a number ---------------------------------------------------------------------------------------------------------


def test_a_number_changed_in_place_breaks_the_seal_of_its_record(forgery):
    path = forgery.record()
    top1 = unseal(path.read_bytes())["result"]["top1"]
    path.write_bytes(
        path.read_bytes()
        .replace(f'"top1":{top1},'.encode(), b'"top1":99.0,')
        .replace(f'"top1":{top1}}}'.encode(), b'"top1":99.0}')
    )

    (first, *_) = flaws(forgery.folder)
    assert first.startswith(f"level 1: records/{path.name}: expected a whole file that matches its hash")


def test_a_number_sealed_again_is_not_what_the_list_of_files_says(forgery):
    path = forgery.record()
    forgery.change(path, lambda r: r["result"].update(top1=99.0, top5=99.5))

    assert f"level 1: records/{path.name}: sha256 in submission.json: expected" in flaws(forgery.folder)[0]


def test_a_number_listed_again_does_not_give_the_stated_mean(forgery):
    path = forgery.record()
    forgery.change(path, lambda r: r["result"].update(top1=99.0, top5=99.5))

    (only,) = flaws(forgery.listing())
    assert only.startswith("level 2: aggregates.json: digits / lenet_300_100 / snip 0.9: top1_mean: expected ")
    assert "(computed from the records)" in only


def test_a_number_forged_throughout_passes_two_levels_and_falls_at_the_fourth(forgery, monkeypatch):
    """Nothing but another training can tell an invented accuracy: levels 1 to 3 say nothing of it."""
    for sparsity in (0.8, 0.9):
        for seed in (0, 1):
            path = forgery.record("snip", sparsity, seed)
            forgery.change(path, lambda r, seed=seed: r["result"].update(top1=99.0 + seed / 10, top5=100.0))
    forgery.means()
    folder = forgery.listing()

    looked_at(monkeypatch, "random", "snip")
    found = verify(folder, 4, seed=5, fresh=4, where=Where(**INLINE))

    assert [level.passed for level in found.levels] == [True, True, True, False]
    # the other setting agrees, and says that two seeds of a network trained for one epoch could not tell 10 points
    (only,) = [flaw for flaw in found.levels[3].flaws if not flaw.unable]
    assert found.exit_code == 4
    assert any("10 points with probability 0.8; " in str(flaw) for flaw in found.levels[3].flaws if flaw.unable)
    assert only.cell.startswith("digits / lenet_300_100 / snip")
    assert "no difference that is significant at 0.01" in str(only)
    assert "n = 4 and 2" in str(only)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["result"].update(top1=100.5), "result.top1: expected Input should be less than or equal to 100"),
        (lambda r: r["result"].update(top1="93"), "result.top1: expected Input should be a valid number"),
        (lambda r: r.update(attempt=1, key="0" * 64), "key: expected"),
        (lambda r: r["cell"].update(seed=7), "key: expected"),
        (lambda r: r["labels"].update(criterion="best"), "labels: expected"),
        (lambda r: r.update(result=None), "status: expected a result if and only if the status is ok"),
        (lambda r: r["cost"].update(scoring_seconds=-1.0), "cost.scoring_seconds: expected Input should be greater"),
    ],
)
def test_level_one_names_the_field(forgery, change, message):
    path = forgery.record()
    forgery.change(path, change)

    assert any(f"records/{path.name}" in flaw and message in flaw for flaw in flaws(forgery.listing()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["receipt"].update(kept=5021), "receipt.kept: expected 5020 (counted in the mask), found 5021"),
        (lambda r: r["receipt"].update(sparsity=0.95), "receipt.sparsity: expected 1 - 5020 / 50200, found 0.95"),
        (lambda r: r["receipt"].update(zero_scores=0, rounds=3), "receipt.rounds: expected 1 (the mask file's)"),
        (lambda r: r["receipt"].update(dead_layers=["fc1.weight"]), "receipt.dead_layers: expected []"),
        (lambda r: r["receipt"].update(version=9), "receipt.version: expected"),
        (lambda r: r["receipt"]["layers"][0].update(kept=1), "receipt.layers: expected"),
        (
            lambda r: r.update(flags=[{"flag": "tied", "detail": ""}]),
            "flags: expected none (from the receipt's numbers), found tied",
        ),
    ],
)
def test_level_two_counts_in_the_mask(forgery, change, message):
    forgery.both(forgery.record(), change)

    found = flaws(forgery.listing())
    assert any(message in flaw for flaw in found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # 45,180 of 50,200 weights are removed from 50,610 parameters and from 100,400 FLOPs
        (
            lambda r: r["result"]["parameters"].update(pruned=5000),
            "result.parameters.pruned: expected 5430 (from the mask), found 5000",
        ),
        (
            lambda r: r["result"]["flops"].update(pruned=9000),
            "result.flops.pruned: expected 10040 (from the mask), found 9000",
        ),
        (lambda r: r["result"]["flops"].update(dense=90000, pruned=0), "result.flops"),
        (lambda r: r["result"]["curve"]["loss"].append(1.0), "result.curve.loss: expected 1 epochs, found 2 values"),
        (lambda r: r["result"].update(top5=1.0), "result.top5: expected at least top-1"),
        (lambda r: r["receipt"].update(tied_at_threshold=7), "receipt.tied_at_threshold: expected 1"),
        (lambda r: r.update(flags=[{"flag": "tied", "detail": ""}]), "flags: expected none (the receipt's file)"),
    ],
)
def test_level_two_compares_the_record_with_its_mask_and_its_receipt(forgery, change, message):
    path = forgery.record()
    forgery.change(path, change)
    forgery.means()

    assert any(f"records/{path.name}" in flaw and message in flaw for flaw in flaws(forgery.listing()))


# --- a mask -----------------------------------------------------------------------------------------------------------


def test_a_mask_bit_flipped_in_place_is_not_what_the_file_is_called(forgery):
    path = next(forgery.folder.glob("masks/*"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    assert any(f"masks/{path.name}" in flaw and "which its name is not" in flaw for flaw in flaws(forgery.folder, 1))


def test_a_mask_bit_flipped_throughout_is_one_weight_too_many(forgery):
    path = forgery.record()

    def more(flat: np.ndarray) -> None:
        flat[np.flatnonzero(~flat)[0]] = True

    forgery.mask(path, more)
    found = flaws(forgery.listing())

    assert any("receipt.kept: expected 5021 (counted in the mask), found 5020" in flaw for flaw in found)
    assert any("receipt.kept: expected 5020, which is N - floor(sparsity * N), found 5021" in flaw for flaw in found)


def swap(flat: np.ndarray) -> None:
    """Two weights of the last layer change places: all counts stay."""
    last = flat[-1000:]
    kept, pruned = np.flatnonzero(last)[0], np.flatnonzero(~last)[0]
    last[kept], last[pruned] = False, True


def sampled(monkeypatch, *paths: Path) -> None:
    """Level 3 looks at the cells of these records."""
    keys = [path.stem for path in paths]
    monkeypatch.setattr(
        "pabench.leaderboard.verification.rederived.masked", lambda cells, *_: [c for c in cells if c.key in keys]
    )


def looked_at(monkeypatch, *names: str) -> None:
    """Levels 3 and 4 look at these criteria: fewer processes, and none where no code of a stranger is needed."""
    for module, function in (("rederived", sampling.masked), ("reproduced", sampling.settings)):

        def some(cells, *rest, function=function):
            return function([c for c in cells if c.criterion and c.criterion.name in names], *rest)

        monkeypatch.setattr(f"pabench.leaderboard.verification.{module}.{function.__name__}", some)


def test_two_mask_bits_swapped_throughout_fall_at_the_third_level(forgery, monkeypatch):
    path = forgery.record()
    forgery.mask(path, swap)
    folder = forgery.listing()
    sampled(monkeypatch, path, forgery.record("random"))

    found = verify(folder, 3, seed=1, where=Where(**INLINE))

    assert [level.passed for level in found.levels] == [True, True, False]
    (only,) = found.levels[2].flaws
    # 5,019 of 5,021 weights in common
    assert (only.file, only.field) == (f"records/{path.name}", "receipt.mask")
    assert "expected equal masks (same torch, timm and device), found 0.9996 of the kept weights in common" in str(only)
    assert sum(o["outcome"] == "equal" for o in found.levels[2].outcomes) == 1
    assert found.exit_code == 4


def test_on_other_hardware_the_same_swap_is_an_overlap_that_is_named(forgery, monkeypatch):
    """Where rounding may differ, 0.99 of the weights in common is enough: a forger of 0.02 % wins nothing."""
    path = forgery.record()
    forgery.mask(path, swap)
    forgery.change(path, lambda r: r["environment"].update(device="cpu: another"))
    folder = forgery.listing()
    sampled(monkeypatch, path, forgery.record("random"))

    found = verify(folder, 3, seed=1, where=Where(**INLINE))

    assert found.passed == 3
    assert sorted({o["outcome"] for o in found.levels[2].outcomes}) == ["equal", "overlap 0.9996"]


def test_overlap_is_the_share_of_weights_kept_by_both_among_those_kept_by_any():
    one, other = {"w": np.array([True, True, False])}, {"w": np.array([True, False, True])}

    assert overlap(one, other) == 1 / 3
    assert overlap(one, {"v": one["w"]}) == 0.0
    assert overlap({"w": np.zeros(3, bool)}, {"w": np.zeros(3, bool)}) == 1.0


# --- a hash, a source -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["weights", "order", "augmentation", "scoring_batch"])
def test_a_cell_that_does_not_share_what_its_block_shares_is_named(forgery, part):
    path = forgery.record()
    forgery.both(path, lambda r: r["pairing"].update({part: "0" * 64}))

    (only,) = flaws(forgery.listing())
    assert f"records/{path.name}" in only
    assert f"pairing.{part}: expected" in only
    assert "(most cells of its block), found 000" in only


def test_an_edited_source_is_not_the_one_the_cells_were_run_with(forgery):
    (path,) = forgery.folder.glob("criteria/*.py")
    path.write_text(path.read_text() + "# nothing to see\n")

    assert f"level 1: criteria/{path.name}: sha256 in submission.json" in flaws(forgery.folder)[0]
    assert any("the source of a criterion of the study" in flaw for flaw in flaws(forgery.listing()))


def test_a_key_made_for_other_code_than_the_submitted_file_is_named(forgery):
    """Bytes are no part of a key, so one file can be put in place of another without touching a key."""
    (path,) = forgery.folder.glob("criteria/*.py")
    before, text = sha(path.read_bytes()), path.read_text().replace("w.abs()", "-w.abs()")
    path.write_text(text)
    forgery.study(lambda s: s.update(cells=json.loads(json.dumps(s["cells"]).replace(before, sha(text.encode())))))

    (only,) = flaws(forgery.listing())
    assert only.startswith(f"level 2: study.json: criteria.steep.source: expected {code_digest(text.encode())}") or (
        "criteria.steep.source" in only and code_digest(text.encode()) in only
    )


def test_a_source_left_out_is_missed(forgery):
    (path,) = forgery.folder.glob("criteria/*.py")
    path.unlink()

    (only,) = flaws(forgery.listing())
    assert only.startswith("level 2: criteria: expected the file of steep with SHA-256")


def test_a_source_forged_throughout_gives_other_masks(forgery):
    forgery.source("steep", "w.abs()", "-w.abs()")
    folder = forgery.listing()

    found = verify(folder, 3, seed=1, where=Where(trust=("steep",)))

    assert [level.passed for level in found.levels] == [True, True, False]
    (only,) = found.levels[2].flaws
    assert "steep" in only.cell
    assert "0.0000 of the kept weights in common" in str(only)


def test_code_of_a_submitter_runs_only_where_it_is_trusted_by_name(submission):
    found = verify(submission, 3, seed=1)

    (only,) = found.levels[2].flaws
    assert "go ahead with --trust steep" in only.found
    assert found.exit_code == 5
    assert not [name for name in sys.modules if name.startswith("pabench_plugin_steep")]


# --- a grid -----------------------------------------------------------------------------------------------------------


def test_a_record_taken_away_is_missed(forgery):
    path = forgery.record()
    path.unlink()

    (only,) = flaws(forgery.listing())
    assert only == (
        f"level 1: records/{path.name}: digits / lenet_300_100 / snip 0.9 / seed 0: "
        "expected a record of every cell of the study, found no record"
    )


def test_a_cell_taken_out_of_the_study_as_well_leaves_a_hole_in_the_grid(forgery):
    path = forgery.record()
    forgery.receipt(path).unlink()
    path.unlink()
    forgery.study(lambda s: s.update(cells=[c for c in s["cells"] if Cell.from_json(c).key != path.stem]))

    assert (
        "level 1: study.json: cells: expected a whole grid, found digits / lenet_300_100 / snip 0.9 / seed 0: not"
        in (" ".join(flaws(forgery.listing())))
    )


@pytest.mark.parametrize(
    ("dropped", "message"),
    [
        (lambda c: c.sparsity == 0.9, "sparsities: expected 0, 0.8, 0.9 (the suite's), found 0, 0.8"),
        (lambda c: c.seed == 1, "seeds: expected 0, 1 (the suite's), found 0"),
        (
            lambda c: c.criterion is not None and c.criterion.name == "random",
            "criteria: expected random, snip, steep (the suite's), found snip, steep",
        ),
    ],
)
def test_what_is_dropped_everywhere_is_still_in_the_suite(forgery, dropped, message):
    for path in list(forgery.folder.glob("records/*.json")):
        if dropped(Cell.from_json(unseal(path.read_bytes())["cell"])):
            forgery.receipt(path).unlink(missing_ok=True)
            path.unlink()
    forgery.study(lambda s: s.update(cells=[c for c in s["cells"] if not dropped(Cell.from_json(c))]))

    assert any(f"level 1: study.json: {message}" in flaw for flaw in flaws(forgery.listing()))


def test_a_cell_added_is_of_no_study(forgery):
    path = forgery.record()
    record = unseal(path.read_bytes())
    record["cell"]["sparsity"] = 0.99
    other = Cell.from_json(record["cell"]).key
    (path.parent / f"{other}.json").write_bytes(seal({**record, "key": other}))

    (only,) = flaws(forgery.listing())
    assert only.startswith(f"level 1: records/{other}.json: key: expected a record of a cell in study.json")


def test_what_is_declared_incomplete_passes_and_is_said(forgery):
    path = forgery.record()
    path.unlink()
    forgery.means()
    forgery.listing()
    stated = json.loads((forgery.folder / "submission.json").read_text())
    (forgery.folder / "submission.json").write_text(json.dumps({**stated, "incomplete": [path.stem]}))

    found = verify(forgery.folder)
    assert found.passed == 2
    assert found.levels[0].notes == ("incomplete: 1 of 14 cells have no record",)


# --- a stranger's folder ----------------------------------------------------------------------------------------------


def test_a_link_out_of_the_folder_is_not_followed(forgery, tmp_path):
    path = forgery.record()
    (tmp_path / "secret.json").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(tmp_path / "secret.json")

    assert any(f"records/{path.name}" in flaw and "no regular file" in flaw for flaw in flaws(forgery.folder))
    assert f"records/{path.name}" not in read(forgery.folder).files


def test_a_folder_that_is_a_link_is_not_entered(forgery, submission):
    (forgery.folder / "masks").rename(forgery.folder.parent / "elsewhere")
    (forgery.folder / "masks").symlink_to(forgery.folder.parent / "elsewhere")

    assert any(flaw.startswith("level 1: masks: expected a folder") for flaw in flaws(forgery.folder))


def test_a_pipe_does_not_block(forgery):
    path = forgery.record()
    path.unlink()
    os.mkfifo(path)

    assert any("no regular file" in flaw for flaw in flaws(forgery.folder))


@pytest.mark.parametrize("name", ["data.pkl", "results.tar.gz", ".hidden", "records/note.txt", "masks/x.safetensors"])
def test_a_file_that_does_not_belong_there_is_not_opened(forgery, name):
    (forgery.folder / name).write_bytes(b"\x80\x04cos\nsystem\n(S'false'\ntR.")

    assert any(f"level 1: {name}: expected" in flaw for flaw in flaws(forgery.folder))


def test_a_list_that_points_out_of_the_folder_finds_nothing(forgery):
    stated = json.loads((forgery.folder / "submission.json").read_text())
    stated["files"]["../../etc/passwd"] = {"sha256": "0" * 64, "bytes": 1}
    (forgery.folder / "submission.json").write_text(json.dumps(stated))

    assert "level 1: ../../etc/passwd: expected the file that submission.json lists, found no such file" in flaws(
        forgery.folder
    )


def test_a_huge_file_is_not_read(forgery):
    path = forgery.record()
    os.truncate(path, 2**40)

    assert any("1099511627776 bytes, more than 16777216" in flaw for flaw in flaws(forgery.folder))


@pytest.mark.parametrize(
    "body",
    [
        b'{"key":NaN}',
        b'{"key":1,"key":2}',
        b"[" * 200_000,
        b'{"key":' + b"9" * 5000 + b"}",
        b"[]",
        b"\xff\xfe",
    ],
)
def test_json_that_is_not_strict_is_named_and_nothing_crashes(forgery, body):
    import hashlib

    path = forgery.record()
    path.write_bytes(b'{"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'","record":' + body + b"}\n")

    found = flaws(forgery.listing())
    assert any(f"records/{path.name}" in flaw for flaw in found)


@pytest.mark.parametrize(
    "cell", [[], {"dataset": 1}, {"seed": True}, {"recipe": {"milestones": None}}, {"sparsity": 2}]
)
def test_a_cell_that_is_none_is_named(forgery, cell):
    forgery.study(lambda s: s["cells"].__setitem__(3, {**s["cells"][3], **cell} if cell else cell))

    assert any("study.json: cells.3" in flaw for flaw in flaws(forgery.listing()))


def test_terminal_escapes_in_what_a_stranger_wrote_do_not_reach_the_terminal(forgery):
    path = forgery.record()
    forgery.change(path, lambda r: r["labels"].update(criterion="\x1b[2Jbest\n"))

    text = "\n".join(flaws(forgery.listing()))
    assert "\x1b" not in text
    assert "best" in text


def test_a_folder_that_is_no_submission_is_refused_in_one_line(tmp_path):
    with pytest.raises(MissingError, match=r"no study.json; expected a submission"):
        verify(tmp_path)
    with pytest.raises(MissingError, match="No such file"):
        verify(tmp_path / "nowhere")


def leaves(value, at=()):
    """Paths to everything in a document."""
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, one in inner:
        yield from leaves(one, (*at, key))


ODD = [None, -1, "x", [], {}, 1e308, True, [None], {"x": None}, "\ud800"]


@pytest.mark.parametrize(
    "kind", ["records/", "receipts/", "metrics/", "study.json", "submission.json", "aggregates.json"]
)
def test_whatever_stands_in_a_document_it_is_judged_and_never_crashes_the_judge(submission, kind):
    """Some 40 parts of one document of each kind in turn are something odd."""
    foreign = read(submission)
    path = next(
        p
        for p in sorted(foreign.documents)
        if p.startswith(kind) and foreign.documents[p].get("receipt", True) is not None
    )
    honest = foreign.documents[path]
    caught = tried = 0
    places = list(leaves(honest))
    for number, at in enumerate(places[:: max(1, len(places) // 40)]):
        odd = json.loads(json.dumps(honest))
        place = odd
        for key in at[:-1]:
            place = place[key]
        place[at[-1]] = ODD[number % len(ODD)]
        if path == "study.json" and at != ("sha256",):
            odd["sha256"] = digest({k: v for k, v in odd.items() if k != "sha256"})
        foreign.documents[path] = odd
        found = wellformed.check(foreign)
        judged = [*found.flaws, *consistent.check(found)]
        assert all(isinstance(str(flaw), str) for flaw in judged)
        caught, tried = caught + bool(judged), tried + 1
    assert tried > 5
    # what is left is text that means nothing to a check: messages, titles, dates, costs, norms, quantiles
    assert caught / tried > 0.5


# --- level 4 ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_honest_submission_is_reproduced_with_seeds_that_it_does_not_have(submission, monkeypatch):
    monkeypatch.setattr(
        "pabench.leaderboard.verification.reproduced.MOST_DETECTABLE", 100.0
    )  # one epoch: seeds differ by many points
    found = verify(submission, 4, sample=2, seed=3, fresh=2, where=Where(trust=("steep",)))

    assert found.passed == 4
    assert len(found.levels[3].outcomes) == 2
    assert {len(o["fresh"]) for o in found.levels[3].outcomes} == {2}
    assert any(note.startswith("a true difference of") for note in found.levels[3].notes)


def test_accuracies_are_compared_by_a_t_test_of_the_fresh_spread_with_its_power():
    """Both settings: fresh deviations of 1 from their means, 4 values, 2 means: variance 4 / 2 = 2, error sqrt(2)."""
    found = agreements({"a": ([80, 100], [90, 92]), "b": ([70, 72], [40, 42])})

    # t(0.995, 2) = 9.925
    assert found["a"].difference == 1
    assert found["a"].high == pytest.approx(1 + 9.925 * 2**0.5, abs=1e-2)
    assert found["a"].agrees
    # t = 30 / sqrt(2) = 21.2 with 2 degrees of freedom: p = 2 * P(T > 21.2) = 2.215e-3, twice that with Holm
    assert found["b"].p == pytest.approx(4.43e-3, rel=0.01)
    assert not found["b"].agrees
    assert found["a"].detectable > 6.5


def test_a_noisy_row_of_the_submitter_does_not_hide_a_lie_in_another():
    """The reported values of b lie 40 points apart; the fresh ones of all know a deviation of 0.5."""
    near = [-0.5, 0.0, 0.5]
    lie, noise = ([60 + x for x in near], [50 + x for x in near]), ([30, 50, 70], [50 + x for x in near])

    found = agreements({"a": lie, "b": noise})
    assert not found["a"].agrees
    assert found["a"].detectable == agreements({"a": lie, "b": lie})["a"].detectable < 5


def test_how_many_fresh_seeds_would_tell_is_the_fewest_that_do():
    spread = [40.0, 50.0, 60.0]
    found = agreements({"a": ([50.0] * 60, spread), "b": ([50.0] * 60, spread)})
    assert found["a"].detectable > 10

    wanted = enough(found.values())
    # so many values with the same deviation of 10
    for seeds, tells in ((wanted, True), (wanted - 1, False)):
        values = np.linspace(-1, 1, seeds)
        again = list(50 + 10 * values / values.std(ddof=1))
        assert (agreements({"a": ([50.0] * 60, again), "b": ([50.0] * 60, again)})["a"].detectable <= 10) == tells
    assert enough(agreements({"a": ([50.0], spread)}).values()) is None


def test_the_detectable_difference_is_found_as_often_as_it_says():
    """Simulated: 2 settings of 3 and 3 seeds with deviation 1, one with a true difference of what is detectable."""
    one = [-1.0, 0.0, 1.0]  # variance 1, so that 4 degrees of freedom know a deviation of 1
    shift = agreements({"a": (one, one), "b": (one, one)})["a"].detectable

    values = np.random.default_rng(0).normal(size=(20_000, 4, 3))
    values[:, 0] += shift
    pooled = values[:, [1, 3]].var(axis=2, ddof=1).mean(axis=1) ** 0.5
    t = (values[:, 0].mean(axis=1) - values[:, 1].mean(axis=1)) / (pooled * (2 / 3) ** 0.5)
    # t(1 - 0.0025, 4) = 5.598
    assert np.mean(np.abs(t) > 5.5976) == pytest.approx(0.8, abs=0.01)


def test_one_fresh_seed_is_no_test():
    with pytest.raises(ValueError, match="nothing is known of their spread"):
        agreements({"a": ([90.0, 91.0], [91.0])})


# --- code of a stranger -----------------------------------------------------------------------------------------------

TRUSTED = Where(trust=("steep",))


def hostile(forgery, code: str) -> Path:
    """The submission with this code at the head of the file of steep, everything else derived from it."""
    forgery.source("steep", "from dataclasses import dataclass", f"{code}\nfrom dataclasses import dataclass")
    return forgery.listing()


def test_code_that_ends_its_process_with_success_is_a_failure_with_its_reason(forgery):
    found = verify(hostile(forgery, "import os; os._exit(0)"), 3, seed=1, where=TRUSTED)

    (only,) = found.levels[2].flaws
    assert "steep: importing its file ended the process that did it (crash: exited with code 0" in only.found
    assert (found.passed, found.exit_code) == (2, 4)


def test_code_that_rewrites_the_judge_judges_nothing(forgery, monkeypatch):
    """steep's scores are negated and its masks are not; it makes every comparison in its own process come out well."""
    forgery.source("steep", "w.abs()", "-w.abs()")
    folder = hostile(
        forgery, "from pabench.leaderboard.verification import rederived; rederived.overlap = lambda one, other: 1.0"
    )
    looked_at(monkeypatch, "steep")

    found = verify(folder, 3, seed=1, where=TRUSTED)

    (only,) = found.levels[2].flaws
    assert "0.0000 of the kept weights in common" in str(only)
    assert rederived.overlap is overlap
    assert not [name for name in sys.modules if name.startswith("pabench_plugin_steep")]


def test_code_of_one_criterion_is_not_in_the_process_of_another(forgery, monkeypatch):
    looked_at(monkeypatch, "snip", "steep")
    found = verify(
        hostile(forgery, "import pabench.training.prune; pabench.training.prune.scored = None"),
        3,
        seed=1,
        where=TRUSTED,
    )

    outcomes = {o["title"].split(" / ")[2].split()[0]: o["outcome"] for o in found.levels[2].outcomes}
    assert outcomes == {"snip": "equal", "steep": "no mask"}


def test_what_a_hostile_process_says_of_its_criterion_is_checked(forgery):
    code = "from pabench.leaderboard.verification import sandbox; sandbox._attempted = lambda **_: {'args': 5}"
    found = verify(hostile(forgery, code), 3, seed=1, where=TRUSTED)

    assert "is no description of a criterion" in str(found.levels[2].flaws[0])
    assert found.exit_code == 4


def test_a_strangers_code_does_not_run_in_the_process_that_judges_it(submission):
    with pytest.raises(SuiteError, match=r"--engine inline: steep-[0-9a-f]{8}\.py comes from the submitter"):
        verify(submission, 3, where=Where(trust=("steep",), **INLINE))


def test_a_level_that_gave_no_result_is_not_passed(submission):
    found = verify(submission)

    assert not Level(3).passed
    assert replace(found, asked=3).exit_code == 5
    assert replace(found, asked=3, levels=(*found.levels, Level(3))).exit_code == 5


# --- cells without a result -------------------------------------------------------------------------------------------


def unscored(forgery, criterion: str, kind: str, seeds=(0,)) -> Path:
    """Cells at 90 % are said to have failed in their scoring."""
    failed = {"status": "failed", "kind": kind, "message": "it failed", "result": None, "receipt": None, "flags": []}
    for seed in seeds:
        path = forgery.record(criterion, 0.9, seed)
        forgery.both(path, lambda r: r.update(failed))
    forgery.means()
    return forgery.listing()


@pytest.mark.parametrize(("kind", "code"), [("plugin-error", 4), ("degenerate", 4), ("oom", 5)])
def test_a_bad_seed_that_is_called_a_failure_is_found_to_have_masks(forgery, monkeypatch, kind, code):
    """Lack of memory may be true of another machine: it accuses nobody, and the level is not passed."""
    folder = unscored(forgery, "snip", kind)
    looked_at(monkeypatch, "snip")

    found = verify(folder, 3, seed=1, where=Where(**INLINE))

    (only,) = found.levels[2].flaws
    assert only.cell == "digits / lenet_300_100 / snip 0.9 / seed 0"
    assert f"status: expected failed ({kind}), as the record says, found its masks were made here" in str(only)
    assert found.exit_code == code


def test_a_cell_that_truly_fails_does_so_here(forgery, monkeypatch):
    looked_at(monkeypatch, "random")
    forgery.source("steep", "return {n", 'raise ValueError("no")\n        return {n')
    unscored(forgery, "steep", "plugin-error", (0, 1))
    for path in (forgery.record("steep", 0.8, seed) for seed in (0, 1)):
        forgery.both(path, lambda r: r.update(status="failed", kind="plugin-error", result=None, receipt=None))
    forgery.means()

    found = verify(forgery.listing(), 3, seed=1, where=TRUSTED)

    assert found.passed == 3
    (last,) = [o for o in found.levels[2].outcomes if o.get("ended")]
    assert last["outcome"] == "failed here, too (plugin-error)"


ZERO = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 5, test_per_class: 5}]
models: [lenet_300_100]
criteria: [zero, {name: random, allocation: "as:zero"}]
sparsities: [0, 0.9]
seeds: 1
scoring: {degenerate: refuse}
recipe: {epochs: 1, batch_size: 32, lr: 0.05, augment: none}
"""


@pytest.mark.slow
def test_a_cell_that_was_refused_as_degenerate_is_so_here_and_a_donor_is_found(tmp_path, fresh_registry):
    """The scores of zero are all 0; random takes its layer densities over, and needs its file."""
    (tmp_path / "zero.yaml").write_text(ZERO)
    (tmp_path / "criteria").mkdir()
    zero = STEEP.replace("Steep", "Zero").replace('"steep"', '"zero"').replace("w.abs()", "w.abs() * 0")
    (tmp_path / "criteria" / "zero.py").write_text(zero)
    options = Options(suite=str(tmp_path / "zero.yaml"), output=tmp_path / "out", engine="inline", device="cpu")
    carry_out(Session.open(options))
    forget_plugins()

    found = verify(submit(tmp_path / "out", tmp_path / "made").folder, 3, where=Where(trust=("zero",)))

    assert found.passed == 3
    assert [o["outcome"] for o in found.levels[2].outcomes] == ["equal", "degenerate here, too"]


def test_a_training_that_is_said_to_have_failed_is_told_at_level_three_and_tried_at_level_four(forgery, monkeypatch):
    path = forgery.record()
    forgery.change(path, lambda r: r.update(status="failed", kind="diverged", result=None, receipt=None, flags=[]))
    forgery.means()
    folder = forgery.listing()
    looked_at(monkeypatch, "random")

    found = verify(folder, 4, seed=1, fresh=2, where=Where(**INLINE))

    assert any("level 4 trains a sample of them again" in note for note in found.levels[2].notes)
    wrong = [flaw for flaw in found.levels[3].flaws if flaw.field == "status"]
    assert "expected failed (diverged), as the record says, found trained here to" in str(wrong[0])


# --- the record -------------------------------------------------------------------------------------------------------


def test_a_record_is_not_written_into_the_submission(submission, tmp_path):
    found = verify(submission)
    with pytest.raises(SuiteError, match="its submitter's own word"):
        verification.record(found, submission / "verification.json")

    verification.record(found, tmp_path / "v.json")
    assert certificate.recorded(tmp_path / "v.json")["digest"] == found.digest


def test_a_record_goes_where_nothing_else_is_and_that_is_seen_first(submission, tmp_path, monkeypatch):
    """Before level 1: what it would find may take hours, and would be lost."""
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "c").mkdir()
    monkeypatch.setattr(verification, "verify", lambda *_, **__: pytest.fail("it was looked at first"))
    for target, told in (
        (tmp_path / "notes.txt", "holds something else than a verification, and is not written over"),
        (tmp_path / "c", "a folder; name a file"),
        (
            tmp_path / "notes.txt" / "v.json",
            r"cannot be written \((Not a directory|File exists)\); choose another place",
        ),
        (submission / "v.json", "inside of the submission"),
    ):
        with pytest.raises(SuiteError, match=told) as refusal:
            app(["verify", str(submission), "--record", str(target)], standalone_mode=False)
        assert refusal.value.exit_code == 2
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_record_replaces_an_earlier_one(submission, tmp_path):
    for seed in (1, 2):
        verification.record(verify(submission, seed=seed), tmp_path / "new" / "v.json")

        assert certificate.recorded(tmp_path / "new" / "v.json")["seed"] == seed


def test_an_altered_record_is_refused(submission, tmp_path):
    verification.record(verify(submission), tmp_path / "v.json")
    (tmp_path / "v.json").write_bytes((tmp_path / "v.json").read_bytes().replace(b'"passed":2', b'"passed":4'))

    with pytest.raises(DataError, match="no record of a verification"):
        certificate.recorded(tmp_path / "v.json")
