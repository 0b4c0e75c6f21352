"""NPB: the layer programme of effective nodes and paths, and what it keeps of a network."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import timm
import torch
from pabench_criteria.npb import balanced
from scipy.optimize import LinearConstraint, milp
from torch import nn

import pabench

from ..conftest import REFERENCE


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def objective(counts, paths, kept, alpha, beta, most):
    """alpha f_n + (1 - alpha) f_p + beta R of many `counts` (case, inputs, outputs), as the class says them."""
    live = paths > 0
    nodes = (live & (counts.sum(2) > 0)).sum(1) + (counts[:, live].sum(1) > 0).sum(1)
    f_n = nodes / sum(counts.shape[1:])
    f_p = (paths[:, None] * counts).sum((1, 2)) / most
    return alpha * f_n + (1 - alpha) * f_p - beta * (counts == 0).sum((1, 2)) / kept


def most_paths(paths, outputs, kernel, kept):
    room, total = kept, 0.0
    for p in sorted(paths, reverse=True):
        n = min(room, outputs * kernel)
        total, room = total + p * n, room - n
    return total


@pytest.mark.parametrize("paths", [(1, 1, 1), (5, 1, 0), (3, 2, 2), (7, 7, 0.5)])
def test_no_choice_of_weights_is_better_by_enumeration(paths):
    """3 inputs, 2 outputs, kernels of 2 weights: all 3^6 masks, at every budget and balance."""
    paths = np.array(paths, dtype=float)
    tables = np.array(list(itertools.product(range(3), repeat=6))).reshape(-1, 3, 2)
    sizes = tables.sum((1, 2))

    for alpha, beta, kept in itertools.product([0.0, 0.01, 0.3, 0.9, 1.0], [0.0, 0.05, 1.0], range(1, 13)):
        most = most_paths(paths, 2, 2, kept)
        mine = balanced(torch.tensor(paths), (2, 3, 2), kept, alpha=alpha, beta=beta, order=generator()).T.numpy()
        best = objective(tables[sizes <= kept], paths, kept, alpha, beta, most).max()

        assert mine.sum() == kept
        assert mine.max() <= 2
        assert objective(mine[None], paths, kept, alpha, beta, most)[0] == pytest.approx(best, abs=1e-12)


def solver(paths, outputs, kernel, kept, alpha, beta, most):
    """The same programme by scipy's integer solver: m_ij, k_ij (kernel open), s_i and t_j (node effective)."""
    inputs = len(paths)
    cells = inputs * outputs
    size = 2 * cells + inputs + outputs
    gain = np.zeros(size)
    gain[:cells] = (1 - alpha) / most * np.repeat(paths, outputs)
    gain[cells : 2 * cells] = beta / kept
    gain[2 * cells :] = alpha / (inputs + outputs)
    gain[2 * cells : 2 * cells + inputs] *= paths > 0
    rows, limits = [np.r_[np.ones(cells), np.zeros(size - cells)]], [kept]
    for i, j in itertools.product(range(inputs), range(outputs)):
        row = np.zeros(size)
        row[cells + i * outputs + j], row[i * outputs + j] = 1, -1
        rows.append(row)
        limits.append(0)
    for i in range(inputs):
        row = np.zeros(size)
        row[2 * cells + i] = 1
        row[i * outputs : (i + 1) * outputs] = -1
        rows.append(row)
        limits.append(0)
    for j in range(outputs):
        row = np.zeros(size)
        row[2 * cells + inputs + j] = 1
        row[j:cells:outputs] = -1.0 * (paths > 0)
        rows.append(row)
        limits.append(0)
    upper = np.r_[np.full(cells, kernel), np.ones(size - cells)]
    found = milp(
        -gain, integrality=np.ones(size), bounds=(0, upper), constraints=LinearConstraint(rows, -np.inf, limits)
    )
    return -found.fun - beta * cells / kept


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_an_integer_solver(seed):
    """6 inputs, 5 outputs, 3x3 kernels: the authors hand this to a solver."""
    random = np.random.default_rng(seed)
    paths = random.integers(0, 20, 6).astype(float)
    kept = int(random.integers(4, 200))
    alpha, beta = random.choice([0.01, 0.2, 0.8]), random.choice([0.02, 0.3, 1.0])
    most = most_paths(paths, 5, 9, kept)

    mine = balanced(torch.tensor(paths), (5, 6, 3, 3), kept, alpha=alpha, beta=beta, order=generator(seed)).T.numpy()

    expected = solver(paths, 5, 9, kept, alpha, beta, most)
    assert objective(mine[None], paths, kept, alpha, beta, most)[0] == pytest.approx(expected, rel=1e-6)


def test_a_layer_by_hand():
    """Paths 4 and 1, two outputs, plain linear, alpha = beta = 0: both weights go to the input with more paths.

    With alpha = 1 instead they cover both inputs and both outputs.
    """
    paths = torch.tensor([4.0, 1.0])

    most_paths_ = balanced(paths, (2, 2), 2, alpha=0.0, beta=0.0, order=generator())
    most_nodes = balanced(paths, (2, 2), 2, alpha=1.0, beta=0.0, order=generator())

    assert most_paths_.tolist() == [[1, 0], [1, 0]]
    assert most_nodes.sum(0).tolist() == most_nodes.sum(1).tolist() == [1, 1]


def test_groups_reach_their_own_outputs():
    """Two groups of 2 inputs and 2 outputs, 4 weights, nodes only: all 8 nodes take part."""
    counts = balanced(torch.ones(4), (4, 2, 1), 4, alpha=1.0, beta=0.0, order=generator(), groups=2)

    assert counts.sum(1).tolist() == [1, 1, 1, 1]
    assert counts.view(2, 2, 2).sum(1).tolist() == [[1, 1], [1, 1]]


def test_an_output_of_another_group_is_worth_a_weight():
    """Two groups of one input and one output, kernels of 2, paths 9 and 1, two weights, alpha = 0.55.

    One each: 0.55 * 4/4 + 0.45 * 10/18 = 0.8; both on the first: 0.55 * 2/4 + 0.45 * 18/18 = 0.725.
    """
    paths = torch.tensor([9.0, 1.0])

    counts = balanced(paths, (2, 1, 2), 2, alpha=0.55, beta=0.0, order=generator(), groups=2)

    assert counts.flatten().tolist() == [1, 1]


def test_no_weight_follows_an_input_that_no_path_reaches():
    """The first layer keeps what leads to some of the hidden units; the second spends nothing on the others."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 64, bias=False), nn.ReLU(), nn.Linear(64, 3, bias=False))

    masks = pabench.prune(module, "npb", sparsity=0.9, beta=0.0)

    reached = masks["0.weight"].any(1)
    assert not masks["2.weight"][:, ~reached].any()
    assert 0 < int(reached.sum()) < 64


@pytest.mark.parametrize("allocation", ["erk", "uniform"])
def test_each_layer_keeps_what_its_allocation_says(case, allocation):
    module = case("b").module

    npb = pabench.prune(module, "npb", sparsity=0.9, input_shape=(3, 16, 16), allocation=allocation)
    random = pabench.prune(module, "random", sparsity=0.9, input_shape=(3, 16, 16), allocation=allocation)

    assert [int(m.sum()) for m in npb.values()] == [int(m.sum()) for m in random.values()]
    assert sum(int(m.sum()) for m in npb.values()) == 507


def count(masks, module):
    """(effective nodes, effective paths) of a bias-free chain of linear layers."""
    forward = [torch.ones(module[0].in_features).double()]
    for m in masks.values():
        forward.append(m.double() @ forward[-1])
    backward = [torch.ones(len(forward[-1])).double()]
    for m in reversed(masks.values()):
        backward.insert(0, m.double().T @ backward[0])
    nodes = sum(int(((f > 0) & (b > 0)).sum()) for f, b in zip(forward, backward, strict=True))
    return nodes, float(forward[-1].sum())


def test_alpha_trades_paths_for_nodes():
    """At equal layer counts: alpha 0 has more paths than a random mask, alpha 1 more nodes than alpha 0."""
    torch.manual_seed(0)
    layers = [nn.Linear(30, 40, bias=False), nn.Linear(40, 40, bias=False), nn.Linear(40, 10, bias=False)]
    module = nn.Sequential(*layers)

    paths = count(pabench.prune(module, "npb", sparsity=0.9, alpha=0.0, beta=0.0), module)
    nodes = count(pabench.prune(module, "npb", sparsity=0.9, alpha=1.0, beta=0.0), module)
    random = count(pabench.prune(module, "random", sparsity=0.9, allocation="erk"), module)

    assert paths[1] > random[1]
    assert nodes[0] > paths[0]


def test_the_seed_decides_what_the_programme_leaves_open(case):
    module, options = case("b").module, {"sparsity": 0.9, "input_shape": (3, 16, 16)}

    first, again = (pabench.prune(module, "npb", seed=0, **options) for _ in range(2))
    other = pabench.prune(module, "npb", seed=1, **options)

    assert all(torch.equal(first[n], again[n]) for n in first)
    assert any(not torch.equal(first[n], other[n]) for n in first)


def test_residual_networks_are_balanced_too():
    """Paths of both branches add up: every layer is solved, none dies."""
    torch.manual_seed(0)
    module = timm.create_model("test_resnet", num_classes=4)

    masks = pabench.prune(module, "npb", sparsity=0.95, input_shape=(3, 32, 32), dtype=torch.float32)

    assert masks.receipt["dead_layers"] == []


def test_declines_attention():
    module = timm.create_model("test_vit", num_classes=4, img_size=32)

    with pytest.raises(pabench.errors.PluginError, match="npb declines this network: its paths cannot be counted"):
        pabench.prune(module, "npb", sparsity=0.5, input_shape=(3, 32, 32))


# --- Official results -------------------------------------------------------------------------------------------------

with np.load(REFERENCE / "npb_official.npz") as _file:
    OFFICIAL = dict(_file)
LAYERS = json.loads(str(OFFICIAL["meta"]))["layers"]


@pytest.mark.parametrize("number", range(len(LAYERS)))
def test_a_layer_is_worth_what_the_authors_solver_finds(number):
    """Not the same weights, of which many are as good; but their programme, by its value.

    They divide the paths by `max_path`, which is more than the maximum where the layer keeps fewer weights than one
    input has (a slice [-0:] takes all inputs): the same programme as ours at another alpha and beta.
    """
    told, paths, theirs = LAYERS[number], OFFICIAL[f"paths/{number}"], OFFICIAL[f"counts/{number}"].T
    outputs, kept = theirs.shape[1], told["kept"]
    alpha, beta = told["alpha"], told["beta"]
    share = (1 - alpha) * most_paths(paths, outputs, told["kernel"], kept) / told["max_path"]

    mine = balanced(
        torch.tensor(paths),
        (outputs, len(paths), *([told["kernel"]] if told["kernel"] > 1 else [])),
        kept,
        alpha=alpha / (alpha + share),
        beta=beta / (alpha + share),
        order=generator(),
    ).T.numpy()

    def value(counts):
        return objective(counts[None], paths, kept, alpha, beta, told["max_path"])[0] + beta

    assert theirs.sum() == mine.sum() == kept
    assert value(mine) == pytest.approx(value(theirs), rel=1e-9)
    assert value(theirs) == pytest.approx(told["value"], rel=1e-9)
