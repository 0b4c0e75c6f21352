"""Densities of layers, from the receipts."""

from __future__ import annotations

from pabench_reports.layers import layer_densities

from ..synthetic import CRITERIA, cells, record, study_of


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
