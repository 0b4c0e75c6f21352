"""Densities of layers, from the receipts."""

from __future__ import annotations

import re
from dataclasses import replace

from pabench_reports.figure import Plate
from pabench_reports.layers import Layers, layer_densities

from ..synthetic import CRITERIA, cells, collapsed, record, study_of


def test_a_layer_has_the_share_that_its_receipt_says():
    """36 of 144 and none of 10 weights, in the order of the network; the dense network has no receipt."""
    layers = [{"name": "a.weight", "total": 144, "kept": 36}, {"name": "b.weight", "total": 10, "kept": 0}]

    def made(cell):
        good = record(cell)
        return {**good, "receipt": {**good["receipt"], "layers": layers}}

    study = study_of(cells([CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=1), snip=made)

    found = layer_densities(study, study.plain)
    assert found[["criterion", "depth", "layer", "density"]].values.tolist() == [
        ["snip", 0, "a.weight", 0.25],
        ["snip", 1, "b.weight", 0.0],
    ]


def test_panels_on_one_figure_are_drawn_as_each_on_its_own():
    """With a layer that is empty at 95 % alone: its cross must not stay on the panel after it."""

    def made(cell):
        return collapsed(cell) if cell.sparsity == 0.95 else record(cell)

    study = study_of(cells([CRITERIA["snip"], CRITERIA["synflow"]], models=["resnet20"], seeds=1), snip=made)
    (together,), (apart,) = Layers().figures(study), Layers().figures(study)

    own = [replace(panel, plate=Plate()).svg for panel in apart.panels]

    assert [panel.svg for panel in together.panels] == own
    assert len(set(own)) == 3


def test_panels_on_one_figure_share_no_name():
    """All stand on one page, where a name is of one thing."""
    study = study_of(cells([CRITERIA["snip"]], models=["resnet20"], seeds=1))
    (drawn,) = Layers().figures(study)

    names = [name for panel in drawn.panels for name in re.findall(r'\bid="([^"]+)"', panel.svg)]

    assert len(names) >= 3
    assert len(names) == len(set(names))
