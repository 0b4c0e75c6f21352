"""The report: from records to one self-contained page that tells the truth about them."""

from __future__ import annotations

import base64
import doctest
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pabench_reports import cells as cells_section
from pabench_reports.cells import DIGITS, STEPS, table
from pabench_reports.figure import INK, looks
from pabench_reports.leaderboard import _remarks
from pabench_reports.overview import Overview
from pabench_reports.protocol import pairing

from pabench import registry, words
from pabench.report import frame, page as report
from pabench.report.section import Section, script_json
from pabench.report.study import Study
from pabench.statistics.board import board
from pabench.store.store import Store
from pabench.suite.specs import CriterionSpec
from pabench.words import plain

from ..synthetic import CRITERIA, cells, collapsed, failed, manifest, record, study_with_trouble


def study_of(expected, **changed) -> Study:
    """A finished study; `changed` maps a criterion's name to what becomes of its records (None: missing)."""
    records = {}
    for cell in expected:
        change = changed.get(cell.criterion.name if cell.criterion else "dense", record)
        if change is not None and (made := change(cell)) is not None:
            records[cell.key] = made
    return frame.study(manifest(expected), records)


def with_top1(top1):
    """Records whose accuracy is `top1(cell)`."""

    def made(cell):
        good = record(cell)
        return {**good, "result": {**good["result"], "top1": top1(cell)}}

    return made


@pytest.fixture(scope="module")
def troubled() -> Study:
    return frame.study(*study_with_trouble())


@pytest.fixture(scope="module")
def page(troubled) -> str:
    return report.render(troubled)


class Tags(HTMLParser):
    """Start tags with their attributes, and the text of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] in ("script", "style") and self.cdata_elem:
            self.raw.append((*self.tags[-1], data))


def test_every_expected_cell_has_a_row_whatever_became_of_it(troubled):
    assert troubled.frame["status"].value_counts().to_dict() == {"ok": 126, "missing": 4, "failed": 2}
    assert troubled.frame["flags"].map(bool).sum() == 6


def test_a_record_of_no_expected_cell_is_named_and_left_out():
    expected = cells(seeds=1)
    study = frame.study(manifest(expected[1:]), {cell.key: record(cell) for cell in expected})

    assert study.strays == (expected[0].key,)
    assert "1 record of no cell of the study in the folder: left out." in report.render(study)


def test_the_rerun_command_names_the_cell_and_its_folder():
    cell = next(c for c in cells() if c.criterion and c.criterion.name == "synflow")

    assert frame.rerun(cell, manifest([cell]), failed=True) == (
        "pabench run suites/synthetic.yaml -o results --only dataset=cifar10 --only model=resnet20 "
        "--only 'criterion=synflow (steps=100)' --only sparsity=0.8 --only seed=0 --retry failed"
    )


def test_a_results_folder_becomes_a_page_in_it(tmp_path):
    expected = cells(models=["resnet20"], seeds=1)
    store = Store(tmp_path)
    store.open_study(manifest(expected))
    for cell in expected[:-1]:
        store.commit("records", cell.key, record(cell))

    path = report.write(tmp_path)

    assert path == tmp_path / "report.html"
    assert "1 cell not finished" in path.read_text(encoding="utf-8")


def test_all_sections_are_made_and_stand_in_their_order(page):
    assert re.findall(r'<section id="(\w+)"', page) == [
        "overview", "leaderboard", "comparison", "accuracy", "layers", "scores", "cost", "gradient",
        "published", "cells", "protocol", "checklist", "take",
    ]  # fmt: skip
    assert "could not be made" not in page


def test_the_page_is_the_same_bytes_for_the_same_records(page):
    code = (
        "import sys; sys.path.insert(0, '.'); import synthetic; from pabench.report import frame, page as report;"
        "sys.stdout.buffer.write(report.render(frame.study(*synthetic.study_with_trouble())).encode())"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7"}  # other than this process's, which is drawn or 0
    again = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=Path(__file__).parents[1], env=env
    )

    assert again.stdout.decode() == page


def test_the_page_asks_the_network_for_nothing(page):
    loading = {"src", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href"}
    for tag, attributes in Tags(page).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name, value in attributes.items():
            if (tag, name) == ("a", "href") and (value or "").startswith("https://"):
                assert attributes["rel"] == "noreferrer"  # asked for by a click alone
            elif name in loading or name == "href":
                assert (value or "").startswith(("#", "data:image/png;base64,")), f"{tag} {name}={value!r}"


def test_the_policy_allows_this_script_and_this_style_alone(page):
    policy = next(a["content"] for t, a in Tags(page).tags if t == "meta" and a.get("http-equiv"))
    hashes = {
        tag: "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for tag, attributes, text in Tags(page).raw
        if attributes.get("type") != "application/json"
    }

    assert policy.startswith("default-src 'none';")
    assert f"script-src '{hashes['script']}'" in policy
    assert f"style-src '{hashes['style']}'" in policy
    assert "unsafe" not in policy


def test_no_name_becomes_an_element_or_a_handler(page):
    for tag, attributes in Tags(page).tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert "style" not in attributes, tag
    assert [a.get("type") for t, a in Tags(page).tags if t == "script"] == ["application/json"] * 2 + [None]
    assert not [t for t, _ in Tags(page).tags if t in ("b", "img") and "alert" in str(_)]
    assert "cifar_cpu &lt;b&gt;" in page


def test_json_in_the_page_cannot_close_its_script():
    text = script_json({"x": "</script><!--&\u2028"})

    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"x": "</script><!--&\u2028"}


def test_terminal_escapes_and_broken_unicode_are_stripped():
    assert plain("a\x1b[31mb\x1b]0;title\x07c\x00\ud800\n") == "abc?\n"


def test_doctests_of_the_wording_hold():
    assert doctest.testmod(words) == (0, 12)


def test_ids_of_figures_are_used_once(page):
    ids = [attributes["id"] for _, attributes in Tags(page).tags if "id" in attributes]

    assert len(ids) == len(set(ids))


def test_a_broken_section_costs_no_other(monkeypatch, troubled):
    class Broken(Section):
        name, title, order = "broken", "Broken", 15

        def render(self, study):
            raise ValueError("<b>no</b>")

    classes = {**registry.group("sections").classes, "broken": Broken}
    small = {name: classes[name] for name in ("overview", "broken", "gradient")}
    monkeypatch.setattr(registry, "group", lambda kind: registry.Group(classes=small))

    made = report.render(troubled)

    assert re.findall(r'<section id="(\w+)"', made) == ["overview", "broken", "gradient"]
    assert re.search(r"not be made: \S+test_page.py:\d+ in render: ValueError: &lt;b&gt;no&lt;/b&gt;", made)


def test_mean_ranks_and_differences_are_those_a_hand_computes():
    """Two seeds, one sparsity: random 80 and 82, snip 84 and 85: differences 4 and 3."""
    top1 = {("random", 0): 80.0, ("random", 1): 82.0, ("snip", 0): 84.0, ("snip", 1): 85.0}
    expected = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=2)
    given = with_top1(lambda cell: top1[cell.criterion.name, cell.seed])

    made = board(study_of(expected, random=given, snip=given).frame)

    snip, rand = made.ranked
    assert (snip.criterion, snip.mean_rank, rand.mean_rank) == ("snip", 1.0, 2.0)
    # mean 3.5, SD 0.7071, standard error 0.5, t(0.975, 1 df) = 12.706
    assert (snip.difference.mean, snip.difference.half) == pytest.approx((3.5, 6.353), abs=1e-3)
    assert (snip.letters, rand.letters, snip.ranks) == ("a", "a", (1, 2))


def test_a_mean_rank_has_the_interval_of_its_blocks():
    """Ranks at two sparsities: seed 0 gives 1 and 1, seed 1 gives 1 and 2, seed 2 gives 2 and 2: block means 1, 1.5, 2.

    Mean 1.5, SD 0.5, t(0.975, 2) 0.5 / sqrt(3) = 1.242: cut at the first and the last rank of two.
    """
    beaten = {(1, 0.95), (2, 0.9), (2, 0.95)}
    expected = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9, 0.95], seeds=3)
    snip = with_top1(lambda c: 70.0 if (c.seed, c.sparsity) in beaten else 90.0)

    made = board(study_of(expected, snip=snip, random=with_top1(lambda c: 80.0)).frame)

    ranks = {s.criterion: s.rank for s in made.ranked}
    assert (ranks["snip"].mean, ranks["snip"].n) == (1.5, 3)
    assert (ranks["snip"].low, ranks["snip"].high) == (1.0, 2.0)
    assert made.tasks == 6


def test_blocks_that_all_agree_give_a_rank_no_interval():
    """Three blocks in one order are no proof that a fourth would have it."""
    expected = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], seeds=3)

    made = board(study_of(expected, snip=with_top1(lambda c: 90.0), random=with_top1(lambda c: 80.0)).frame)

    assert [(s.mean_rank, s.rank.low, s.rank.high) for s in made.ranked] == [(1.0, None, None), (2.0, None, None)]


def test_a_model_without_a_common_block_is_left_out_of_a_pair_and_counted():
    def on_one_model(cell):
        return record(cell) if cell.model.name == "resnet20" else failed(cell)

    made = board(study_of(cells(), grasp=on_one_model).frame)

    grasp = next(s for s in made.ranked if s.criterion == "grasp")
    assert (grasp.difference.n, made.blocks, made.compared) == (3, 6, 2)
    assert grasp.difference.low < grasp.difference.mean < grasp.difference.high


def test_a_clear_and_steady_difference_is_separated():
    expected = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=3)
    noise = {0: 0.0, 1: 0.1, 2: -0.1}

    made = board(study_of(expected, snip=with_top1(lambda c: 90 + noise[c.seed]), random=with_top1(lambda c: 80)).frame)

    assert [(s.criterion, s.letters, s.ranks) for s in made.ranked] == [("snip", "a", (1, 1)), ("random", "b", (2, 2))]
    assert _remarks(made)[0] == "snip is separably better than all other ranked criteria."


def test_the_answer_names_all_that_may_be_the_best():
    """snip and grasp differ by noise, random lies 10 points below both."""
    noise = {0: 0.0, 1: 0.1, 2: -0.1}
    names = [CRITERIA["random"], CRITERIA["snip"], CRITERIA["grasp"]]
    expected = cells(names, models=["resnet20"], sparsities=[0.9], seeds=3)
    top1 = {
        "snip": with_top1(lambda c: 90 + noise[c.seed]),
        "grasp": with_top1(lambda c: 90 + noise[2 - c.seed]),
        "random": with_top1(lambda c: 80.0),
    }

    said = _remarks(board(study_of(expected, **top1).frame))[0]

    assert said == "grasp, snip: any of these may be the best, none is separably worse than another criterion."


def test_one_seed_separates_nothing_and_says_so():
    study = study_of(cells(models=["resnet20"], seeds=1))

    made = board(study.frame)

    assert {s.letters for s in made.ranked} == {"a"}
    assert all(s.difference is None or s.difference.low is None for s in made.ranked)
    assert "the ranking is not separable" in report.render(study)


def test_reference_lines_stand_beside_the_ranking_and_change_nothing_in_it():
    """Far above all criteria, one would take the first rank of each; its difference to random is shown: 95 - 80."""
    line = CriterionSpec("late", version=1, trains=True, reference_line="not at initialization")
    names = [CRITERIA["random"], CRITERIA["snip"]]
    noise = {0: 0.0, 1: 0.1, 2: -0.1}
    top1 = {
        "snip": with_top1(lambda c: 90 + noise[c.seed]),
        "random": with_top1(lambda c: 80),
        "late": with_top1(lambda c: 95 - noise[c.seed]),
    }
    alone = study_of(cells(names, models=["resnet20"]), **top1)
    both = study_of(cells([*names, line], models=["resnet20"]), **top1)

    made, before = board(both.frame), board(alone.frame)

    def placed(of):
        return [(s.criterion, s.mean_rank, s.ranks, s.letters, s.difference) for s in of.ranked]

    assert placed(made) == placed(before)
    assert (made.tasks, made.blocks, made.unranked) == (before.tasks, before.blocks, ())
    (beside,) = made.beside
    assert (beside.criterion, beside.note, beside.mean_rank) == ("late", "not at initialization", None)
    assert beside.difference.mean == pytest.approx(15.0)
    page = report.render(both)
    assert page.count("late <small>not at initialization</small>") == 2  # leaderboard and cost
    assert "Lines above the first rank" in page
    assert "Lines above the first rank" not in report.render(alone)


def test_a_reference_line_is_held_against_its_own_shuffle_like_any_other():
    """Its masks are as good as shuffled ones of 95 - 20: it beats them; no section is lost over it."""
    line = CriterionSpec("late", version=1, trains=True, reference_line="not at initialization")
    noise = {0: 0.0, 1: 0.1, 2: -0.1}
    top1 = {"late": with_top1(lambda c: 75 - noise[c.seed] if c.ablation else 95 + noise[c.seed])}
    study = study_of(cells([CRITERIA["random"], line], models=["resnet20"], ablations=("shuffle",)), **top1)

    page = report.render(study)

    assert "could not be made" not in page
    assert re.search(r'late <small>not at initialization</small>.*?<td class="shuffle">yes <small>\+20\.00', page, re.S)


def test_one_ranked_criterion_is_compared_with_nothing_and_no_seed_is_blamed():
    alone = board(study_of(cells([CRITERIA["snip"]], models=["resnet20"], seeds=3)).frame)
    lost = board(study_of(cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"]), random=failed).frame)

    for made in (alone, lost):
        assert _remarks(made)[-1] == "One criterion is ranked: there is nothing to compare it with."
        assert not [remark for remark in _remarks(made) if "seed" in remark or "Pairs" in remark]


def test_a_best_criterion_is_not_said_to_be_better_than_what_is_not_ranked():
    def rarely(cell):
        return with_top1(lambda c: 95)(cell) if cell.seed == 0 else failed(cell)

    noise = {0: 0.0, 1: 0.1, 2: -0.1}
    expected = cells([CRITERIA[n] for n in ("random", "snip", "grasp")], models=["resnet20"], sparsities=[0.9], seeds=3)
    tops = {"snip": with_top1(lambda c: 90 + noise[c.seed]), "random": with_top1(lambda c: 80), "grasp": rarely}

    made = board(study_of(expected, **tops).frame)

    assert _remarks(made)[0] == "snip is separably better than all other ranked criteria (not ranked: grasp)."


def test_the_difference_to_random_does_not_depend_on_who_is_ranked():
    def rarely(cell):
        return with_top1(lambda c: 80)(cell) if cell.seed == 0 else failed(cell)

    expected = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=3)

    made = board(study_of(expected, random=rarely, snip=with_top1(lambda c: 90)).frame)

    assert [s.criterion for s in made.unranked] == ["random"]
    assert (made.ranked[0].difference.mean, made.ranked[0].difference.n) == (10.0, 1)


def test_cells_that_should_be_paired_and_are_not_are_told_at_the_top():
    study = study_of(cells(models=["resnet20"], seeds=3))
    key = study.frame.loc[(study.frame["criterion"] == "snip") & (study.frame["seed"] == 1), "key"].iloc[0]
    other = {**study.records[key], "pairing": {**study.records[key]["pairing"], "weights": "e" * 64}}

    html = Overview().render(replace(study, records={**study.records, key: other}))

    assert "Initial weights differ within 1 of 3 blocks: what is called paired there is not." in html
    assert "differ within" not in Overview().render(study)


def test_reference_lines_take_no_colour_from_a_criterion():
    alone, both = looks(["snip", "grasp"]), looks(["late", "snip", "grasp"], {"late"})

    assert {name: both[name] for name in alone} == alone
    assert both["late"].color == INK


def test_a_failure_costs_other_pairs_no_block():
    def sometimes(cell):
        return failed(cell) if (cell.seed, cell.sparsity) == (0, 0.99) else record(cell)

    made = board(study_of(cells(models=["resnet20"]), magnitude=sometimes).frame)

    differences = {s.criterion: s.difference.n for s in made.ranked if s.difference}
    assert differences == {"synflow (steps=100)": 3, "grasp": 3, "snip": 3, "magnitude": 2}
    assert (made.tasks, made.all_tasks) == (8, 9)
    assert (made.fewest, made.most) == (2, 3)


def test_a_criterion_that_always_fails_somewhere_is_shown_unranked():
    def at_the_end(cell):
        return failed(cell) if cell.sparsity == 0.99 else record(cell)

    made = board(study_of(cells(models=["resnet20"]), magnitude=at_the_end).frame)

    (unranked,) = made.unranked
    assert (unranked.criterion, unranked.count("failed"), sorted(unranked.means)) == ("magnitude", 3, [0.8, 0.95])
    assert made.tasks == 9


def test_collapsed_cells_count_with_what_they_reached_and_are_marked():
    study = study_of(cells(models=["resnet20"]), snip=collapsed)

    snip = next(s for s in board(study.frame).ranked if s.criterion == "snip")

    assert {s: interval.mean for s, interval in snip.means.items()} == {0.8: 10.0, 0.95: 10.0, 0.99: 10.0}
    assert {s: len(flags) for s, flags in snip.flagged.items()} == {0.8: 3, 0.95: 3, 0.99: 3}
    assert report.render(study).count("⚑ 3 flagged") == 3


def test_pairing_is_counted_from_the_hashes():
    def other_weights(cell):
        good = record(cell)
        return {**good, "pairing": {**good["pairing"], "weights": "f" * 64}} if cell.seed == 1 else good

    found = pairing(study_of(cells(models=["resnet20"]), grasp=other_weights))

    assert {p.what: (p.equal, p.blocks) for p in found} == {
        "initial weights": (2, 3),
        "data order": (3, 3),
        "augmentation": (3, 3),
        "scoring batch": (3, 3),
    }


def test_scoring_batches_compare_among_criteria_that_ask_for_as_many_images():
    twice = CriterionSpec("snip", given={"examples_per_class": 20}, args={"examples_per_class": 20}, version=1)
    expected = cells([CRITERIA["grasp"], CRITERIA["snip"], twice], models=["resnet20"], seeds=1)
    records = {cell.key: record(cell) for cell in expected}
    for cell in expected:
        if cell.criterion == twice:
            records[cell.key]["pairing"]["scoring_batch"] = "e" * 64

    (batch,) = [p for p in pairing(frame.study(manifest(expected), records)) if p.what == "scoring batch"]

    assert (batch.equal, batch.blocks, batch.unknown) == (2, 2, 0)


def test_a_study_without_any_record_still_has_its_page():
    made = report.render(frame.study(manifest(cells(seeds=1)), {}))

    sections = re.findall(r'<section id="(\w+)"', made)
    assert sections == ["overview", "published", "cells", "protocol", "checklist", "take"]
    assert "32 cells not finished" in made


def test_a_thousand_cells_take_less_than_a_megabyte():
    expected = cells(sparsities=[0.8, 0.9, 0.95, 0.98, 0.99], seeds=20)[:1000]

    made = report.render(study_of(expected))

    assert len(expected) == 1000
    assert len(made.encode()) < 1_000_000


def unpacked(text: str, top: float) -> list[float]:
    """What the page's script makes of a packed curve."""
    return [top * (64 * DIGITS.index(text[i]) + DIGITS.index(text[i + 1])) / STEPS for i in range(0, len(text), 2)]


def test_a_packed_curve_is_read_back_to_a_part_in_four_thousand():
    values = [0.0, 1.234, 2.5, 0.017]

    assert unpacked(cells_section.packed(values, 2.5), 2.5) == pytest.approx(values, abs=2.5 / 4095 / 2)
    assert cells_section.packed([None, float("inf"), 9.0, -1.0], 2.5) == "....//AA"


def test_a_row_says_which_mask_and_leads_to_its_plain_cell():
    expected = cells([CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=1, ablations=["shuffle"])

    rows = table(study_of(expected))["rows"]

    assert [row[15] for row in rows] == [-1, -1, 1]
    assert rows[1][16] == record(expected[1])["receipt"]["mask"][:16]


def test_a_page_of_other_sections_stands_alone():
    """What is no study, as a site's index: its own name, its sections, the same style and policy."""
    made = report.page("A <site>", [report.Rendered("boards", "Boards", "<p>x</p>")])

    assert "<title>A &lt;site&gt; – pabench</title>" in made
    assert re.findall(r'<section id="(\w+)"', made) == ["boards"]
    (script,) = [text for tag, a, text in Tags(made).raw if tag == "script" and "type" not in a]
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in made


def test_curves_keep_their_first_and_last_epoch(troubled):
    found = table(troubled)
    rows = found["rows"]

    place, top, loss, top1 = rows[0][12]
    epochs = found["epochs"][place]
    assert (epochs[0], epochs[-1], len(epochs), len(loss), len(top1)) == (1, 160, 24, 48, 48)
    given = troubled.records[rows[0][8]]["result"]["curve"]["loss"]
    assert unpacked(loss, top)[0] == pytest.approx(given[0], abs=0.01)
    assert unpacked(loss, top)[-1] == pytest.approx(given[-1], abs=0.01)


def test_rendering_imports_no_torch():
    code = (
        "import sys; sys.path.insert(0, '.'); import synthetic; from pabench.report import frame, page as report;"
        "page = report.render(frame.study(*synthetic.study_with_trouble()));"
        "assert 'could not be made' not in page; print([m for m in ('torch', 'timm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])

    assert done.stdout == "[]\n", done.stderr
