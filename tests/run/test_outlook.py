"""What a suite will cost and what it can show: cells, hours, detectable differences."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from pabench.cli import forecast
from pabench.report.folders import read
from pabench.run import outlook
from pabench.statistics.power import Comparison
from pabench.statistics.precedents import Setting, expected
from pabench.statistics.spread import Spread, measured
from pabench.store.store import Store

from ..cli.test_main import Said, pabench
from ..synthetic import CRITERIA, cells, manifest, record

pytestmark = pytest.mark.usefixtures("hourly")

SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 10, test_per_class: 5}]
models: [lenet_300_100, resnet8]
criteria: [random, snip, grasp]
sparsities: [0, 0.9, 0.95]
seeds: 4
recipe: {epochs: 1, batch_size: 32, augment: none}
"""
ONE = SUITE.replace("lenet_300_100, ", "").replace("seeds: 4", "seeds: 2")
DIFFERENT = {0: 0.1, 1: 0.3, 2: -0.1, 3: 0.5}
OLDER = Path(__file__).parents[1] / "older"
LINES = SUITE.replace("grasp]", "grasp, magnitude_after_training, small_dense]")


def ask(folder: Path, *words: str | Path, text: str = SUITE, command: tuple[str, ...] = ("plan",)) -> Said:
    (folder / "some.yaml").write_text(text)
    return pabench(*command, "some.yaml", "--device", "cpu", "-j", "1", *words, cwd=folder)


def figures(folder: Path, *words: str | Path, text: str = SUITE) -> dict:
    said = ask(folder, "--json", *words, text=text)
    assert (said.returncode, said.stderr) == (0, "")
    return json.loads(said.stdout)


def results(folder: Path, noise: dict[int, float]) -> Path:
    """A results folder: snip above random by 5 points and by `noise` in each seed, at both sparsities; one model."""
    expected = cells(
        [CRITERIA["snip"], CRITERIA["random"]], models=["resnet20"], sparsities=[0.9, 0.95], seeds=len(noise)
    )
    store = Store(folder)
    store.open_study(manifest(expected))
    for cell in expected:
        above = 5 + noise[cell.seed] if cell.criterion and cell.criterion.name == "snip" else 0.0
        good = record(cell)
        store.commit("records", cell.key, {**good, "result": {**good["result"], "top1": 80.0 + above}})
    return folder


def test_a_suite_is_counted_cell_by_cell(tmp_path):
    """2 models x 4 seeds x (dense + 3 criteria x 2 sparsities) = 56 trainings of an hour, 24 scorings."""
    found = figures(tmp_path)

    assert (found["cells"], found["done"], found["trainings"], found["scorings"]) == (56, 0, 56, 24)
    assert (found["seeds"], found["hours"], found["dense_again"]) == (4, pytest.approx(56), 0)
    assert not list(tmp_path.glob("results*"))


def test_dense_trainings_that_a_line_repeats_are_counted(tmp_path):
    """8 blocks: one dense training to prune by, and one more for each of two cells that go on from its weights."""
    said = ask(tmp_path, "--json", text=SUITE.replace("grasp]", "grasp, learning_rate_rewinding]"))
    found = json.loads(said.stdout)

    assert (found["cells"], found["dense_again"], found["trainings"]) == (72, 24, 96)


def test_dense_trainings_of_reference_lines_are_counted(tmp_path):
    """Two more lines: 8 blocks x 4 cells, and one dense training in each for the line that prunes trained weights."""
    said = ask(tmp_path, "--json", text=LINES)
    found = json.loads(said.stdout)

    assert (found["cells"], found["dense_again"], found["trainings"]) == (88, 8, 96)
    assert found["hours"] == pytest.approx(96)
    assert {reach["pairs"] for reach in found["reaches"]} == {1, 3}  # lines are not compared
    told = forecast.describe(
        outlook.Outlook(**{**found, "spread": Spread(**found["spread"]), "wish": outlook.Wish(), "reaches": ()})
    )
    assert "trainings: 96, 8 dense ones for reference lines among them" in told


def test_detectable_differences_and_needed_seeds_are_those_of_the_t_test(tmp_path):
    """One model or two, one pair or the first of three, at both ends of the spread and in the middle; four seeds."""
    found = figures(tmp_path, "--mde", "4", "--records", results(tmp_path / "before", DIFFERENT))

    assert [(r["models"], r["pairs"]) for r in found["reaches"]] == [(1, 1), (1, 3), (2, 1), (2, 3)]
    for reach in found["reaches"]:
        for end, sd in (("low", "low"), ("middle", "sd"), ("high", "high")):
            test, shown = Comparison(found["spread"][sd], 0.05 / reach["pairs"], reach["models"]), reach[end]
            assert shown["detectable"] == pytest.approx(test.detectable(4))
            assert shown["seeds"] == test.seeds(4)
            assert shown["trainings"] == 14 * shown["seeds"]  # 56 for four seeds


def test_power_and_level_are_options(tmp_path):
    found = figures(tmp_path, "--power", "0.5", "--alpha", "0.2", text=ONE)
    test = Comparison(found["spread"]["low"], 0.2)

    assert found["reaches"][0]["low"]["detectable"] == pytest.approx(test.detectable(2, 0.5))


def test_the_spread_is_taken_from_records_where_there_are_any(tmp_path):
    """Differences 5.1, 5.3, 4.9, 5.5: SD 0.258; of a sample of four the middle variance is 0.789 of the true one."""
    folder = results(tmp_path / "before", DIFFERENT)

    found = figures(tmp_path, "--records", folder, text=ONE)

    assert found["spread"]["sd"] == pytest.approx(0.2582 / 0.7887**0.5, abs=1e-3)
    assert (found["spread"]["pairs"], found["spread"]["blocks"]) == (1, 4)
    assert found["spread"]["sources"] == [
        f"median of 1 pair in {folder}, each of 4 blocks or more",
        "4 blocks tell the spread of a pair to 0.57 to 3.73 times what they measure (95 %)",
    ]
    assert found["spread"]["low"] == pytest.approx(0.2582 * 0.5665, abs=1e-3)
    assert found["spread"]["high"] == pytest.approx(0.2582 * 3.7285, abs=1e-3)


def test_the_spread_of_published_studies_is_asked_with_what_the_suite_trains(tmp_path, monkeypatch):
    """100 of the digits at 90 and 95 %, one epoch; that nothing like it is published, and a range."""
    promised = expected(Setting("digits", "resnet8", (0.9, 0.95), 1, 100))

    found = figures(tmp_path, text=ONE)

    assert found["spread"] == json.loads(json.dumps(asdict(promised)))
    assert found["spread"]["sources"][0].startswith("digits / resnet8, 1 epochs of 100 images: nothing like it is")
    assert [reach["middle"] for reach in found["reaches"]] == [None, None]


def test_records_without_spread_fall_back_on_published_studies_and_say_why(tmp_path):
    folder = results(tmp_path / "before", {0: 0.1})

    found = figures(tmp_path, "--records", folder, text=ONE)

    assert found["spread"]["sources"][0] == f"{folder} has no two criteria that differ in two blocks of a model"
    assert "nothing like it is published" in found["spread"]["sources"][1]


def test_an_older_study_is_told_as_it_came_out():
    """Six seeds were once promised for half a point: by its records it takes 143, 27 at least."""
    spread = measured(read(OLDER / "cifar_cpu").plain)
    needed = [Comparison(sd).seeds(0.5) for sd in (spread.low, spread.sd, spread.high)]

    assert spread.sd == pytest.approx(2.115, abs=1e-3)
    assert needed[:2] == [27, 143]
    assert needed[2] > 3000


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--mde", "0"), 2, "--mde 0: expected points of top-1 between 0 and 100, as in --mde 0.5\n"),
        (("--mde", "nan"), 2, "--mde nan: expected points of top-1 between 0 and 100, as in --mde 0.5\n"),
        (("--power", "80"), 2, "--power 80: expected a number between 0 and 1\n"),
        (("--alpha", "-0.1"), 2, "--alpha -0.1: expected a number between 0 and 1\n"),
        (("--alpha", "0.9"), 2, "--power 0.8: expected more than --alpha, 0.9\n"),
        (("--records", "no"), 5, "no: no study.json; expected the results folder of a `pabench run`\n"),
    ],
)
def test_what_is_asked_wrongly_is_one_line_and_an_exit_code(tmp_path, words, code, message):
    said = ask(tmp_path, *words, text=ONE)

    assert (said.returncode, said.stdout, said.stderr) == (code, "", message)


def test_a_broken_study_is_named(tmp_path):
    folder = results(tmp_path / "before", {0: 0.1})
    (folder / "study.json").write_text('{"cells": 3')

    said = ask(tmp_path, "--records", folder, text=ONE)

    assert (said.returncode, len(said.stderr.splitlines())) == (3, 1)
    assert f"{folder}/study.json" in said.stderr
