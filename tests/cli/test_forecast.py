"""What `pabench plan` and a dry run print of a suite before it runs."""

from __future__ import annotations

import doctest

import pytest

from pabench.cli import forecast
from pabench.cli.forecast import dry_run
from pabench.run.session import Session

from ..run.test_outlook import LINES, ONE, SUITE, ask, figures
from ..training.conftest import session
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
    assert "of training, scoring not included" in said.stdout
    assert sorted(folder.rglob("*")) == before


@pytest.mark.usefixtures("hourly")
def test_a_dry_run_counts_them_and_names_the_metrics_that_no_estimate_has(tmp_path, monkeypatch):
    monkeypatch.setattr(Session, "check_criteria", lambda *_, **__: ())
    text = LINES.replace("seeds: 4", "seeds: 1\nmetrics: [ntk]")

    said = " ".join(ask(tmp_path, "--dry-run", text=text, command=("run",)).stdout.split())

    assert "estimate: 1 day, 0:00:00 of training" in said  # 22 cells and 2 dense trainings
    assert "2 dense trainings for reference lines included" in said
    assert "measured: 22 of ntk, whose time is in no estimate" in said  # of every network, the dense ones too


@pytest.mark.usefixtures("hourly")
def test_one_seed_detects_nothing_and_says_what_would(tmp_path):
    said = ask(tmp_path, text=ONE.replace("seeds: 2", "seeds: 1")).stdout

    assert "one model, one pair: nothing with one seed; 0.5 points take 6 seeds" in said


@pytest.mark.usefixtures("hourly")
def test_no_difference_of_accuracies_is_large_enough_for_two_seeds_and_many_pairs(tmp_path):
    """Ten criteria, 45 pairs: t(1 - 0.05 / 90, 1) = 573, times 0.228, the error, times 1.28: 167 points."""
    names = "random, snip, grasp, magnitude, synflow, force, grad_norm, fisher, iter_snip, synflow_l2"
    said = ask(tmp_path, text=ONE.replace("random, snip, grasp", names)).stdout
    reaches = figures(tmp_path, text=ONE.replace("random, snip, grasp", names))["reaches"]

    assert "the first of 45 pairs (Holm): nothing: more than 100 points with 2 seeds; 0.5 points take" in said
    assert [reach["detectable"] is None for reach in reaches] == [False, True]


@pytest.mark.usefixtures("hourly")
def test_one_criterion_has_nothing_to_compare(tmp_path):
    said = ask(tmp_path, text=ONE.replace("[random, snip, grasp]", "[snip]")).stdout

    assert "none: the suite has fewer than two criteria to compare" in said


@pytest.mark.usefixtures("hourly")
def test_missing_data_leaves_the_time_unknown_and_the_rest_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PABENCH_DATA", str(tmp_path / "nothing"))
    text = SUITE.replace("{name: digits, train_per_class: 10, test_per_class: 5}", "cifar10").replace(
        "lenet_300_100, ", ""
    )

    said = ask(tmp_path, text=text)

    assert said.returncode == 5
    assert "hours: unknown (the data is missing, nothing can be timed)" in said.stdout
    assert "0.5 points take 6 seeds: 42 trainings\n" in said.stdout
    assert said.stderr.startswith("missing data: ")


def test_doctests_hold():
    assert doctest.testmod(forecast).failed == 0


def test_a_dry_run_lists_the_ablations(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pabench.run.estimate.Clock.together", lambda *_: 0.0)

    dry_run(session(tmp_path))

    said = " ".join(capsys.readouterr().out.split())
    assert "ablations: none (5), shuffle (4), reinit (4), invert (4), random_labels (4), shuffled_pixels (4)" in said
    assert "scorings: 8" in said  # two criteria, as they are, inverted, and with two other batches
