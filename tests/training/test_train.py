"""Records of cells: one for each, with its parent."""

from __future__ import annotations

from collections import Counter

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
