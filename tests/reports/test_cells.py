"""The table of cells, and their packed curves."""

from __future__ import annotations

import base64
import gzip
import json

import numpy as np
import pytest
from pabench_reports import cells as cells_section
from pabench_reports.cells import DIGITS, STEPS, Cells, table, zipped

from pabench.report import frame

from ..synthetic import CRITERIA, battery, cells, record, study_of, study_with_trouble
from .test_diagnostics import SMALL, files, study, usual
from .test_sanity import TWO


def test_the_cells_table_has_what_was_measured_of_each_cell():
    """Effective density always, by its place; other metrics after the facts that every study has."""
    made, bare = (cells_section.table(s) for s in (study(SMALL, files(SMALL, usual)), study(SMALL, [])))

    place = made["facts"].index("effective_density")
    assert place == made["own"] - 1 == len(bare["facts"]) - 1
    row = next(r for r in made["rows"] if r[3] == 0.9)
    assert (row[7][place], row[7][made["facts"].index("theirs")]) == (0.05, 7)
    assert [c for c in made["facts"] if c.startswith("gradient_norm.")] == ["gradient_norm.change"]
    assert bare["rows"][1][7][place] is None


def test_the_table_of_cells_can_be_filtered_by_ablation():
    study = battery(["invert"], criteria=TWO, seeds=1)
    data = table(study)

    assert data["ablation"] == ["", "invert"]
    assert data["only"]["ablation"] == ["ablation=none", "ablation=invert"]
    assert [data["ablation"][row[14]] for row in data["rows"]] == ["", "", "", "invert", "invert"]
    assert data["rows"][3][15] == 1  # the row of its parent
    assert '<select name="ablation">' in Cells().render(study)
    assert '<select name="ablation">' not in Cells().render(battery([], seeds=1))


def unpacked(text: str, top: float) -> list[float]:
    """What the page's script makes of a packed curve."""
    return [top * (64 * DIGITS.index(text[i]) + DIGITS.index(text[i + 1])) / STEPS for i in range(0, len(text), 2)]


def test_a_packed_curve_is_read_back_to_a_part_in_four_thousand():
    values = [0.0, 1.234, 2.5, 0.017]

    assert unpacked(*cells_section.packed(np.array([values]), np.array([2.5])), 2.5) == pytest.approx(
        values, abs=2.5 / 4095 / 2
    )
    assert cells_section.packed(np.array([[np.nan, np.inf, 9.0, -1.0]]), np.array([2.5])) == ["....//AA"]


def test_rows_go_to_the_page_by_columns_and_are_small():
    """At most 250 bytes a cell, half of them its curve: 10,000 cells, with half the points, are a page of 3 MB."""
    made = table(study_of(cells(seeds=20)))
    text = zipped(made)

    found = json.loads(gzip.decompress(base64.b64decode(text)))
    rows = list(map(list, zip(*found["rows"], strict=True)))
    assert {**found, "rows": rows} == json.loads(json.dumps(made, default=list))
    assert len(text) / len(made["rows"]) < 250


def test_a_row_says_which_mask_and_leads_to_its_plain_cell():
    expected = cells([CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=1, ablations=["shuffle"])

    rows = table(study_of(expected))["rows"]

    assert [row[15] for row in rows] == [-1, -1, 1]
    assert rows[1][16] == record(expected[1])["receipt"]["mask"][:16]


def test_curves_keep_their_first_and_last_epoch():
    troubled = frame.study(*study_with_trouble())
    found = table(troubled)
    rows = found["rows"]

    place, top, loss, top1 = rows[0][12]
    epochs = found["epochs"][place]
    assert (epochs[0], epochs[-1], len(epochs), len(loss), len(top1)) == (1, 160, 24, 48, 48)
    given = troubled.records[rows[0][8]]["result"]["curve"]["loss"]
    assert unpacked(loss, top)[0] == pytest.approx(given[0], abs=0.01)
    assert unpacked(loss, top)[-1] == pytest.approx(given[-1], abs=0.01)
