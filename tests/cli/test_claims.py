"""Claims on the command line: run, read, and rendered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pabench.leaderboard.claims import find, load, shipped
from pabench.store.store import Store

from .test_main import pabench

CLAIM = """
claim: SynFlow's flow is conserved, and random pruning keeps another mask.
source: ours
needs: nothing
suite:
  protocol: pai-v1
  datasets: [{name: digits, train_per_class: 10, test_per_class: 5}]
  models: [lenet_300_100]
  criteria: [random, {name: synflow, steps: 1}]
  sparsities: [0.9]
  seeds: 1
  metrics: [layer_flow]
  recipe: {epochs: 1}
tests:
  - bound: {of: layer_flow.most, who: synflow (steps=1), at_least: 0.999999, at_most: 1.000001}
  - bound: {of: overlap.jaccard, who: random, beside: synflow (steps=1), at_most: 0.5}
  - bound: {of: layer_collapse.dead, who: random, at_most: 0}
"""


@pytest.mark.slow
def test_a_claim_on_masks_is_run_without_training_and_told_again_from_its_results(tmp_path):
    (tmp_path / "flow.yaml").write_text(CLAIM)

    first = pabench("claims", "flow.yaml", "--run", "-j", "1", "--device", "cpu", cwd=tmp_path)
    again = pabench("claims", "flow.yaml", "--json", "--html", "page.html", cwd=tmp_path)

    assert first.returncode == 0, first.stderr
    assert "masks: 2 ok" in first.stdout
    assert "confirmed      flow: SynFlow's flow is conserved" in first.stdout
    found = "layer_flow.most at all sparsities: synflow (steps=1) 1 in 1 value; asked: at least 0.999999 and at most 1."
    assert found in first.stdout
    assert list(Store(tmp_path / "results" / "claims" / "flow").each()) == []  # nothing was trained
    (told,) = json.loads(again.stdout)
    assert told["state"] == "confirmed"
    assert [test["verdict"] for test in told["tests"]] == ["confirmed"] * 3
    assert told["tests"][0]["values"]["value"] == pytest.approx([1])
    assert "overlap.jaccard" in (tmp_path / "page.html").read_text()


def test_an_unknown_claim_is_a_line():
    said = pabench("claims", "synflow_keeps_layer")

    assert said.returncode == 2
    assert said.stderr.startswith("no claim 'synflow_keeps_layer'; did you mean 'synflow_keeps_layers'? known: ")


PUBLISHED = Path(__file__).parents[2] / "reports" / "published" / "claims.json"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Claims that share a suite share its results."""
    return tmp_path_factory.mktemp("claims")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [name for name in shipped() if load(find(name)).needs == "nothing"])
def test_what_is_published_of_a_claim_on_masks_is_found_again(name, results):
    """Masks are the same on every machine, so verdicts are; claims on accuracies take longer and may differ."""
    expected = {one["name"]: one["state"] for one in json.loads(PUBLISHED.read_text())}[name]

    said = pabench("claims", name, "--run", "-o", results, "--device", "cpu")

    if said.returncode == 5 and "pabench fetch fashion_mnist" in said.stderr:
        pytest.skip("Fashion-MNIST is not on this machine; 31 MB, `pabench fetch fashion_mnist`")
    (line,) = (line for line in said.stdout.splitlines() if f" {name}: " in line)
    assert line.startswith(expected)
