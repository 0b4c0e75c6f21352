"""The protocol: whether cells of a block share what they should."""

from __future__ import annotations

from dataclasses import replace

from pabench_reports.protocol import Protocol, pairing, precisions

from pabench.report import frame
from pabench.suite.specs import CriterionSpec, Scoring

from ..synthetic import CRITERIA, battery, cells, manifest, record, study_of


def test_pairing_compares_each_ablation_with_its_like():
    found = {p.what: p for p in pairing(battery())}

    assert [(p.equal, p.blocks, p.unknown) for p in found.values()] == [(6, 6, 0), (3, 3, 0), (3, 3, 0), (9, 9, 0)]
    assert found["initial weights"].unit == "groups of cells (reinit counted separately)"
    assert found["data order"].unit == "blocks"
    assert found["scoring batch"].unit == (
        "groups of cells that ask for the same number of images (random_labels, shuffled_pixels counted separately)"
    )


def test_types_of_scores_are_told_with_their_criteria_where_each_has_its_own():
    """A suite that states the type names no criterion: it is that of all."""
    dense, *_ = cells(seeds=1)
    snip, grasp = (replace(dense, criterion=CRITERIA[name], sparsity=0.9) for name in ("snip", "grasp"))
    own = [
        replace(dense, scoring=Scoring(because="dense")),
        replace(snip, scoring=Scoring("float32", because="criterion")),
        replace(grasp, scoring=Scoring("float64", because="network")),
    ]

    assert precisions([cell.to_json() for cell in own]) == ["float32 (snip)", "float64 (grasp)"]
    assert precisions([cell.to_json() for cell in (dense, snip, grasp)]) == ["float64"]


def test_how_many_scoring_images_were_looked_at_at_once_is_told_where_it_was_stated():
    found = cells([CRITERIA["snip"]], models=["resnet20"], seeds=1)
    stated = [replace(cell, scoring=Scoring(batch=16)) for cell in found]

    pages = [Protocol().render(study_of(each)) for each in (found, stated)]

    assert ["at once at most" in page for page in pages] == [False, True]
    assert "Scoring images are looked at 16 at once at most" in pages[1]


def test_a_weight_that_should_be_shared_and_is_not_is_counted():
    study = battery()
    shuffled = study.frame[(study.frame["ablation"] == "shuffle") & (study.frame["seed"] == 1)]["key"].iloc[0]
    changed = {**study.records[shuffled], "pairing": {**study.records[shuffled]["pairing"], "weights": "f" * 64}}

    found = pairing(frame.study(study.manifest, {**study.records, shuffled: changed}))

    assert [(p.equal, p.blocks) for p in found][:2] == [(5, 6), (3, 3)]


def test_pairing_is_counted_from_the_hashes():
    def other_weights(cell):
        good = record(cell)
        return {**good, "pairing": {**good["pairing"], "weights": "f" * 64}} if cell.seed == 1 else good

    found = pairing(study_of(cells(models=["resnet20"]), grasp=other_weights))

    assert {p.what: (p.equal, p.blocks) for p in found} == {
        "initial weights": (2, 3),
        "data order": (3, 3),
        "augmentation": (3, 3),
        "scoring batch": (3, 3),
    }


def test_scoring_batches_compare_among_criteria_that_ask_for_as_many_images():
    twice = CriterionSpec("snip", given={"examples_per_class": 20}, args={"examples_per_class": 20}, version=1)
    expected = cells([CRITERIA["grasp"], CRITERIA["snip"], twice], models=["resnet20"], seeds=1)
    records = {cell.key: record(cell) for cell in expected}
    for cell in expected:
        if cell.criterion == twice:
            records[cell.key]["pairing"]["scoring_batch"] = "e" * 64

    (batch,) = [p for p in pairing(frame.study(manifest(expected), records)) if p.what == "scoring batch"]

    assert (batch.equal, batch.blocks, batch.unknown) == (2, 2, 0)
