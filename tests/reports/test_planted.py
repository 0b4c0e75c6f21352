"""The section on planted tickets, by records and measurements that are written out."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from pabench_reports import planted
from pabench_reports.figure import looks_of
from pabench_reports.planted import Planted, _found, draw, theirs

from pabench.report import frame
from pabench.store.figures import entry, file
from pabench.suite.specs import DatasetSpec, MetricSpec, ModelSpec, Recipe

from ..synthetic import CRITERIA, cells, manifest, record

SPEC = MetricSpec("planted", {}, 1, "s" * 64, "mask", "planted ticket", "")
CODE = Recipe(epochs=10, batch_size=64, optimizer="adamw", lr=0.001, momentum=0.0, weight_decay=0.0)


def made(r2=None, **by_criterion):
    """random and snip at two sparsities on two seeds; `by_criterion` is the recall of each."""
    expected = [
        replace(
            cell,
            dataset=DatasetSpec("planted_helix", {"noise": 0.01, "samples": 10_000}, fingerprint="f" * 64),
            model=ModelSpec("planted", {"width": 50, "depth": 5}),
            recipe=CODE,
        )
        for cell in cells(
            [CRITERIA["random"], CRITERIA["snip"]], datasets=["x"], models=["y"], sparsities=[0.9, 0.98], seeds=2
        )
    ]
    records, entries = {}, []
    for cell in expected:
        told = record(cell)
        result = {k: v for k, v in told["result"].items() if k not in ("top1", "top5")}
        test = {"images": 1000, "outputs": 3, "sha256": "a" * 64}
        value = 0.5 if r2 is None else r2
        told["result"] = {**result, "r2": value, "compared_by": {"name": "r2", "chance": 0.0}, "test": test}
        told.pop("training_images", None)
        records[cell.key] = told
        if cell.criterion:
            recall = by_criterion[cell.criterion.name]
            entries.append(entry((cell.pruning_key,), SPEC, numbers(recall)))
    return frame.study({**manifest(expected), "metrics": [SPEC.__dict__]}, records, [file(entries)])


def numbers(recall):
    return {
        "precision": recall / 2, "recall": recall, "sparsity": 1 - 95 / 5200, "size": 95,
        "lost_layers": 2 if recall < 0.5 else 0, "short_layers": 1, "layers": 4,
        "quality": recall - 0.1, "loss": 0.25, "ticket_quality": 0.999, "ticket_loss": 0.0001,
        "precision.fc.weight": None, "recall.fc.weight": recall,
    }  # fmt: skip


def text(html):
    return re.sub(r"\s+", " ", re.sub(r"<svg.*?</svg>|<[^>]+>", " ", html, flags=re.S))


def test_the_sentence_is_of_the_sparsity_that_is_closest_to_the_tickets():
    """98.17 % of the weights are not the ticket's: of 90 and 98 % it is the second."""
    (found,) = _found(made(random=0.02, snip=0.25))

    assert found.nearest == 0.98
    assert found.said == (
        "At 98 % sparsity (the ticket has 98.173 %, 95 weights) the most that a criterion keeps of the ticket is 25 % "
        "(snip). Before training the ticket alone has R² 0.9990, and the best mask 0.1500 (snip); after training the "
        "best has 0.5000 (random)."
    )


def test_where_nothing_of_the_ticket_is_kept_no_criterion_is_named_for_it():
    (found,) = _found(made(random=0.0, snip=0.0))
    assert "no criterion keeps a single weight of the ticket" in found.said


def test_a_line_has_means_over_seeds_and_the_worst_layers():
    (found,) = _found(made(random=0.02, snip=0.5))
    line = next(line for line in found.lines if (line.criterion, line.sparsity) == ("snip", 0.9))

    assert (line.precision, line.recall, line.lost, line.short, line.seeds) == (0.25, 0.5, 0, 1, 2)
    assert (line.before, line.after) == (pytest.approx(40.0), pytest.approx(50.0))  # points: hundredths of R²


def test_the_page_tells_r2_and_recall_and_a_layer_that_keeps_nothing():
    page = text(Planted().render(made(random=0.02, snip=0.5)))

    assert "R² before" in page
    assert re.search(r"snip 98 % 25 % 50 % 0 1 0\.4000 0\.25 0\.5000", page)
    assert "– / 50 %" in page  # no weight kept in the layer: no precision


def test_figures_have_a_tooltip_for_each_point_and_the_ticket():
    study = made(random=0.02, snip=0.5)
    drawn = draw(_found(study)[0], looks_of(study.plain))

    assert [panel.name.split("-")[1] for panel in drawn.panels] == ["recall", "before", "after"]
    assert "snip at 98 %: 50 %, n = 2" in drawn.panels[0].svg
    assert "the ticket: 0.9990" in drawn.panels[1].svg
    assert dict(drawn.numbers.lines)["snip"] == ("50", "50", "0.4000", "0.4000", "0.5000", "0.5000")


def test_a_study_without_the_metric_has_no_such_section():
    expected = cells([CRITERIA["random"]], seeds=1)
    study = frame.study(manifest(expected), {cell.key: record(cell) for cell in expected})
    assert Planted().render(study) is None
    assert Planted().figures(study) == []


def test_the_authors_figures_stand_beside_equal_settings_alone(monkeypatch):
    row = {
        "dataset": "planted_helix", "criterion": "snip", "sparsity": "0.98", "width": "50", "depth": "5",
        "runs": "3", "precision": "0.1", "recall": "0.2", "before": "0.3", "after": "0.4",
    }  # fmt: skip
    monkeypatch.setattr(planted, "_rows", lambda: [row])
    cell = next(cell for cell in made(random=0.0, snip=0.0).cells.values() if cell.criterion)

    assert theirs(cell, "snip", 0.98) == planted.Theirs(0.1, 0.2, 0.3, 0.4, 3)
    others = (
        theirs(cell, "snip", 0.9),
        theirs(cell, "grasp", 0.98),
        theirs(replace(cell, recipe=replace(CODE, epochs=20)), "snip", 0.98),
        theirs(replace(cell, model=ModelSpec("planted", {"width": 60, "depth": 5})), "snip", 0.98),
        theirs(replace(cell, dataset=DatasetSpec("planted_helix", {"noise": 0.1, "samples": 10_000})), "snip", 0.98),
    )
    assert others == (None,) * 5


def test_the_shipped_figures_are_of_known_tasks_and_within_what_they_can_be():
    for row in planted._rows():
        assert row["dataset"] in ("planted_relu", "planted_circle", "planted_helix")
        assert 0 <= float(row["recall"]) <= 1
        assert 0 <= float(row["precision"]) <= 1
        assert float(row["after"]) <= (100 if row["dataset"] == "planted_circle" else 1)
