"""What a datasheet says is counted in the records."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pabench.leaderboard.boards import boards
from pabench.leaderboard.datasheet import datasheet
from pabench.report import frame
from pabench.suite.specs import CriterionSpec

from .. import synthetic
from .test_boards import grid, published


def made(*studies, authors=("Ada Lovelace",), title="Boards", licence="CC0-1.0"):
    levels = {study.slug: 2 for study in studies}
    return datasheet(boards(studies), studies, title, authors, "2026-11-30", levels=levels, licence=licence)


def test_cells_are_counted_by_study_and_how_they_ended():
    """3 seeds of dense and of 2 criteria at 3 sparsities: 21 cells, one of which failed, one is missing."""
    cells = grid("random", "snip")
    records = {cell.key: synthetic.record(cell) for cell in cells}
    first, last = cells[1], cells[-1]
    records[first.key] = synthetic.failed(first)
    del records[last.key]
    study = replace(published(cells), study=frame.study(synthetic.manifest(cells, "one"), records))

    text = made(study)

    assert "21 cells in 1 study. 1 board is made of them." in text
    flagged = int(study.study.frame["flags"].map(bool).sum())
    assert f"| one | 21 | 19 | 1 | 0 | 1 | {flagged} | 2 |" in text
    assert "1 cell of the grids has no record and was not run." in text.replace("were", "was")
    kind = records[first.key]["kind"]
    assert f"Cells without a result: failed: {kind} (1)." in text


def test_a_whole_study_of_which_nothing_failed_says_so():
    text = made(published(grid("random", "snip")))

    assert "No cell: each has a record." in text
    assert "No cell failed or was skipped." in text
    assert "**Criteria and reference lines:** random, snip." in text
    assert "**Ablations:** none." in text


def test_a_cell_of_two_studies_is_told_to_be_one():
    text = made(published(grid("random", "snip"), "one"), published(grid("random", "grasp"), "two"))

    assert "42 cells in 2 studies; 12 of them are there more than once, in several studies." in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"licence": "CC-BY-4.0"}, "- **Licence:** CC-BY-4.0\n"),
        ({"authors": ()}, "The site: its publisher, who gave no name."),
        ({"authors": ("Ada", "Grace")}, "The site: Ada, Grace."),
    ],
)
def test_it_says_who_published_and_under_which_licence(options, said):
    assert said in made(published(grid("random", "snip")), **options)


def test_a_rejected_study_is_told():
    text = made(replace(published(grid("random", "snip")), rejected="level 4: no"))

    assert "A verification rejected one; no row of it has a badge." in text
    assert "| rejected |" in text


def test_names_of_strangers_are_text_and_the_same_records_give_the_same_bytes():
    cells = synthetic.cells([synthetic.CRITERIA["random"], CriterionSpec("a|b <i>\n# c", version=1)])
    text = made(published(cells), title="[x](y)\n# z")

    assert text == made(published(cells), title="[x](y)\n# z")
    assert "a\\|b \\<i\\> # c" in text
    assert text.startswith("# Datasheet: \\[x\\](y) # z\n")
