"""A study as a table: a row for each expected cell, whatever became of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pabench.report import frame, page as report

from ..reports.test_diagnostics import SMALL, files, study, usual
from ..reports.test_sanity import TWO
from ..synthetic import CRITERIA, battery, cells, collapsed, failed, manifest, record, study_of, with_top1


def test_numbers_of_single_cells_are_columns_of_the_frame_and_so_of_exports():
    made = study(SMALL, files(SMALL, usual)).frame

    assert list(made.filter(regex="steps_to|effective|theirs").columns) == [
        *("effective_density", "effective_density.of_kept"),
        *("steps_to.epochs_50", "steps_to.epochs_75", "steps_to.steps_50", "steps_to.steps_75", "theirs"),
    ]
    row = made[(made["criterion"] == "snip") & (made["sparsity"] == 0.98) & (made["seed"] == 1)].iloc[0]
    assert (row["effective_density"], row["steps_to.epochs_75"]) == (pytest.approx(0.01), 10)
    assert made["steps_to.steps_75"].isna().all()


def test_a_row_names_its_ablation_and_its_parent():
    study = battery(["invert"], criteria=TWO, seeds=1)

    rows = study.frame.set_index("key")
    inverted = rows[rows["ablation"] == "invert"]
    assert len(inverted) == 2
    assert [rows.loc[parent, "criterion"] for parent in inverted["parent"]] == list(inverted["criterion"])
    assert set(rows[rows["ablation"] == ""]["parent"]) == {""}


def test_the_command_of_a_cell_names_its_ablation_where_there_are_some():
    commands = [c for c in battery(["invert"], criteria=TWO, seeds=1).frame["rerun"] if "snip" in c]
    bare = battery([], criteria=TWO, seeds=1).frame["rerun"]

    assert [c.split(" --only ")[-1] for c in commands] == ["ablation=none", "ablation=invert"]
    assert not any("ablation" in c for c in bare)
    assert not any("ablation" in c for c in battery(["invert"]).frame["rerun"] if "criterion=dense" in c)


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


def test_each_cell_has_its_outcome_and_the_accuracy_of_guessing_on_its_dataset():
    """The last layer has ten outputs; a failed cell has none of its own to tell it by."""
    expected = cells([CRITERIA["random"], CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=2)
    made = study_of(expected, snip=lambda c: failed(c) if c.seed else collapsed(c), random=lambda c: None).frame

    found = made.set_index(["criterion", "seed"])["outcome"].to_dict()

    assert {key: found[key] for key in found if key[0] != "dense"} == {
        ("random", 0): "missing",
        ("random", 1): "missing",
        ("snip", 0): "collapsed",
        ("snip", 1): "failed",
    }
    assert set(made["chance"]) == {10.0}


def test_the_noise_of_chance_is_that_of_the_test_set():
    """Of 200 images in ten classes 16.9 % are within it, of 10,000 are not."""
    expected = cells([CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=1)
    small = [replace(c, dataset=replace(c.dataset, args={"test_per_class": 20})) for c in expected]

    def told(cell):
        made = with_top1(lambda c: 16.0)(cell)
        return {**made, "result": {**made["result"], "test": {"images": 200, "classes": 10}}}

    outcomes = [study_of(grid, snip=with_top1(lambda c: 16.0)).frame["outcome"].iloc[-1] for grid in (expected, small)]

    assert outcomes == ["trained", "collapsed"]
    assert study_of(expected, snip=told).frame["outcome"].iloc[-1] == "collapsed"


def test_chance_is_what_the_record_says_and_older_ones_are_read_as_top_1_of_so_many_classes():
    """Of 1,000 images 23.1 % are within the noise of a chance of 20 %, and not of one of 10 %."""
    expected = cells([CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=1)

    def told(**named):
        def made(cell):
            good = with_top1(lambda c: 23.1)(cell)
            return {**good, "result": {**good["result"], "test": {"images": 1000, "classes": 10}, **named}}

        return study_of(expected, snip=made).frame.iloc[-1][["chance", "outcome"]].tolist()

    assert told() == [10.0, "trained"]
    assert told(compared_by={"name": "top1", "chance": 20.0}) == [20.0, "collapsed"]
