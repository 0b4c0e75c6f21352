"""PX: the bound on the tangent kernel's trace by open paths, and each weight's share of it."""

from __future__ import annotations

import pytest
import timm
import torch
from pabench_criteria.px import open_paths, path_products
from torch import nn

import pabench
import pabench.networks.zoo
from pabench import registry
from pabench.networks.network import Network
from pabench.scoring.pruning import context


def two_layers() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """Two inputs, two hidden units, one output; the image x = (2, -1) opens the first hidden unit alone.

    Hidden inputs: 1 * 2 - 2 * -1 = 4 and -3 * 2 + 1 * -1 = -7.
    """
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    module[0].weight.data = torch.tensor([[1.0, -2.0], [-3.0, 1.0]])
    module[2].weight.data = torch.tensor([[5.0, -1.0]])
    return module, (torch.tensor([[2.0, -1.0]]), torch.tensor([0]))


def test_scores_a_network_by_hand():
    """J = 2^2 + (-1)^2 = 5 through the open unit; V = (1 + 4) 25 + (9 + 1) 1 = 135; R = 675.

    A weight's score is J times the squared products of its paths: 5 * 1 * 25 = 125 for the first, 5 * 10 * 1 = 50 for
    the last. Each layer's scores add up to R.
    """
    module, batch = two_layers()

    scores = pabench.score(module, "px", batch=batch)

    assert scores["0.weight"].tolist() == [[125.0, 500.0], [45.0, 5.0]]
    assert scores["2.weight"].tolist() == [[625.0, 50.0]]


def test_the_official_variant_squares_the_derivative():
    """dR/dw^2 of the first weight is 5 * 25 = 125: 1 * 125^2; of the second 125 as well, times w^2 = 4."""
    module, batch = two_layers()

    scores = pabench.score(module, "px@official", batch=batch)["0.weight"]

    assert scores[0].tolist() == [125.0**2, 4 * 125.0**2]


def test_bounds_the_trace_of_the_tangent_kernel(case):
    """Sum over images, outputs and weights of (df/dw)^2 <= sum of dR/dw^2, for a network without biases."""
    reference = case("a")
    module = reference.module.double()
    for layer in (module.fc1, module.fc2, module.fc3):
        layer.bias.data.zero_()
    x = reference.x[:6].double()
    scores = pabench.score(module, "px", batch=(x, reference.y[:6]))
    bound = sum(float((s / module.get_parameter(n).detach().square()).sum()) for n, s in scores.items())

    weights = [module.get_parameter(n) for n in scores]
    outputs = module(x).flatten()
    trace = sum(float(g.square().sum()) for o in outputs for g in torch.autograd.grad(o, weights, retain_graph=True))

    assert trace <= bound
    # with one path there is nothing to lose: the bound is attained
    chain = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False)).double()
    chain[0].weight.data.fill_(2.0)
    chain[2].weight.data.fill_(-3.0)
    found = pabench.score(chain, "px", batch=(torch.tensor([[5.0]]).double(), torch.tensor([0])))
    # df/dw1 = -3 * 5, df/dw2 = 2 * 5
    assert float(found["0.weight"] / 4 + found["2.weight"] / 9) == pytest.approx(15**2 + 10**2)


def test_every_layer_has_the_same_total(case):
    """Each path passes each layer once: the scores of a layer add up to R."""
    reference = case("b")

    totals = [float(s.sum()) for s in pabench.score(reference.module, "px", batch=reference.batch).values()]

    assert totals == pytest.approx([totals[0]] * 4, rel=1e-9)


def test_predicts_the_change_of_the_bound_when_a_weight_shrinks(case):
    """dR = -2 e score for w -> (1 - e) w, as R is made of squares, with the gates held."""
    reference = case("b")
    rule = registry.criterion("px", {})
    ctx = context(Network(reference.module), rule, [reference.batch], seed=0, input_shape=(3, 16, 16))
    score = rule.score(ctx)["c2.weight"][3, 2, 1, 1].item()
    open_ = open_paths(ctx, ctx.batches[0][0])

    def bound(scale: float) -> float:
        v = {n: w.square() for n, w in ctx.weights.items()}
        v["c2.weight"][3, 2, 1, 1] *= scale**2
        return (open_ * path_products(ctx, v, ctx.batches[0][0][:1])).sum().item()

    assert (bound(1 + 1e-4) - bound(1 - 1e-4)) / 2e-4 == pytest.approx(2 * score, rel=1e-5)


def test_gates_are_those_of_the_pruned_network_and_pruned_weights_open_no_path():
    """Without the weight -2 the first unit sees 2, still open, but one path less: J = 4."""
    module, (x, y) = two_layers()
    rule = registry.criterion("px", {})
    ctx = context(Network(module), rule, [(x, y)], seed=0, input_shape=(2,))
    ctx.mask["0.weight"][0, 1] = 0

    assert open_paths(ctx, ctx.batches[0][0]).tolist() == [[4.0]]
    assert rule.score(ctx)["0.weight"].tolist() == [[100.0, 0.0], [36.0, 4.0]]


def test_biases_belong_to_no_path():
    module, batch = two_layers()
    biased = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    biased.load_state_dict({**module.state_dict(), "0.bias": torch.tensor([1.0, 1.0]), "2.bias": torch.tensor([9.0])})

    assert pabench.score(biased, "px", batch=batch)["2.weight"].tolist() == [[625.0, 50.0]]


def test_residual_networks_count_paths_around_a_layer(case):
    """The shortcut carries paths past both convolutions of a block: their totals are less than the stem's."""
    torch.manual_seed(0)
    module = timm.create_model("resnet20")
    scores = pabench.score(module, "px", batch=(torch.randn(2, 3, 8, 8), torch.tensor([0, 1])))

    assert float(scores["layer1.0.conv1.weight"].sum()) < float(scores["conv1.weight"].sum())
    assert float(scores["fc.weight"].sum()) == pytest.approx(float(scores["conv1.weight"].sum()))


def test_rounds_keep_layers_alive(case):
    """A hundred by default; ten are enough here."""
    reference = case("b")

    many = pabench.prune(reference.module, "px", sparsity=0.995, batch=(reference.x[:10], reference.y[:10]), steps=10)

    assert registry.criterion("px", {}).steps == 100
    assert many.receipt["dead_layers"] == []
    assert many.receipt["kept"] == 5064 - 5038


@pytest.mark.parametrize(("model", "what"), [("test_vit", "layer_norm"), ("test_efficientnet", "silu")])
def test_declines_what_is_no_gate(model, what):
    module = timm.create_model(model, num_classes=4, **({"img_size": 32} if model == "test_vit" else {}))

    with pytest.raises(pabench.errors.PluginError, match=f"gated by ReLUs, and the network applies {what}"):
        pabench.score(module, "px", batch=(torch.randn(2, 3, 32, 32), torch.tensor([0, 1])))


def test_batchnorm_counts_with_its_squared_scale():
    """Scale 3 and variance 4: every path is 9 / 4 as strong, and J does not see it."""
    module, batch = two_layers()
    normed = nn.Sequential(module[0], nn.BatchNorm1d(2, eps=0.0), module[1], module[2])
    normed[1].weight.data.fill_(3.0)
    normed[1].running_var.fill_(4.0)

    scores = pabench.score(normed, "px", batch=batch)

    assert scores["3.weight"].flatten().tolist() == pytest.approx([625.0 * 9 / 4, 50.0 * 9 / 4])


# --- Official results -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", ["a", "b"])
def test_the_official_variant_equals_the_code_of_january_2025(case, letter):
    """On networks as they start: without biases, BatchNorm's scale 1, shift 0 and stored statistics 0 and 1."""
    reference = case(letter)
    for module in reference.module.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)
    file = reference.official("px_pair")
    official = reference.flat(file, "score64")

    scores = pabench.score(reference.module, "px@official", batch=reference.batch)
    masks = pabench.prune(reference.module, "px@official", sparsity=0.9, batch=reference.batch, steps=1)

    mine = torch.cat([s.flatten() for s in scores.values()]).numpy()
    scale = (mine @ official) / (mine @ mine)  # BatchNorm's epsilon enters V once there and twice here
    assert abs(scale * mine - official).max() < 1e-6 * official.max()
    assert (
        torch.cat([m.flatten() for m in masks.values()]).numpy().tolist()
        == reference.flat(file, "mask64_0.9").astype(bool).tolist()
    )


def test_batch_surrogates_rank_convolutions_by_rounding_where_batchnorm_is_averaged(case):
    """Case b ends in BatchNorm, ReLU, mean: its convolutions' scores are 1e-12 of the classifier's, and it is told.

    Case c flattens instead, so every position counts: nothing to doubt.
    """
    averaged, flattened = case("b"), case("c")

    scores = pabench.score(averaged.module, "px@official-ed6c40e", batch=averaged.batch)
    ranked_by_rounding, sound = (
        pabench.prune(of.module, "px@official-ed6c40e", sparsity=0.5, batch=of.batch, steps=1).flags
        for of in (averaged, flattened)
    )

    assert all(float(scores[n].max()) < 1e-10 * float(scores["fc.weight"].max()) for n in ("c1.weight", "c3.weight"))
    (flag,) = ranked_by_rounding
    assert flag["detail"].endswith("V depends on no convolution: their scores are rounding errors")
    assert not list(sound)
