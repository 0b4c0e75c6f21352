"""A hole in the grid, and cells that the suite does not give."""

from __future__ import annotations

import json

import pytest

from pabench.leaderboard.verification.verify import verify
from pabench.store.envelope import seal, unseal
from pabench.suite.cell import Cell

from .looking import flaws, of, one, said, suite


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


def test_a_suite_of_a_thousand_million_cells_is_counted_and_not_made(forgery):
    forgery.study(lambda s: s.update(overrides=[*s.get("overrides", ()), "seeds=1000000000"]))

    assert any(
        "level 1: study.json: cells: expected " in flaw and "000,000,000 (the suite's)" in flaw
        for flaw in flaws(forgery.listing())
    )


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


def test_a_label_that_the_suite_does_not_give_falls_at_level_one(forgery):
    forgery.cells(of("snip", lambda rule: rule.update(given={"steps": 100})))

    assert one(said(forgery), "level 1: study.json: criteria: expected random, snip, steep (the suite's), found random")


def test_a_label_in_suite_and_cells_that_the_parameters_are_not_falls_at_level_one(forgery):
    forgery.cells(of("snip", lambda rule: rule.update(given={"steps": 100})))
    suite(forgery, "snip", "{name: snip, steps: 100}")

    (only,) = said(forgery)
    assert only == (
        "level 1: study.json: criteria.snip (steps=100): expected steps=100 (the suite's), found steps=1 among its args"
    )


def test_two_settings_under_one_label_fall_at_level_one(forgery):
    """The better one of two settings for each seed."""
    forgery.cells(of("snip", lambda rule: rule["args"].update(examples_per_class=1), seed=1))

    assert one(
        said(forgery), "level 1: study.json: cells: expected one meaning of the criterion snip, and no second name"
    )


def test_two_labels_of_one_setting_fall_at_level_one(forgery):
    forgery.cells(of("snip", lambda rule: rule.update(given={"steps": 1}), seed=1))

    assert one(
        said(forgery), "level 1: study.json: cells: expected one meaning of the criterion snip and snip (steps=1)"
    )


def test_another_recipe_than_the_suites_falls_at_level_one_whatever_differs(forgery):
    forgery.cells(lambda cell: cell["recipe"].update(weight_decay=0.01))

    assert one(said(forgery), "level 1: study.json: recipe.weight_decay: expected 0.0001 (the suite's), found 0.01")


def test_trainings_of_the_cells_are_those_of_the_suite(trained_forgery):
    trained_forgery.study(lambda s: s.update(suite=s["suite"].replace("signin, ", "")))
    assert one(said(trained_forgery, 1), "train: expected plain, rigl (every=2), set (layers=free) (the suite's)")


def test_a_label_of_a_training_that_says_another_parameter_is_found(trained_forgery):
    def renamed(cell):
        if cell.get("train", {}).get("name") == "rigl":
            cell["train"]["given"] = {"every": 20}

    trained_forgery.cells(renamed)
    trained_forgery.study(lambda s: s.update(suite=s["suite"].replace("every: 2", "every: 20")))
    assert one(
        said(trained_forgery, 1), "train.rigl (every=20): expected every=20 (the suite's), found every=2 among its args"
    )
