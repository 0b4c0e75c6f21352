"""Layer densities taken over from another criterion: `allocation: as:NAME`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

import pabench
from pabench import registry
from pabench.errors import DataError, SuiteError
from pabench.run.session import Options, Session
from pabench.scoring.criterion import ScoreCriterion
from pabench.scoring.donor import donor_layers, precision
from pabench.scoring.masks import unpack
from pabench.store.store import Store
from pabench.suite.cell import Cell
from pabench.training import prune as prune_stage
from pabench.training.stage import rebuild

SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 20, test_per_class: 10}]
models: [resnet20]
criteria: [snip, random, {name: random, allocation: "as:snip"}]
sparsities: [0.5, 0.9]
seeds: 1
recipe: {epochs: 1, batch_size: 32, lr: 0.05}
"""


@pytest.mark.parametrize(
    ("name", "parameters", "needed"),
    [
        ("snip", {}, "float32"),
        ("snip", {"steps": 2}, "float64"),  # one round is what float32 was compared in
        ("iter_snip", {"steps": 1}, "float64"),
        ("random", {"allocation": "as:snip"}, "float32"),
        ("random", {"allocation": "as:force"}, "float64"),
        ("force", {"allocation": "as:snip"}, "float64"),
    ],
)
def test_float32_is_for_criteria_that_do_with_it_in_their_rounds_and_so_do_their_donors(name, parameters, needed):
    assert precision(registry.criterion(name, parameters)) == needed


def test_a_criterion_that_says_nothing_is_scored_in_float64():
    """A plugin's author knows whether float32 will do; nobody else does."""
    assert ScoreCriterion.precision == "float64"


def counts(masks):
    return {n: int(m.sum()) for n, m in masks.items()}


@pytest.mark.parametrize("donor", ["snip", "snip@synaptic-flow", "synflow", "magnitude"])
def test_each_layer_keeps_as_many_weights_as_the_donor_would_and_others(case, donor):
    """In the donor's own BatchNorm mode, with its own rounds: snip scores by the batch, random in eval mode."""
    reference = case("b")

    given = pabench.prune(reference.module, donor, sparsity=0.9, batch=reference.batch)
    taken = pabench.prune(reference.module, "random", sparsity=0.9, batch=reference.batch, allocation=f"as:{donor}")

    assert counts(taken) == counts(given)
    assert any(not torch.equal(taken[n], given[n]) for n in given)
    assert taken.receipt["donor"]["name"] == donor.partition("@")[0]
    assert taken.receipt["donor"]["args"] == given.receipt["parameters"]
    assert "donor" not in given.receipt


def test_two_batchnorm_modes_of_a_donor_give_two_allocations(case):
    """Otherwise the test above could not tell whose mode was used."""
    reference = case("b")

    train, stored = (
        pabench.prune(reference.module, "random", sparsity=0.9, batch=reference.batch, allocation=f"as:{donor}")
        for donor in ("snip", "snip@synaptic-flow")
    )

    assert counts(train) != counts(stored)


def test_in_rounds_every_round_has_the_donors_counts_at_its_density(case):
    """Of 4,928 weights 0.1 ** (1/2) stay after the first of two rounds."""
    reference = case("a")
    asked = []
    rule = pabench.registry.criterion("magnitude", {"allocation": "as:snip", "steps": 2})

    def prune(donor, density):
        asked.append((donor.name, density))
        return pabench.prune(reference.module, donor, sparsity=1 - density, batch=reference.batch)

    layers = donor_layers(rule, prune)
    first, last, again = layers("as:snip", 0.1**0.5), layers("as:snip", 0.1), layers("as:snip", 0.1)

    taken = pabench.prune(
        reference.module, "magnitude", sparsity=0.9, batch=reference.batch, allocation="as:snip", steps=2
    )
    assert asked == [("snip", 0.1**0.5), ("snip", 0.1)]
    assert sum(first.values()) == 4928 - 3369
    assert counts(taken) == last == again


def test_a_transplant_keeps_the_count_in_every_layer_of_a_criterion_in_rounds(case):
    reference = case("b")

    given = pabench.prune(reference.module, "magnitude", sparsity=0.98)
    options = {"batch": reference.batch, "allocation": "as:magnitude", "steps": 4}
    taken = pabench.prune(reference.module, "force", sparsity=0.98, **options)

    assert counts(taken) == counts(given)


@pytest.mark.parametrize(
    ("allocation", "message"),
    [
        ("as:synflo", "random: allocation: no criterion named 'synflo'; did you mean 'synflow'"),
        ("as:grasp@offical", "random: allocation: grasp has no variant 'offical'; did you mean 'official'"),
        ("as:follower", "random: allocation: follower takes its layer densities over itself"),
        ("as: snip", "random: allocation: input should be 'global', "),
    ],
)
def test_a_donor_that_cannot_be_is_refused_in_one_line(case, fresh_registry, tmp_path, allocation, message):
    plugin = tmp_path / "follower.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from pabench.plugins import ScoreCriterion\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Follower(ScoreCriterion):\n"
        "    name = 'follower'\n"
        "    allocation: str = 'as:snip'\n"
        "    def score(self, ctx):\n"
        "        return ctx.weights\n"
    )
    pabench.registry.drop_in(plugin)

    with pytest.raises(SuiteError) as error:
        pabench.prune(case("a").module, "random", sparsity=0.5, batch=case("a").batch, allocation=allocation)

    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The cells of a suite, and the store with their masks; nothing is trained."""
    folder = tmp_path_factory.mktemp("donor")
    (folder / "study.yaml").write_text(SUITE)
    cells = Session.open(Options(suite=str(folder / "study.yaml"), device="cpu")).cells
    store = Store(folder / "out")
    store.open_study({"suite": SUITE, "name": "study", "cells": []})
    for label in {c.criterion.label for c in cells}:
        mine = [c.to_json() for c in cells if c.criterion.label == label]
        prune_stage.prune({"store": str(store.folder), "cells": mine, "device": "cpu"}, lambda _: None)
    return cells, store


def test_a_study_transplants_at_every_sparsity(study):
    cells, store = study
    found = {}
    for cell in cells:
        mask = store.get("receipts", cell.pruning_key)["receipt"]["mask"]
        found[cell.criterion.label, cell.sparsity] = counts(unpack(store.get_mask(mask))[0])

    for sparsity in (0.5, 0.9):
        assert found["random (allocation=as:snip)", sparsity] == found["snip", sparsity]
        assert found["random (allocation=as:snip)", sparsity] != found["random", sparsity]


def test_the_donor_is_part_of_the_cells_key_and_of_nobody_elses(study):
    cells, _ = study
    by_label = {c.criterion.label: c for c in cells if c.sparsity == 0.9}
    taken, plain, snip = by_label["random (allocation=as:snip)"], by_label["random"], by_label["snip"]

    donor = taken.criterion.donor
    assert donor == {**snip.criterion.identity(), "sha256": snip.criterion.sha256}
    assert "sha256" not in taken.criterion.identity()["donor"]
    older = replace(taken, criterion=replace(taken.criterion, donor={**donor, "version": donor["version"] + 1}))
    assert older.pruning_key != taken.pruning_key
    assert set(plain.criterion.identity()) == {"name", "args", "version", "source"}
    # a manifest of before there were donors
    old = json.loads(json.dumps(plain.to_json()))
    del old["criterion"]["donor"]
    assert Cell.from_json(old).key == plain.key
    assert Cell.from_json(json.loads(json.dumps(taken.to_json()))).key == taken.key


def test_a_donor_that_has_changed_since_the_run_began_is_noticed(study):
    cells, _ = study
    cell = next(c for c in cells if c.criterion.donor)
    changed = replace(cell, criterion=replace(cell.criterion, donor={**cell.criterion.donor, "source": "0" * 64}))

    assert rebuild(cell).allocation == "as:snip"
    with pytest.raises(DataError, match="as:snip: the criterion has changed since the run began"):
        rebuild(changed)


def test_an_unknown_donor_is_told_at_its_place(tmp_path):
    (tmp_path / "study.yaml").write_text(SUITE.replace("as:snip", "as:snp"))

    with pytest.raises(SuiteError) as error:
        Session.open(Options(suite=str(tmp_path / "study.yaml"), device="cpu"))

    assert "study.yaml:5:" in str(error.value)
    assert "criteria.2.allocation: no criterion named 'snp'; did you mean 'snip'" in str(error.value)
