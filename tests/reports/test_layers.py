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
    assert list(found.index) == [(0.9, "snip", 0)]
    assert list(found.columns) == ["a.weight", "b.weight"]
    assert found.to_numpy().tolist() == [[0.25, 0.0]]


def test_of_networks_with_other_layers_a_place_is_called_as_in_the_first_that_has_it():
    """As where one of a width of its own was trained in another version of timm."""
    names = {"snip": ["a.weight"], "synflow": ["first.weight", "b.weight"]}

    def made(cell):
        layers = [{"name": name, "total": 4, "kept": 1} for name in names[cell.criterion.name]]
        good = record(cell)
        return {**good, "receipt": {**good["receipt"], "layers": layers}}

    both = [CRITERIA["snip"], CRITERIA["synflow"]]
    study = study_of(cells(both, models=["resnet20"], sparsities=[0.9], seeds=1), snip=made, synflow=made)

    found = layer_densities(study, study.plain)
    assert list(found.columns) == ["a.weight", "b.weight"]
    assert found.fillna(-1).to_numpy().tolist() == [[0.25, -1], [0.25, 0.25]]
    (drawn,) = Layers().figures(study)
    assert drawn.numbers.lines == (
        ("snip, 90 %", ("25 %", "")),
        ("synflow (steps=100), 90 %", ("25 %", "25 %")),
    )


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


def test_masks_that_leave_nothing_have_a_scale_too():
    def made(cell):
        good = record(cell)
        layers = [{**layer, "kept": 0} for layer in good["receipt"]["layers"]]
        return {**good, "receipt": {**good["receipt"], "layers": layers}}

    study = study_of(cells([CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=1), snip=made)

    (drawn,) = Layers().figures(study)
    assert drawn.panels[0].svg.startswith("<svg")
