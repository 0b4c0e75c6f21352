"""`pabench score`: a criterion on a model without a study."""

from __future__ import annotations

import json

import pytest

from pabench.scoring.masks import Masks, unpack
from pabench.store.store import Store

from .conftest import SUITE
from .test_main import pabench


def test_score_tells_densities_zeros_and_cost_and_saves_the_masks(tmp_path):
    said = pabench("score", "lenet_300_100", "-c", "snip", "--sparsity", "0.8", "-o", "m.safetensors", cwd=tmp_path)

    lines = said.stdout.splitlines()
    # 3 x 32 x 32 x 300 + 300 x 100 + 100 x 10 = 952,600 weights, of which a fifth stays
    assert lines[0].split() == ["layer", "shape", "kept", "density", "zero", "scores"]
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["fc1.weight", "300x3072"],
        ["fc2.weight", "100x300"],
        ["fc.weight", "10x100"],
    ]
    assert lines[4] == "snip on lenet_300_100, digits at 3x32x32, float32, seed 0"
    assert lines[5] == "kept 190,520 of 952,600 weights, sparsity 80 %"
    assert lines[8].startswith("scored in ")
    masks = Masks.load(tmp_path / "m.safetensors")
    kept = [int(line.split()[2].replace(",", "")) for line in lines[1:4]]
    assert [int(m.sum()) for m in masks.values()] == kept
    assert sum(kept) == 190520


def test_score_on_a_dataset_gives_the_mask_of_a_study(tmp_path):
    """Same dataset, model, criterion and seed: the same block, so the same mask."""
    text = SUITE.replace("{name: digits, train_per_class: 10, test_per_class: 5}", "digits").replace("random", "snip")
    (tmp_path / "tiny.yaml").write_text(text)
    pabench("run", "tiny.yaml", "--only", "criterion=snip", "--device", "cpu", "-j", "1", "-o", "out", cwd=tmp_path)
    (record,) = Store(tmp_path / "out").records().values()

    words = ["-c", "snip", "--data", "digits", "--device", "cpu", "--json", "-o", "m"]
    told = json.loads(pabench("score", "lenet_300_100", *words, cwd=tmp_path).stdout)

    assert told["shape"] == [1, 8, 8]
    theirs, _ = unpack(Store(tmp_path / "out").get_mask(record["receipt"]["mask"]))
    assert all(bool((m == theirs[n]).all()) for n, m in Masks.load(tmp_path / "m").items())
    assert told["receipt"]["layers"] == record["receipt"]["layers"]
    assert told["seconds"] > 0


def test_score_passes_parameters_to_criterion_and_model():
    words = ["--param", "steps=3", "--param", "allocation=erk", "--model-arg", "width=2", "--size", "8", "--json"]

    told = json.loads(pabench("score", "resnet8", "-c", "synflow", *words).stdout)

    assert (told["receipt"]["rounds"], told["receipt"]["parameters"]["allocation"]) == (3, "erk")
    assert told["receipt"]["layers"][0]["shape"] == [2, 3, 3, 3]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-c", "snip", "--param", "steps"], "--param steps: expected KEY=VALUE, as in --param steps=10"),
        (["-c", "snip", "--sparsity", "1"], "--sparsity 1: not in [0, 1); 0.9 removes 90 % of the weights"),
        ([], "name one criterion, as in -c grasp; --time times several, or all of them"),
        (["-c", "snip", "--dtype", "half"], "--dtype half: expected auto, float64 or float32"),
        (
            ["-c", "small_dense"],
            "small_dense is no scoring at initialization (no pruning: a narrower dense network): run it in a suite",
        ),
    ],
)
def test_score_refuses_in_one_line(words, line):
    said = pabench("score", "resnet8", *words)

    assert (said.returncode, said.stderr) == (2, f"{line}\n")


def test_score_times_criteria_in_both_types():
    words = ["score", "lenet_300_100", "--time", "--size", "4"]

    rows = json.loads(pabench(*words, "-c", "random", "-c", "snip", "--repeats", "1", "--json").stdout)
    table = pabench(*words, "-c", "random", "--repeats", "2").stdout.splitlines()

    assert [(row["criterion"], row["dtype"]) for row in rows] == [
        ("random", "float64"),
        ("random", "float32"),
        ("snip", "float64"),
        ("snip", "float32"),
    ]
    assert all(row["seconds"] > 0 and not row["why"] for row in rows)
    assert table[0].startswith("lenet_300_100, digits at 3x4x4, sparsity 90 %, median of 2, ")
    assert table[2] == "| criterion | float64 | float32 | peak memory, float64 |"
    assert table[4].startswith("| random | ")


@pytest.mark.slow
def test_score_includes_what_is_asked_for():
    """sequencer2d_s, by timm: LSTMs along rows and columns in place of attention."""
    words = ["score", "sequencer2d_s", "-c", "random", "--size", "32", "--json"]

    plain, more = (json.loads(pabench(*words, *option).stdout) for option in ([], ["--include", "recurrent"]))

    recurrent = plain["receipt"]["dense"]["recurrent"]
    assert more["receipt"]["total"] - plain["receipt"]["total"] == recurrent["weights"] > 10**6
    assert "recurrent" not in more["receipt"]["dense"]
    layers, those_of_more = ({layer["name"] for layer in found["receipt"]["layers"]} for found in (plain, more))
    assert those_of_more - layers == set(recurrent["names"])
