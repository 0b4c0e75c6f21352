"""Ablations of a study as a whole: their keys, their records, and what status says of them."""

from __future__ import annotations

import doctest
from collections import Counter
from dataclasses import replace
from typing import get_args

import pytest

from pabench.cli.results import status_text
from pabench.report.folders import read
from pabench.report.status import counts, pairings
from pabench.suite import ablations, suite as suites
from pabench.suite.ablations import ABLATIONS
from pabench.suite.cell import Cell

from ..synthetic import cells


def test_cells_of_a_time_before_ablations_keep_their_keys():
    """Of a synthetic cell, as computed before the field existed."""
    cell = next(c for c in cells() if c.criterion and c.criterion.name == "synflow")

    assert cell.key == "6cd3f91fea842208b72ff2d0a79bc83fa9520c192a0871c016a4e04ac5170ad9"
    assert cell.pruning_key == "0985fab1b2abffc349e043c32161f6decedc2602a5718d4cb76c19d21611343f"
    assert "ablation" not in cell.to_json()
    assert Cell.from_json(cell.to_json()).key == cell.key


def test_each_ablation_has_a_key_of_its_own_and_the_seeds_of_its_block():
    plain = next(c for c in cells() if c.criterion)
    ablated = [replace(plain, ablation=name) for name in ABLATIONS]

    assert len({c.key for c in [plain, *ablated]}) == 6
    assert {c.seed_for("order") for c in ablated} == {plain.seed_for("order")}
    assert {c.parent().key for c in ablated} == {plain.key}
    assert {Cell.from_json(c.to_json()).key for c in ablated} == {c.key for c in ablated}


def test_re_drawn_weights_have_the_masks_of_their_parent_and_the_others_their_own():
    plain = next(c for c in cells() if c.criterion)
    keys = {name: replace(plain, ablation=name).pruning_key for name in ABLATIONS}

    assert keys["reinit"] == plain.pruning_key
    assert len({plain.pruning_key, *keys.values()}) == 5


def test_a_suite_may_name_exactly_these():
    assert get_args(suites.Ablation) == tuple(ABLATIONS)
    assert doctest.testmod(ablations).failed == 0


def test_every_criterion_and_sparsity_has_its_ablations_and_the_dense_network_none(study):
    _, records, _ = study

    found = Counter((criterion, name) for criterion, _, name in records)
    assert found == {**{(c, a): 2 for c in ("random", "snip") for a in ("", *ABLATIONS)}, ("dense", ""): 1}


def test_a_record_names_its_parent(study):
    _, records, _ = study

    for (criterion, sparsity, name), record in records.items():
        assert record["parent"] == (records[criterion, sparsity, ""]["key"] if name else "")
        assert record["labels"].get("ablation", "") == name


def test_status_compares_each_ablation_with_its_like(study):
    folder, _, _ = study

    found = pairings(folder)

    assert (found["blocks"], found["cells"], found["unpaired"]) == (1, 21, [])
    assert found["apart"] == [
        "random_labels in scoring_batch",
        "reinit in weights",
        "shuffled_pixels in scoring_batch",
    ]
    assert "differs by design: reinit in weights" in status_text({**counts(folder), "pairing": found})


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("snip", 0.9, "reinit"), "(reinit): weights has 2 different hashes"),
        (("snip", 0.9, "shuffle"), ": weights has 2 different hashes"),
    ],
)
def test_status_names_a_block_that_is_not_paired(study, monkeypatch, changed, told):
    folder, records, _ = study
    found = read(folder)
    record = records[changed]
    tampered = {**record, "pairing": {**record["pairing"], "weights": "f" * 64}}
    monkeypatch.setattr(
        "pabench.report.status.read", lambda _: replace(found, records={**found.records, record["key"]: tampered})
    )

    (line,) = pairings(folder)["unpaired"]

    assert line.endswith(told)


def test_status_tells_an_ablation_that_changed_nothing(study, monkeypatch):
    folder, records, _ = study
    found = read(folder)
    plain = records["snip", 0.9, ""]["pairing"]
    same = {k: {**r, "pairing": plain} if r["ablation"] == "reinit" else r for k, r in found.records.items()}
    monkeypatch.setattr("pabench.report.status.read", lambda _: replace(found, records=same))

    (line,) = pairings(folder)["unpaired"]

    assert line.endswith("(reinit): weights is that of the plain cells, which the ablation should have changed")
