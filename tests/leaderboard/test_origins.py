"""What a board says of a criterion besides its numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pabench.leaderboard.boards import Badge, boards
from pabench.leaderboard.origins import kinds, offered, origins
from pabench.leaderboard.verification.sampling import row
from pabench.report import frame
from pabench.suite.specs import CriterionSpec

from .. import synthetic
from .test_boards import grid, published


def test_a_criterion_comes_with_its_paper_its_badge_and_the_command_that_runs_it_again():
    cells = grid("random", "snip")
    badge = Badge(1, "masks re-derived")
    known = {row(cell): badge for cell in cells if cell.criterion and cell.criterion.name == "snip"}
    (board,) = boards([published(cells, badges=known)])

    found = origins(board)

    snip = found["snip"]
    assert (snip.paper.cited, snip.badge, snip.verified) == ("Lee et al. 2019", badge, "yes")
    assert found["random"].verified == "no"
    assert snip.command == (
        "pabench run suites/synthetic.yaml -o results "
        "--only dataset=cifar10 --only model=resnet20 --only criterion=snip"
    )
    assert [one.number for one in found.values()] == [1, 2]


@pytest.mark.parametrize(
    ("name", "rounds", "expected"),
    [
        ("random", 1, ("data-free", "one-shot")),
        ("snip", 1, ("data-dependent", "one-shot")),
        ("synflow", 100, ("data-free", "iterative")),
    ],
)
def test_a_kind_says_whether_a_criterion_looks_at_images_and_in_how_many_rounds_it_scores(name, rounds, expected):
    cells = synthetic.cells([synthetic.CRITERIA[name]], models=["resnet20"], seeds=1)
    records = {cell.key: synthetic.record(cell) for cell in cells}
    for record in records.values():
        if record["receipt"]:
            record["receipt"]["rounds"] = rounds
    rows = frame.study(synthetic.manifest(cells), records).frame

    assert kinds(rows[rows["criterion"] != "dense"]) == expected


def test_a_reference_line_is_of_no_other_kind_and_a_menu_has_what_there_is():
    line = CriterionSpec("late", version=1, trains=True, reference_line="not at initialization")
    cells = synthetic.cells([synthetic.CRITERIA["snip"], line], models=["resnet20"], seeds=2)
    study = synthetic.study_of(cells)
    (board,) = boards([replace(published(grid("snip")), study=study)])

    found = origins(board)

    assert found["late"].kinds == ("reference line",)
    assert offered(found)[-1] == "reference line"
    assert "data-free" not in offered(found)
