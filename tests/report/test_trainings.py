"""Whether the order of the criteria is said to agree, and that trainings are never mixed."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pabench.report.conclusion import conclusion, lines
from pabench.report.folders import read
from pabench.report.page import render, save_figures
from pabench.report.trainings import agreement
from pabench.suite.cell import DENSE

RIGL, SET = "rigl (every=2)", "set (layers=free)"


@pytest.fixture(scope="module")
def study(trained):
    return read(trained)


@pytest.fixture(scope="module")
def page(study):
    return render(study)


def scored(study, values):
    """The study with these accuracies, by training and criterion, the same in both seeds."""
    frame = study.frame.copy()
    for (train, criterion), top1 in values.items():
        frame.loc[(frame["train"] == train) & (frame["criterion"] == criterion), "top1"] = top1
    return replace(study, frame=frame)


def orders(**by_training):
    names = ("random", "snip", "magnitude")
    known = {"signin": "signin", "rigl": RIGL, "set": SET, "plain": "plain"}
    return {(known[t], c): float(v) for t, values in by_training.items() for c, v in zip(names, values, strict=True)}


def test_tau_counts_pairs_in_the_same_order(study):
    """Of three pairs: all alike is 1, one exchanged (3 - 1 - 1) / 3 = 1/3, all exchanged -1."""
    found = agreement(scored(study, orders(plain=(1, 2, 3), signin=(5, 6, 7), rigl=(2, 1, 3), set=(9, 8, 7))))

    assert found.first == "plain"
    assert found.taus == {"signin": {0.9: 1.0}, RIGL: {0.9: pytest.approx(1 / 3)}, SET: {0.9: -1.0}}
    assert (found.criteria, found.blocks) == (3, 2)  # small_dense is a reference line
    assert found.said == (
        "the order of the 3 criteria by mean accuracy over 2 blocks is not the same under every training; Kendall's "
        "tau with plain (1: the same order, -1: reversed): signin 1.00 at 90 %; rigl (every=2) 0.33 at 90 %; "
        "set (layers=free) -1.00 at 90 %"
    )


def test_an_order_that_all_share_is_said_to_be_the_same(study):
    found = agreement(scored(study, orders(plain=(1, 2, 3), signin=(1, 2, 3), rigl=(1, 2, 3), set=(1, 2, 3))))
    assert "is the same under every training; " in found.said


def test_ties_have_no_order(study):
    found = agreement(scored(study, orders(plain=(1, 2, 3), signin=(4, 4, 4), rigl=(1, 1, 3), set=(1, 2, 3))))
    assert found.taus["signin"] == {}
    # tau-b with one tie: 2 pairs agree, of 3 and of 2 that are no ties
    assert found.taus[RIGL][0.9] == pytest.approx(2 / (3 * 2) ** 0.5)


def test_blocks_that_a_criterion_has_not_finished_under_both_do_not_count(study):
    frame = study.frame.copy()
    one = (frame["train"] == "signin") & (frame["criterion"] == "snip") & (frame["seed"] == 0)
    frame.loc[one, "top1"] = float("nan")
    frame.loc[(frame["train"] == "plain") & (frame["seed"] == 0), "top1"] = 99.0  # of the block that is left out
    values = orders(plain=(1, 2, 3), signin=(1, 2, 3))
    for (train, criterion), top1 in values.items():
        frame.loc[(frame["train"] == train) & (frame["criterion"] == criterion) & (frame["seed"] == 1), "top1"] = top1

    found = agreement(replace(study, frame=frame))
    assert found.taus["signin"] == {0.9: 1.0}
    assert found.blocks == 1


def test_one_criterion_has_no_order(study):
    frame = study.frame[study.frame["criterion"].isin(["snip", DENSE])]
    found = agreement(replace(study, frame=frame))
    assert found.said.startswith("nothing can be said of the order of the criteria")


def test_a_part_of_a_study_has_one_training_and_the_dense_baseline(study):
    assert study.trainings == ("plain", "signin", RIGL, SET)
    for training in study.trainings:
        part = study.under(training)
        assert part.trainings == (training,)
        assert set(part.frame["criterion"]) == {DENSE, "random", "snip", "magnitude", "small_dense"}
        assert list(part.cells) == list(part.frame["key"])
        assert len(part.manifest["cells"]) == len(part.frame) == 2 + 4 * 2
        assert conclusion(part).board.shared == 2


def test_a_part_has_the_conclusion_of_a_study_of_its_own(study):
    """What plain training says is the same whether others are beside it or not."""
    part = study.under("plain")
    alone = replace(part, frame=study.frame[study.frame["train"] == "plain"].reset_index(drop=True))
    assert conclusion(part).lines == conclusion(alone).lines


def test_a_terminal_gets_the_conclusion_of_each_and_whether_they_agree(study):
    each = {name: conclusion(study.under(name)).lines for name in study.trainings}

    assert len(each) == 4
    assert lines(study) == [
        *(line for name, said in each.items() for line in (f"training: {name}", *said)),
        f"trainings: {agreement(study).said}",
    ]
    assert lines(study.under("plain")) == each["plain"]


def test_every_section_has_a_part_for_each_training_and_none_mixes_them(study, page):
    assert "could not be made" not in page
    assert "is the same under every training" in page or "is not the same under every training" in page
    for training in study.trainings:
        # answer, leaderboard, comparison, accuracy, scoring cost, diagnostics, images
        assert page.count(f'<h3 class="training">Training: {training}</h3>') >= 6


def test_a_study_of_one_training_has_no_such_headings(results):
    assert "Training: " not in render(read(results))


@pytest.mark.slow
def test_figures_of_each_training_have_a_folder(study, tmp_path):
    written, problems = save_figures(study, tmp_path)
    assert problems == []
    folders = {path.parent.name for path in written}
    assert {"plain", "signin", "rigl-every-2", "set-layers-free"} <= folders
    assert len(set(written)) == len(written)


def test_the_command_of_a_cell_says_how_it_is_trained(study):
    rows = study.frame.set_index(["criterion", "train", "seed"])["rerun"]
    assert rows["snip", RIGL, 1].endswith("--only seed=1 --only 'train=rigl (every=2)'")
    assert rows["snip", "plain", 1].endswith("--only seed=1 --only train=plain")
    assert "train=" not in rows[DENSE, "plain", 1]


def test_no_two_drawings_of_a_page_have_parts_of_one_name(page):
    """Drawings of a figure under two trainings would otherwise refer to each other's."""
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))
    referred = set(re.findall(r'(?:href="#|url\(#)(f[0-9a-f]{7}[^")]*)', page))
    assert referred <= set(names)
    assert len(referred) > 10
