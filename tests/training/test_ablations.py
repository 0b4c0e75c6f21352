"""Ablations of a study as a whole: their keys, their records, and what status says of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from pabench.cli.results import status_text
from pabench.report.folders import read
from pabench.report.status import counts, pairings
from pabench.suite.ablations import ABLATIONS


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
