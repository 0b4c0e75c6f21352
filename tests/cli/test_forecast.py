"""What `pabench plan` and a dry run print of a suite before it runs."""

from __future__ import annotations

import doctest
import re

import pytest

from pabench.cli import forecast
from pabench.cli.forecast import dry_run
from pabench.run.session import Options, Session

from ..run.test_outlook import DIFFERENT, LINES, ONE, ask, figures, results
from ..training.conftest import SUITE, session
from .test_main import pabench


def test_the_default_folder_is_named_after_the_suite(finished):
    folder, _ = finished

    said = pabench("run", "tiny.yaml", "--dry-run", "--device", "cpu", cwd=folder)

    assert "folder: results/tiny" in said.stdout
    assert not (folder / "results").exists()


def test_a_dry_run_shows_grid_progress_and_estimate_and_writes_nothing(finished):
    folder, _ = finished
    before = sorted(folder.rglob("*"))

    said = pabench(
        "run", "tiny.yaml", "--dry-run", "--device", "cpu", "-o", "out", "--set", "sparsities=[0,0.5,0.9]", cwd=folder
    )

    assert said.returncode == 0
    assert "cells: 3; done: 2 ok; to do: 1" in said.stdout
    assert "scorings: 1" in said.stdout
    assert "in all, from the records in out (" in said.stdout
    assert sorted(folder.rglob("*")) == before


@pytest.mark.usefixtures("hourly")
def test_a_dry_run_counts_them_and_names_the_metrics_that_no_estimate_has(tmp_path, monkeypatch):
    monkeypatch.setattr(Session, "check_criteria", lambda *_, **__: ())
    text = LINES.replace("seeds: 4", "seeds: 1\nmetrics: [ntk]")

    said = " ".join(ask(tmp_path, "--dry-run", text=text, command=("run",)).stdout.split())

    assert "estimate: 1 day, 0:00:00 in all" in said  # 22 cells and 2 dense trainings
    assert "2 dense trainings for reference lines included" in said
    assert "measured: 22 of ntk; the time of ntk is in no estimate yet" in said  # of every network, the dense ones too


@pytest.mark.usefixtures("hourly")
def test_one_seed_detects_nothing_and_says_what_would(tmp_path):
    records = results(tmp_path / "before", DIFFERENT)
    said = ask(tmp_path, "--records", records, text=ONE.replace("seeds: 2", "seeds: 1")).stdout

    # SD 0.15 to 0.96, in the middle 0.29: t tests of 3 and of 32 differences find half a point in 8 of 10 cases
    assert "one model, one pair: nothing with one seed; 0.5 points take 3 to 32 (middle 5) seeds: 21 to 224" in said


@pytest.mark.usefixtures("hourly")
def test_the_plan_gives_both_ends_and_where_they_are_from(tmp_path):
    """Of four seeds a t test finds 2.13 standard deviations; the interval of one from four blocks is 0.57 to 3.73."""
    folder = results(tmp_path / "before", DIFFERENT)
    said = ask(tmp_path, "--records", folder, text=ONE.replace("seeds: 2", "seeds: 4")).stdout

    assert "spread: 0.15 to 0.96 (middle 0.29) points, SD between blocks of the difference of two criteria:\n" in said
    assert f" median of 1 pair in {folder}, each of 4 blocks or more\n" in said
    assert " 4 blocks tell the spread of a pair to 0.57 to 3.73 times what they measure (95 %)\n" in said
    assert "one model, one pair: 0.31 to 2.05 (middle 0.62) points with 4 seeds" in said


@pytest.mark.usefixtures("hourly")
def test_a_suite_without_its_like_gets_a_range_and_is_told_to_try_a_pilot(tmp_path):
    said = ask(tmp_path, text=ONE).stdout

    assert "nothing like it is published, so this is a range and no promise: " in said
    assert " a pilot of a few seeds tells more: plan with its folder as --records\n" in said
    assert "(middle" not in said


@pytest.mark.usefixtures("hourly")
def test_no_difference_of_accuracies_is_large_enough_for_two_seeds_and_many_pairs(tmp_path):
    """Ten criteria, 45 pairs: t(1 - 0.05 / 90, 1) = 573, times 1.03, the least error, times 1.28: 757 points."""
    records = results(tmp_path / "before", {0: 1, 1: 3, 2: -1, 3: 5})
    names = "random, snip, grasp, magnitude, synflow, force, grad_norm, fisher, iter_snip, synflow_l2"
    said = ask(tmp_path, "--records", records, text=ONE.replace("random, snip, grasp", names)).stdout
    reaches = figures(tmp_path, "--records", records, text=ONE.replace("random, snip, grasp", names))["reaches"]

    assert "the first of 45 pairs (Holm): nothing: more than 100 points with 2 seeds; 0.5 points take" in said
    assert [reach["low"]["detectable"] is None for reach in reaches] == [False, True]


@pytest.mark.usefixtures("hourly")
def test_one_criterion_has_nothing_to_compare(tmp_path):
    said = ask(tmp_path, text=ONE.replace("[random, snip, grasp]", "[snip]")).stdout

    assert "none: the suite has fewer than two criteria to compare" in said


@pytest.mark.usefixtures("hourly")
def test_missing_data_leaves_the_time_unknown_and_the_rest_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PABENCH_DATA", str(tmp_path / "nothing"))
    text = ONE.replace("{name: digits, train_per_class: 10, test_per_class: 5}", "cifar10")
    text = text.replace("epochs: 1", "epochs: 160")

    said = ask(tmp_path, text=text)

    assert said.returncode == 5
    assert "hours: unknown (the data is missing, nothing can be timed)" in said.stdout
    assert "cifar10 / resnet8, 160 epochs of 50,000 images: from " in said.stdout
    assert said.stderr.startswith("missing data: ")


def test_doctests_hold():
    assert doctest.testmod(forecast).failed == 0


def test_a_dry_run_lists_the_ablations(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pabench.run.estimate.Workload.seconds", lambda *_: 0.0)

    dry_run(session(tmp_path))

    said = " ".join(capsys.readouterr().out.split())
    assert "ablations: none (5), shuffle (4), reinit (4), invert (4), random_labels (4), shuffled_pixels (4)" in said
    assert "scorings: 8" in said  # two criteria, as they are, inverted, and with two other batches


def test_a_dry_run_lists_the_trainings_and_scores_once_for_all(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pabench.run.estimate.Workload.seconds", lambda *_: 0.0)

    dry_run(session(tmp_path, re.sub("ablations: .*", "train: [plain, {name: rigl, every: 2}]", SUITE)))

    said = " ".join(capsys.readouterr().out.split())
    assert "trainings: plain (5), rigl (every=2) (4)" in said  # dense, and two criteria at two sparsities
    assert "scorings: 2" in said


def test_a_dry_run_for_a_cluster_submits_nothing_and_prints_what_it_would(tmp_path, capsys, monkeypatch):
    """Nothing is estimated or checked where the cells do not run; a stand-in says the script."""
    monkeypatch.setattr("pabench.run.engines.slurm.Slurm.script", lambda _, tasks, threads: f"#SBATCH for {len(tasks)}")
    path = tmp_path / "study.yaml"
    path.write_text(ONE)
    options = Options(str(path), output=tmp_path / "out", device="cuda", engine="slurm")

    assert dry_run(Session.open(options))[0] == 0

    said = capsys.readouterr().out
    assert "#SBATCH for 20\n" in said
    assert "estimate" not in said
    assert "check" not in said
    assert not (tmp_path / "out").exists()
