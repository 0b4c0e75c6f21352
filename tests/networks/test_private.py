"""A private copy of anybody's module, or one line on why there is none."""

from __future__ import annotations

import tempfile
import threading
import types

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

import pabench
from pabench.errors import SuiteError
from pabench.networks.network import Network
from pabench.networks.private import private_copy


class Base(nn.Module):
    """36 + 18 prunable weights."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.b(self.a(x).relu())


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.randn(4, 6), torch.tensor([0, 1, 2, 1])


def plain():
    torch.manual_seed(1)
    return Base()


def drawn(cls, *args):
    torch.manual_seed(1)
    return cls(*args)


# --- Works, as the plain network does ---------------------------------------------------------------------------------


class Casts(Base):
    def forward(self, x):
        return self.b(self.a(x.to(torch.bfloat16).float()).relu().type(torch.float32)).half()


class Counts(Base):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("average", torch.zeros(6))

    def forward(self, x):
        self.calls += 1
        self.average.mul_(0.9).add_(x.detach().mean(0))
        return super().forward(x)


class Keeps(Base):
    def forward(self, x):
        self.kept = [self.a(x).relu()]
        return self.b(self.kept[0])


class Holds(Base):
    def __init__(self):
        super().__init__()
        self.lock, self.stream, self.counter = threading.Lock(), (i for i in range(3)), {"lock": threading.RLock()}


class GivesLogitsByName(Base):
    def forward(self, x):
        return {"hidden": x, "logits": super().forward(x)}


class CompiledInside(Base):
    def __init__(self):
        super().__init__()
        self.inside = torch.compile(nn.Identity(), backend="eager")

    def forward(self, x):
        return self.inside(super().forward(x))


def used(model):
    model(torch.randn(4, 6))
    return model


def compiled_in_place(model):
    model.compile(backend="eager")
    return used(model)


def distributed(model):
    with tempfile.NamedTemporaryFile() as file:
        torch.distributed.init_process_group("gloo", init_method=f"file://{file.name}.store", rank=0, world_size=1)
        return nn.parallel.DistributedDataParallel(model)


WORKING = {
    "casts in forward": lambda: drawn(Casts),
    "counts in buffers": lambda: drawn(Counts),
    "keeps an activation": lambda: used(drawn(Keeps)),
    "holds what cannot be copied": lambda: drawn(Holds),
    "gives a dict with logits": lambda: drawn(GivesLogitsByName),
    "nn.DataParallel": lambda: nn.DataParallel(plain()),
    "torch.compile": lambda: used(torch.compile(plain(), backend="eager")),
    "model.compile()": lambda: compiled_in_place(plain()),
    "a compiled module inside": lambda: used(drawn(CompiledInside)),
    "masked already": lambda: pabench.apply(plain(), {"a.weight": torch.ones(6, 6, dtype=torch.bool)}),
    "a forward hook": lambda: [m := plain(), m.a.register_forward_hook(lambda *_: None)][0],
}


@pytest.mark.parametrize("kind", WORKING)
def test_it_is_scored_as_the_plain_network_is(batch, kind):
    """27 of 54 kept, and the scores of the network without the peculiarity; the model stays as it is."""
    model = WORKING[kind]()
    before = {n: t.clone() for n, t in model.state_dict().items()}

    masks = pabench.prune(model, "snip", sparsity=0.5, batch=batch)
    second = pabench.score(model, "grasp", batch=batch)

    expected, wrapper = pabench.score(plain(), "snip", batch=batch), pabench.score(model, "snip", batch=batch)
    names = [n.removeprefix("_orig_mod.").removeprefix("module.") for n in wrapper]
    assert names == list(expected)
    assert (masks.receipt["kept"], masks.receipt["total"]) == (27, 54)
    assert list(masks) == list(wrapper) == [n for n, _ in model.named_parameters() if n.endswith("weight")]
    tolerance = 1e-2 if kind == "casts in forward" else 1e-12  # the images themselves go through bfloat16
    for score, plain_score in zip(wrapper.values(), expected.values(), strict=True):
        torch.testing.assert_close(score, plain_score, rtol=tolerance, atol=tolerance)
    assert all(torch.isfinite(s).all() for s in second.values())
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_a_distributed_network_is_scored_as_the_one_inside(batch):
    model = distributed(plain())
    try:
        scores = pabench.score(model, "snip", batch=batch)
    finally:
        torch.distributed.destroy_process_group()

    assert all(torch.equal(scores[f"module.{n}"], s) for n, s in pabench.score(plain(), "snip", batch=batch).items())


def test_what_cannot_be_copied_is_shared_and_all_else_is_not():
    model = drawn(Holds)

    copied = private_copy(model)

    assert copied.lock is model.lock
    assert copied.stream is model.stream
    assert copied.a.weight is not model.a.weight
    assert torch.equal(copied.a.weight, model.a.weight)


def test_two_parameters_in_one_memory_are_refused_and_one_under_two_names_is_not():
    """A copy would have each by itself: the network that is scored would be another one."""
    model = plain()
    model.a, model.c = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
    model.c.weight.data = model.a.weight.data
    with pytest.raises(SuiteError, match=r"a.weight and c.weight are two parameters in one memory.*make them one"):
        pabench.prune(model, "magnitude", sparsity=0.5)

    model.c.weight = model.a.weight
    assert list(pabench.prune(model, "magnitude", sparsity=0.5)) == ["a.weight", "b.weight"]


@pytest.mark.parametrize("part", [lambda a: a.t(), lambda a: a.flatten()[3:33].view(5, 6), lambda a: a[:, :4]])
def test_parameters_that_overlap_in_memory_are_refused(part):
    """The transpose as in an autoencoder, a part, and rows with gaps between them."""
    model = plain()
    model.a = nn.Linear(6, 6, bias=False)
    model.c = nn.Module()
    model.c.weight = nn.Parameter(torch.empty(0))
    model.c.weight.data = part(model.a.weight.data)

    with pytest.raises(SuiteError, match=r"a.weight and c.weight are two parameters in one memory"):
        pabench.prune(model, "magnitude", sparsity=0.5)


def test_parameters_that_are_parts_of_one_flat_tensor_are_taken():
    """One behind the other, and side by side: columns of one matrix overlap in their ranges, not in their entries."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    flat, wide = torch.rand(32), torch.rand(4, 8)
    model[0].weight.data, model[1].weight.data = flat[:16].view(4, 4), flat[16:].view(4, 4)
    model[2].weight.data, model[3].weight.data = wide[:, :4], wide[:, 4:]

    masks = pabench.prune(model, "magnitude", sparsity=0.5)

    assert sum(int(mask.sum()) for mask in masks.values()) == 32


def test_casts_in_forward_lose_nothing():
    """1 + 2^-40 is a number in float64 and none in float32."""

    class Cast(nn.Linear):
        def forward(self, x):
            return super().forward(x.float().to(dtype=torch.float16).type_as(torch.zeros(1)))

    network = Network(Cast(1, 1, bias=False).double())
    weights = {"weight": torch.ones(1, 1, dtype=torch.float64)}

    out = network.call({**network.rest, **weights}, torch.tensor([[1 + 2**-40]], dtype=torch.float64))

    assert out.item() == 1 + 2**-40


# --- Refused, in one line ---------------------------------------------------------------------------------------------


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, g):
        return g


class OwnFunction(Base):
    def forward(self, x):
        return self.b(Sign.apply(self.a(x)))


class Checkpointed(Base):
    def forward(self, x):
        return self.b(checkpoint(lambda z: self.a(z).relu(), x, use_reentrant=False))


class GivesTwo(Base):
    def forward(self, x):
        return super().forward(x), x


class Creates32(Base):
    def forward(self, x):
        return self.b(self.a(x) @ torch.eye(6))


class Decides(Base):
    def forward(self, x):
        return super().forward(x) if self.a(x).sum() > 1e9 or vars(self).get("never") else super().forward(x[:, 1:])


class OnlyAttributes(Base):
    def __deepcopy__(self, memo):
        raise OSError("a connection cannot be copied")


def changed(how, layer="a"):
    model = plain()
    how(model.get_submodule(layer))
    return model


REFUSED = {
    "own autograd.Function": (lambda: drawn(OwnFunction), r"OwnFunction: .* setup_context\(\)"),
    "gradient checkpointing": (lambda: drawn(Checkpointed), "Checkpointed: .* checkpointing off"),
    "gives two things": (lambda: drawn(GivesTwo), "GivesTwo gives a tuple, .* wrap it in a module"),
    "makes tensors of float32": (lambda: drawn(Creates32), "Creates32: .* give dtype=torch.float32"),
    "fails on these images": (lambda: drawn(Decides), r"Decides \(in Linear\): the forward pass on x .* fails; try"),
    "cannot be copied": (lambda: drawn(OnlyAttributes), "OnlyAttributes cannot be copied, .* a connection"),
    "weight norm": (lambda: changed(parametrizations.weight_norm), "weight of a .*remove_parametrizations"),
    "spectral norm": (lambda: changed(parametrizations.spectral_norm), "weight of a .*remove_parametrizations"),
    "orthogonal": (lambda: changed(parametrizations.orthogonal), "weight of a .*remove_parametrizations"),
    "weight norm of old": (lambda: used(changed(nn.utils.weight_norm)), "weight of a .*remove_weight_norm"),
    "spectral norm of old": (lambda: used(changed(nn.utils.spectral_norm)), "weight of a .*remove_spectral_norm"),
    "torch.nn.utils.prune": (
        lambda: used(changed(lambda layer: prune.l1_unstructured(layer, "weight", 0.2))),
        r"weight of a .*utils.prune.remove\(layer",
    ),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(3)), r"0 \(LazyLinear\) has no weights"),
    "lazy buffers": (
        lambda: nn.Sequential(nn.Linear(6, 4), nn.LazyBatchNorm1d(affine=False), nn.Linear(4, 3)),
        r"1 \(LazyBatchNorm1d\) has no buffers yet; call the model on a batch first",
    ),
    "on the meta device": (lambda: plain().to("meta"), "on the meta device"),
    "scripted": (lambda: torch.jit.script(plain()), "scripted or traced"),
    "traced": (lambda: torch.jit.trace(plain(), torch.randn(2, 6)), "scripted or traced"),
    "no layer": (lambda: nn.ReLU(), "ReLU has no weights to prune"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_scored_is_told_in_one_line_with_the_way_out(batch, kind):
    make, message = REFUSED[kind]

    with pytest.raises(SuiteError, match=message) as error:
        pabench.prune(make(), "snip", sparsity=0.5, batch=batch, dtype=torch.float64)

    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_the_way_out_of_float32_is_one(batch):
    masks = pabench.prune(drawn(Creates32), "snip", sparsity=0.5, batch=batch, dtype=torch.float32)

    assert masks.receipt["kept"] == 27


def test_an_error_of_the_criterion_is_not_blamed_on_the_network(batch):
    """A network whose operation has no second derivative: the error comes up in the backward pass of the criterion."""

    class Once(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x.clone()

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, g):
            raise ArithmeticError("no gradient here")

    class Net(Base):
        def forward(self, x):
            return Once.apply(super().forward(x))

    with pytest.raises(pabench.errors.PluginError, match="snip on Net: ArithmeticError: no gradient here"):
        pabench.prune(Net(), "snip", sparsity=0.5, batch=batch)


def test_running_out_of_memory_is_told_as_that(batch):
    def full(self, x):
        raise torch.OutOfMemoryError("full")

    model = plain()
    model.forward = types.MethodType(full, model)

    with pytest.raises(torch.OutOfMemoryError):
        pabench.prune(model, "snip", sparsity=0.5, batch=batch)
