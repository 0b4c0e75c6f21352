"""Races of whole commands: the same suite on both sides, and commands that fail do not count as fast."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from pabench.bench import suites
from pabench.bench.cells import GIVEN, IMAGES
from pabench.bench.suites import LONG, SHORT, Given, _command, _plain_command, _prepared
from pabench.data.parquet import Parquet
from pabench.errors import DataError
from pabench.suite.suite import load


@pytest.fixture
def given(material, tmp_path):
    return _prepared(tmp_path / "small", material, material.sizes.small, 3, SHORT)


def test_both_sides_are_told_the_same_suite(given):
    suite = load(given.folder / "suite.yaml")
    told = json.loads((given.folder / GIVEN).read_text())

    assert [round(1 - s, 6) for s in suite.sparsities] == told["densities"]
    assert [c.name for c in suite.criteria] == [name for name, _ in told["criteria"]]
    assert suite.criteria[2].params == {"steps": 3}
    assert (suite.recipe.batch_size, suite.recipe.lr) == (told["batch_size"], told["lr"])


def test_a_study_is_five_criteria_at_five_densities_on_two_seeds(material, tmp_path):
    given = _prepared(tmp_path / "long", material, material.sizes.small, 3, LONG)
    suite = load(given.folder / "suite.yaml")
    told = json.loads((given.folder / GIVEN).read_text())

    assert LONG.told == "suite of 5 x 5 x 2 cells"
    assert [c.name for c in suite.criteria] == ["random", "magnitude", "snip", "grasp", "synflow"]
    assert (
        (len(suite.sparsities), suite.seeds, suite.recipe.epochs)
        == (5, 2, 3)
        == (
            len(told["densities"]),
            told["seeds"],
            told["epochs"],
        )
    )


@pytest.mark.slow
def test_both_sides_carry_a_study_out(material, tmp_path):
    few = replace(LONG, densities=(0.1,), epochs=1)
    given = _prepared(tmp_path / "long", material, material.sizes.small, 3, few)

    _command(given)()
    _plain_command(given)()  # DataError, were one to fail


def test_both_sides_see_the_same_images(given, material):
    with np.load(given.folder / IMAGES) as stored:
        plain = stored["test_pixels"]
    with given.cached():
        assert np.array_equal(Parquet(path=str(given.folder)).test().pixels.numpy(), plain)
    assert len(plain) == 10 * material.sizes.tested


def test_decoded_images_are_not_left_among_the_users(given, monkeypatch):
    monkeypatch.setenv("PABENCH_CACHE", "/mine")
    with given.cached():
        assert os.environ["PABENCH_CACHE"] == str(given.folder / "cache")
    assert os.environ["PABENCH_CACHE"] == "/mine"


def test_a_command_that_fails_says_what_it_said(tmp_path):
    given = Given(tmp_path, "cpu")

    given.command("-c", "pass")
    with pytest.raises(DataError, match="ValueError: broken"):
        given.command("-c", "raise ValueError('broken')")


def test_a_results_folder_is_used_once(tmp_path):
    given = Given(tmp_path, "cpu")

    assert given.fresh() != given.fresh()


def test_a_start_without_a_plain_loop_has_none(material):
    contests = {contest.work: contest for contest in suites.start(material)}

    assert contests["start: --help"].baseline is None
    assert contests["start: run quickstart --dry-run"].baseline is not None
