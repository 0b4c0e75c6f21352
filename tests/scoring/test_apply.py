"""Masks on live networks: weights that stay pruned in anybody's training loop, wherever the network goes."""

from __future__ import annotations

import copy
import subprocess
import sys
import threading

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

import pabench
from pabench.errors import SuiteError
from pabench.scoring.apply import multiplier, zero_pruned

OPTIMIZERS = {
    "sgd with momentum and weight decay": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1),
    "fused adamw": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1, momentum=0.9),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.1),
}


@pytest.fixture
def network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    batch = (torch.randn(12, 1, 4, 4), torch.arange(12) % 3)
    return module, batch, pabench.prune(module, "magnitude", sparsity=0.8)


def revived(module, masks):
    return sum(int((module.get_parameter(n)[~m] != 0).sum()) for n, m in masks.items())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pruned_weights_are_zero_after_every_step_of_any_optimizer(network, name):
    """Momentum built up before pruning revives weights where only gradients are masked."""
    module, (x, y), masks = network
    optimizer = OPTIMIZERS[name](module.parameters())

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)
    pabench.apply(module, masks)
    before = module[4].weight.clone()
    for _ in range(3):
        optimizer.step(closure)
        assert revived(module, masks) == 0
    assert not torch.equal(before, module[4].weight)  # the others go on learning


def test_pruned_weights_are_zero_under_autocast_and_loss_scaling(network):
    module, (x, y), masks = network
    pabench.apply(module, masks)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    scaler = torch.amp.GradScaler("cpu")

    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = nn.functional.cross_entropy(module(x).float(), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        assert revived(module, masks) == 0


def test_a_loaded_state_is_pruned_again(network):
    """Resume: the state of a dense network, or one saved before, cannot bring weights back."""
    module, _, masks = network
    dense = copy.deepcopy(module.state_dict())
    pabench.apply(module, masks)

    module.load_state_dict(dense)

    assert revived(module, masks) == 0


def test_the_state_dict_keeps_its_names(network):
    module, _, masks = network
    names = list(module.state_dict())

    pabench.apply(module, masks)

    assert list(module.state_dict()) == names


def test_a_weight_set_by_hand_is_zero_in_the_next_forward_pass(network):
    module, (x, _), masks = network
    pabench.apply(module, masks)
    expected = module.eval()(x)

    module[4].weight.data[~masks["4.weight"]] = 100.0

    assert torch.equal(module(x), expected)


def test_a_deep_copy_stays_pruned_through_its_own_training(network):
    module, (x, y), masks = network
    twin = copy.deepcopy(pabench.apply(module, masks))
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.1, weight_decay=0.1)

    nn.functional.cross_entropy(twin(x), y).backward()
    optimizer.step()

    assert revived(twin, masks) == 0


def test_two_forward_passes_before_one_backward_work(network):
    """Zeroing in the second pass must not look like a change to the weights that the first one saved."""
    module, (x, y), masks = network
    pabench.apply(module, masks)

    (nn.functional.cross_entropy(module(x), y) + nn.functional.cross_entropy(module(x), y)).backward()

    assert module[4].weight.grad.abs().sum() > 0


def test_applying_again_replaces_the_masks(network):
    module, _, masks = network
    pabench.apply(module, masks)
    fewer = {n: torch.zeros_like(m) for n, m in masks.items()}

    pabench.apply(module, fewer)

    assert revived(module, fewer) == 0
    assert len(module[4]._forward_pre_hooks) == 1


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"9.weight": torch.ones(1, dtype=torch.bool)}, "9.weight: the model has no parameter of this name"),
        ({"4.weight": torch.ones(2, 2, dtype=torch.bool)}, r"4.weight: mask is \(2, 2\), the weight is \(3, 16\)"),
    ],
)
def test_masks_that_do_not_fit_are_refused_by_name(network, masks, message):
    with pytest.raises(SuiteError, match=message):
        pabench.apply(network[0], masks)


# --- Where a network goes, its masks go -------------------------------------------------------------------------------


class Attends(nn.Module):
    """Attention reads `out_proj.weight` and never calls `out_proj`; the encoder layer has a fast path of that kind."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.encoder(self.attention(x, x, x)[0]).mean(1))


@pytest.fixture
def attention():
    torch.manual_seed(0)
    module, x, y = Attends(), torch.randn(6, 5, 8), torch.arange(6) % 3
    masks = pabench.prune(module, "magnitude", sparsity=0.5)
    return pabench.apply(module, masks), x, y, masks


def train(network, x, y, steps=3, forward=None):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy((network if forward is None else forward)(x), y).backward()
        optimizer.step()


def saved_whole(module, folder):
    torch.save(module, folder / "network.pt")
    return torch.load(folder / "network.pt", weights_only=False)


def assigned(module):
    module.load_state_dict({n: torch.randn_like(t) for n, t in module.state_dict().items()}, assign=True)
    return module


def swapped(module):
    for parameter in list(module.parameters()):
        torch.utils.swap_tensors(parameter, nn.Parameter(torch.randn_like(parameter)))
    return module


def averaged(module):
    ema = torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    ema.update_parameters(module)
    return ema.module


JOURNEYS = {
    "itself": lambda m, _: m,
    "a deep copy": lambda m, _: copy.deepcopy(m),
    "a copy of a copy": lambda m, _: copy.deepcopy(copy.deepcopy(m)),
    "a shallow copy": lambda m, _: copy.copy(m),
    "saved whole and loaded": saved_whole,
    "load_state_dict(assign=True)": lambda m, _: assigned(m),
    "a copy after load_state_dict(assign=True)": lambda m, _: copy.deepcopy(assigned(m)),
    "swap_tensors": lambda m, _: swapped(m),
    "a running average": lambda m, _: averaged(m),
    "another dtype and back": lambda m, _: m.double().float(),
    "nn.DataParallel": lambda m, _: nn.DataParallel(m).module,
}


@pytest.mark.parametrize("journey", JOURNEYS)
def test_pruned_weights_stay_zero_where_the_network_goes(attention, tmp_path, journey):
    module, x, y, masks = attention

    network = JOURNEYS[journey](module, tmp_path)
    train(network, x, y)

    assert revived(network, masks) == 0
    assert (network.head.weight[masks["head.weight"]] != 0).all()


def test_a_copy_of_one_layer_stays_pruned(attention):
    module, _, _, masks = attention
    head = copy.deepcopy(module.head)

    train(head, torch.randn(6, 8), torch.arange(6) % 3)

    assert (head.weight[~masks["head.weight"]] == 0).all()


@pytest.mark.parametrize("copied", [False, True])
def test_a_compiled_network_stays_pruned(attention, copied):
    module, x, y, masks = attention
    network = copy.deepcopy(module) if copied else module

    train(network, x, y, forward=torch.compile(network, backend="eager"))

    assert revived(network, masks) == 0


def test_pruning_a_compiled_network_masks_the_one_inside(attention):
    module, x, y, masks = attention
    network = torch.compile(pabench.remove(module), backend="eager")

    pabench.apply(network, {f"_orig_mod.{n}": m for n, m in masks.items()})
    train(network, x, y)

    assert revived(module, masks) == 0


UNPICKLE = """
import sys
import torch
from torch.nn import functional as F
network = torch.load(sys.argv[1], weights_only=False)
zero = {n: p == 0 for n, p in network.named_parameters() if n.endswith("weight")}
optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
for _ in range(3):
    optimizer.zero_grad()
    F.cross_entropy(network(torch.randn(12, 1, 4, 4)), torch.arange(12) % 3).backward()
    optimizer.step()
back = sum(int((network.get_parameter(n)[z] != 0).sum()) for n, z in zero.items())
print(back, sum(int(z.sum()) for z in zero.values()))
"""


def test_a_process_that_only_unpickles_keeps_it_pruned(network, tmp_path):
    """36 + 48 weights, of which 84 - 67 stay: 67 zeros, none of which comes back."""
    module, _, masks = network
    torch.save(pabench.apply(module, masks), tmp_path / "network.pt")

    command = [sys.executable, "-W", "ignore", "-c", UNPICKLE, str(tmp_path / "network.pt")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["0", "67"]


def test_a_copy_needs_no_thought_once_it_is_gone(network):
    """Copies are known as long as they live: a study of thousands of them does not slow every optimizer down."""
    import gc

    from pabench.scoring import apply as applied

    module, _, masks = network
    pabench.apply(module, masks)
    gc.collect()
    before = len(applied._known)

    for _ in range(5):
        copy.deepcopy(module)
    gc.collect()

    assert len(applied._known) == before


# --- What a pruned weight meets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_pruned_weight_is_zero_whatever_its_gradient_was(network, value):
    module, (x, y), masks = network
    pabench.apply(module, masks)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)

    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(module(x), y).backward()
        module[4].weight.grad[~masks["4.weight"]] = value
        optimizer.step()

    assert revived(module, masks) == 0
    assert module[4].weight.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_zeroing_leaves_the_bits_of_what_is_kept(dtype):
    """Not a number times 0 is not a number; as integers it is 0, and what is kept keeps its bits, -0 and NaN too."""
    values = torch.tensor([[1.5, -0.0, float("nan")], [float("inf"), float("nan"), -2.0]], dtype=dtype)
    mask = torch.tensor([[True, True, True], [False, False, False]])
    weight = values.clone()

    zero_pruned([weight], [multiplier(mask, weight)])

    width = {8: torch.int64, 4: torch.int32, 2: torch.int16}[weight.element_size()]
    assert torch.equal(weight[0].view(width), values[0].view(width))
    assert weight[1].view(width).tolist() == [0, 0, 0]


def test_a_channels_last_weight_is_zeroed_where_it_is_pruned():
    weight = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    mask = torch.rand(4, 3, 2, 2) < 0.5
    expected = weight * mask

    zero_pruned([weight], [multiplier(mask, weight)])

    assert torch.equal(weight, expected)


# --- Anybody else's network -------------------------------------------------------------------------------------------

COMPUTED = {
    "weight norm": lambda layer: parametrizations.weight_norm(layer),
    "spectral norm": lambda layer: parametrizations.spectral_norm(layer),
    "weight norm of old": lambda layer: nn.utils.weight_norm(layer),
    "torch.nn.utils.prune": lambda layer: prune.l1_unstructured(layer, "weight", 0.2),
    "no weight at all": lambda layer: delattr(layer, "weight"),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
@pytest.mark.parametrize("how", COMPUTED)
def test_a_weight_that_becomes_computed_stops_its_own_network_only(network, how):
    module, (x, y), masks = network
    pabench.apply(module, masks)
    COMPUTED[how](module[4])

    train(nn.Linear(6, 3), torch.randn(4, 6), torch.arange(4) % 3)  # another network goes on
    with pytest.raises(SuiteError, match=r"4.weight: this weight of a .*Linear is computed now .*pabench.remove"):
        train(module, x, y)

    pabench.remove(module)
    if how != "no weight at all":
        train(module, x, y)


def test_optimizers_step_while_other_threads_copy_masked_networks(network):
    module, _, masks = network
    pabench.apply(module, masks)
    stop, errors = threading.Event(), []

    def copies():
        while not stop.is_set():
            copy.deepcopy(module)

    thread = threading.Thread(target=copies)
    thread.start()
    try:
        train(nn.Linear(6, 3), torch.randn(4, 6), torch.arange(4) % 3, steps=200)
    except Exception as error:
        errors.append(error)
    stop.set()
    thread.join()

    assert errors == []


# --- Off again --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [False, True])
def test_removed_masks_leave_zeros_and_no_trace(network, copied):
    module, (x, y), masks = network
    before = [set(vars(layer)) for layer in module.modules()]
    network = copy.deepcopy(pabench.apply(module, masks)) if copied else pabench.apply(module, masks)

    assert pabench.remove(network) is network

    assert revived(network, masks) == 0
    assert [set(vars(layer)) for layer in network.modules()] == before
    assert not any(m._forward_pre_hooks or m._load_state_dict_post_hooks for m in network.modules())
    train(network, x, y)
    assert revived(network, masks) > 0  # they are free to learn


def test_removing_masks_leaves_other_hooks_and_unmasked_networks_alone(network):
    module, _, masks = network
    seen = []
    module[4].register_forward_pre_hook(lambda *_: seen.append(1))
    pabench.remove(pabench.remove(pabench.apply(module, masks)))

    module(torch.randn(2, 1, 4, 4))

    assert seen == [1]


EXPORTS = {
    "torch.jit.script": lambda m, x: torch.jit.script(m),
    "torch.jit.trace": lambda m, x: torch.jit.trace(m, x),
    "torch.export": lambda m, x: torch.export.export(m, (x,)).module(),
    "torch.fx": lambda m, x: torch.fx.symbolic_trace(m),
    "quantize_dynamic": lambda m, x: torch.ao.quantization.quantize_dynamic(m, {nn.Linear}),
}


@pytest.mark.filterwarnings("ignore")  # torch says that most of these are deprecated
@pytest.mark.parametrize(
    ("export", "masked"), [(e, m) for e in EXPORTS for m in (False, True) if not (m and e == "torch.jit.script")]
)
def test_a_pruned_network_is_exported_with_its_zeros(network, export, masked):
    """While it is masked as well, but for `torch.jit.script`: see the next test."""
    module, (x, _), masks = network
    pabench.apply(module.eval(), masks)
    if not masked:
        pabench.remove(module)

    turned = EXPORTS[export](module, x)

    torch.testing.assert_close(turned(x), module(x), atol=0.1, rtol=0.1)


@pytest.mark.filterwarnings("ignore")
def test_scripting_refuses_a_masked_network_and_names_the_hook(network):
    """It compiles hooks, and cannot compile ours: the docs say to remove masks first."""
    module, _, masks = network

    with pytest.raises(RuntimeError, match="_before_forward"):
        torch.jit.script(pabench.apply(module, masks))


# --- What is no mask --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.float64])
def test_zeros_and_ones_of_any_type_are_masks(network, dtype):
    module, _, masks = network

    pabench.apply(module, {n: m.to(dtype) for n, m in masks.items()})

    assert revived(module, masks) == 0
    assert (module[4].weight[masks["4.weight"]] != 0).all()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.full((3, 16), 0.5), "4.weight: a mask is bool, or 0 and 1, and this one holds 0.5; .*pabench.prune"),
        (torch.full((3, 16), float("nan")), "this one holds nan"),
        (torch.full((3, 16), 2), "this one holds 2"),
        ([[True] * 16] * 3, "4.weight: a mask is a tensor, not a list"),
    ],
)
def test_scores_and_other_things_are_no_masks_and_leave_the_model_alone(network, mask, message):
    module, _, masks = network
    before = copy.deepcopy(module.state_dict())

    with pytest.raises(SuiteError, match=message):
        pabench.apply(module, {"0.weight": masks["0.weight"], "4.weight": mask})

    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())
    assert not any(m._forward_pre_hooks for m in module.modules())


def test_a_lazy_weight_cannot_be_masked_yet():
    module = nn.Sequential(nn.LazyLinear(3))

    with pytest.raises(SuiteError, match=r"0.weight: the weight of a lazy module has no shape yet"):
        pabench.apply(module, {"0.weight": torch.ones(3, 4, dtype=torch.bool)})


def test_a_weight_that_two_layers_share_is_masked_by_either_name():
    module = nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 3, bias=False))
    module[1].weight = module[0].weight

    for name in ("0.weight", "1.weight"):
        pabench.remove(pabench.apply(module, {name: torch.tensor([[True] * 4, [False] * 4, [True] * 4])}))
        assert (module[0].weight[1] == 0).all()
        nn.init.ones_(module[0].weight)


# --- Weights of other kinds, and other hands than an optimizer's ------------------------------------------------------


def test_what_others_change_is_pruned_again_in_the_state_that_is_saved(network):
    """Optimizers that are no torch.optim.Optimizer, averages copied back, a step that broke off."""
    module, _, masks = network
    pabench.apply(module, masks)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)

    state = module.state_dict()

    assert all((state[n][~m] == 0).all() and (state[n][m] != 0).any() for n, m in masks.items())


def test_masks_changed_afterwards_change_nothing(network):
    """In place, as loops that prune in rounds do; another dtype asks for the masks again."""
    module, (x, y), masks = network
    given = {n: m.clone() for n, m in masks.items()}
    pabench.apply(module, given)
    for mask in given.values():
        mask.fill_(True)

    module.double()
    train(module, x.double(), y)

    assert revived(module, masks) == 0


@pytest.mark.filterwarnings("ignore:Complex modules")
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_weights_are_kept_pruned(dtype):
    layer, mask = nn.Linear(4, 4, dtype=dtype), torch.eye(4, dtype=torch.bool)
    pabench.apply(layer, {"weight": mask})
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)

    for _ in range(2):
        layer(torch.ones(3, 4, dtype=dtype)).abs().sum().backward()
        optimizer.step()

    assert layer.weight.count_nonzero() == 4
    layer.weight.data.fill_(1j)
    layer.to(torch.complex128)(torch.ones(3, 4, dtype=torch.complex128))
    assert torch.equal(layer.weight, 1j * mask)


def test_a_single_number_can_be_pruned():
    module = nn.ParameterDict({"scale": nn.Parameter(torch.tensor(3.0))})

    assert pabench.apply(module, {"scale": torch.tensor(False)})["scale"] == 0


UNFIT = {
    "a list": (
        lambda: nn.Linear(3, 3),
        [torch.ones(3, 3)],
        "masks are a dict of tensors by parameter name, not a list",
    ),
    "sparse": (lambda: nn.Linear(3, 3), {"weight": torch.eye(3).to_sparse()}, r"weight: .* give mask.to_dense\(\)"),
    "shared entries": (
        lambda: nn.ParameterDict({"w": nn.Parameter(torch.ones(1, 3).expand(3, 3))}),
        {"w": torch.eye(3)},
        r"w: entries of this weight share memory .* contiguous\(\)",
    ),
    "scripted": (lambda: torch.jit.script(nn.Linear(3, 3)), {"weight": torch.eye(3)}, "scripted .* it was made from"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", UNFIT)
def test_what_cannot_be_kept_pruned_is_told_in_one_line(kind):
    make, masks, message = UNFIT[kind]

    with pytest.raises(SuiteError, match=message) as error:
        pabench.apply(make(), masks)

    assert "\n" not in str(error.value)


def test_a_weight_of_another_shape_asks_for_other_masks(network):
    module, (x, _), masks = network
    pabench.apply(module, masks)
    module[4].weight = nn.Parameter(torch.randn(5, 16))
    module[4].bias = None

    with pytest.raises(SuiteError, match=r"4.weight: this weight of a Linear is \(5, 16\) now, its mask is \(3, 16\)"):
        module(x)

    assert pabench.remove(module)(x).shape == (12, 5)


def test_an_optimizer_that_steps_a_weight_in_another_shape_is_stopped(network):
    """As FSDP with flat parameters holds weights: nothing of the mask would take hold."""
    module, _, masks = network
    pabench.apply(module, masks)
    module[4].weight = nn.Parameter(torch.ones(48))
    module[4].weight.grad = torch.ones(48)

    with pytest.raises(SuiteError, match=r"4.weight: .* is \(48,\) now, its mask is \(3, 16\); .* fully_shard"):
        torch.optim.SGD(module.parameters(), lr=0.1).step()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_sharded_network_stays_pruned_and_is_scored_before_it_is_sharded(network, tmp_path, when):
    """Its weights are DTensors, of which each process holds a part, and torch.func on them kills the process."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    module, (x, y), masks = network
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        if when == "before":
            pabench.apply(module, masks)
        fully_shard(module, mesh=init_device_mesh("cpu", (1,)))
        if when == "after":
            pabench.apply(module, masks)
        train(module, x, y)
        weights = {n: module.get_parameter(n).full_tensor() for n in masks}
        with pytest.raises(SuiteError, match=r"a weight of 0 is a DTensor .* prune the network before"):
            pabench.prune(module, "snip", sparsity=0.5, batch=(x, y))
        flat = FullyShardedDataParallel(nn.Sequential(nn.Linear(4, 4)), device_id=torch.device("cpu"))
        with pytest.raises(SuiteError, match="flat and sharded; prune it before FullyShardedDataParallel"):
            pabench.prune(flat, "magnitude", sparsity=0.5)
    finally:
        torch.distributed.destroy_process_group()

    assert all((weights[n][~m] == 0).all() and (weights[n][m] != 0).all() for n, m in masks.items())


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("mode", [True, False])
def test_an_attention_prunes_its_output_layer_again(attention, copied, mode):
    module, x, _, masks = attention
    pabench.apply(module, masks)
    module = (copy.deepcopy(module) if copied else module).train(mode)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1)
        module(x)
    assert revived(module, masks) == 0
    assert len(module.attention._forward_pre_hooks) == 1
    pabench.remove(module)
    assert not any(each._forward_pre_hooks for each in module.modules())


def test_torch_prune_refuses_the_output_layer_of_an_attention(attention):
    """torch computes it anew when the layer is called, which never happens: a stale weight would stay in use."""
    module, _, _, masks = attention
    before = {n: p.clone() for n, p in module.named_parameters()}
    with pytest.raises(SuiteError, match=r"attention\.out_proj\.weight: .* use pabench\.apply"):
        masks.torch_prune(module)
    assert all(torch.equal(p, before[n]) for n, p in module.named_parameters())


def test_a_mask_without_values_leaves_the_model_as_it_was(network):
    module, _, masks = network
    before = {n: p.clone() for n, p in module.named_parameters()}
    first, last = masks
    with pytest.raises(SuiteError, match=f"{last}: this mask is on the meta device"):
        pabench.apply(module, {first: masks[first], last: masks[last].to("meta")})
    assert all(torch.equal(p, before[n]) for n, p in module.named_parameters())


def test_scores_are_no_masks_wherever_they_are_given(network):
    module, batch, masks = network
    scores = pabench.score(module, "magnitude")
    uses = [
        lambda given: pabench.measure(module, given, "gradient_norm", batch=batch),
        lambda given: pabench.shuffle(given, seed=0),
        lambda given: pabench.Masks(given, {}, []),
    ]
    for use in uses:
        with pytest.raises(SuiteError, match=r"0\.weight: a mask is bool, or 0 and 1, and this one holds"):
            use(scores)
        use({n: m.float() for n, m in masks.items()})
    with pytest.raises(SuiteError, match=r"0\.weight: mask is \(2,\), the weight is \(4, 1, 3, 3\)"):
        pabench.measure(module, {"0.weight": torch.ones(2)}, "gradient_norm", batch=batch)
    assert pabench.Masks({n: m.float() for n, m in masks.items()}, {}, [])["0.weight"].dtype == torch.bool


def test_nothing_is_scored_where_all_gradients_are_zero(network):
    module, batch, _ = network
    with torch.inference_mode(), pytest.raises(SuiteError, match=r"leave it first \(torch.no_grad\(\) may stay"):
        pabench.prune(module, "snip", sparsity=0.5, batch=batch)
    with torch.no_grad():
        pabench.prune(module, "snip", sparsity=0.5, batch=batch)
