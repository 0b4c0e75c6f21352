"""Whether cells are paired."""

from __future__ import annotations

import pytest
from pabench_reports.conduct import answers
from pabench_reports.protocol import pairing, unpaired

from pabench.cli.results import status_text
from pabench.report import frame
from pabench.report.folders import read
from pabench.report.pairings import pairings
from pabench.report.status import counts
from pabench.store.store import Store

from .. import synthetic
from ..run.conftest import FOUR, ONE_SEED, run, write


def test_status_compares_each_ablation_with_its_like(ablated):
    folder, _, _ = ablated

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
def test_status_names_a_block_that_is_not_paired(ablated, monkeypatch, changed, told):
    folder, records, _ = ablated
    found = read(folder)
    record = records[changed]
    tampered = {**record, "pairing": {**record["pairing"], "weights": "f" * 64}}
    study = frame.study(found.manifest, {**found.records, record["key"]: tampered})
    monkeypatch.setattr("pabench.report.pairings.read", lambda _: study)

    (line,) = pairings(folder)["unpaired"]

    assert line.endswith(told)


def test_status_tells_an_ablation_that_changed_nothing(ablated, monkeypatch):
    folder, records, _ = ablated
    found = read(folder)
    plain = records["snip", 0.9, ""]["pairing"]
    same = {k: {**r, "pairing": plain} if r["ablation"] == "reinit" else r for k, r in found.records.items()}
    monkeypatch.setattr("pabench.report.pairings.read", lambda _: frame.study(found.manifest, same))

    (line,) = pairings(folder)["unpaired"]

    assert line.endswith("(reinit): weights is that of the plain cells, which the ablation should have changed")


def test_status_proves_the_pairing(results):
    assert pairings(results) == {"blocks": 2, "cells": 14, "unpaired": [], "apart": []}
    assert counts(results)["ok"] == 14


def test_pairing_is_about_the_suite_as_it_is_now(tmp_path):
    """Records of an earlier recipe in the folder have another augmentation: no unpaired block."""
    text = ONE_SEED.replace(FOUR, "random")
    run(write(tmp_path, text), tmp_path / "out")
    run(write(tmp_path, text.replace("{crop: 1}", "none")), tmp_path / "out")

    assert pairings(tmp_path / "out") == {"blocks": 1, "cells": 3, "unpaired": [], "apart": []}


# --- Pairing: the command and the page are of one mind ----------------------------------------------------------------


def before_training(cell):
    """The record of a cell whose criterion raised: it has no hashes, for nothing of it was trained."""
    return {**synthetic.failed(cell), "kind": "plugin-error", "pairing": {}, "receipt": None}


def nameless(cell):
    return synthetic.record(cell, pairing={})


def other_weights(cell):
    whole = synthetic.record(cell)
    return whole if cell.ablation else {**whole, "pairing": {**whole["pairing"], "weights": "f" * 64}}


def plain_weights(cell):
    """Those of the block, which an ablation should have drawn anew."""
    plain = synthetic.record(cell.parent() if cell.ablation else cell)["pairing"]
    return synthetic.record(cell, pairing=plain)


@pytest.mark.parametrize(
    ("make", "told", "proven", "warning"),
    [
        (synthetic.record, [], [(4, 4, 0), (2, 2, 0), (2, 2, 0), (2, 2, 0)], ""),
        (before_training, [], [(3, 3, 0), (2, 2, 0), (2, 2, 0), (1, 1, 0)], ""),
        (
            nameless,
            [
                *(": weights has 1 finished cell without a hash", "(reinit): weights has 1 finished cell without"),
                *(": order has 2 finished cells without", ": augmentation has 2 finished cells without"),
                ": scoring_batch has 2 finished cells without a hash",
            ],
            [(2, 4, 2), (1, 2, 1), (1, 2, 1), (1, 2, 1)],
            "",
        ),
        (
            other_weights,
            [": weights has 2 different hashes"],
            [(3, 4, 0), (2, 2, 0), (2, 2, 0), (2, 2, 0)],
            "Initial weights differ within 1 of 4 groups of cells (reinit counted separately)",
        ),
        (
            plain_weights,
            ["(reinit): weights is that of the plain cells"],
            [(3, 4, 0), (2, 2, 0), (2, 2, 0), (2, 2, 0)],
            "Initial weights of an ablation are those of the plain cells in 1 of 4 groups",
        ),
    ],
)
def test_the_command_and_the_page_say_the_same_of_the_pairing(tmp_path, make, told, proven, warning):
    """Two blocks of a dense network and of snip, plain and re-drawn; snip's cells of one block are made otherwise."""
    expected = synthetic.cells(
        [synthetic.CRITERIA["snip"]], models=["resnet20"], sparsities=(0.9,), seeds=2, ablations=("reinit",)
    )
    store = Store(tmp_path)
    store.open_study(synthetic.manifest(expected))
    for cell in expected:
        store.commit("records", cell.key, make(cell) if cell.criterion and cell.seed else synthetic.record(cell))

    lines, study = pairings(tmp_path)["unpaired"], read(tmp_path)

    assert [words in line for words, line in zip(told, lines, strict=True)] == [True] * len(told)
    assert [(one.equal, one.blocks, one.unknown) for one in pairing(study)] == proven
    (asked,) = [one for one in answers(study) if one.question.startswith("Do criteria start")]
    assert asked.state == ("missing" if lines else "met")
    assert [warning in line for line in unpaired(study)] == ([True] if warning else [])
