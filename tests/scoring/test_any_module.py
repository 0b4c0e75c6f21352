"""Modules of any kind: scored as plain autograd scores them and kept pruned where they go, or refused in one line."""

from __future__ import annotations

import copy
import io
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint
from torchvision.models import DenseNet

import pabench
from pabench.errors import SuiteError

GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn(6, 10, generator=GENERATOR), torch.arange(6) % 4
IMAGES = torch.randn(6, 3, 16, 16, generator=GENERATOR)
TOKENS = torch.randint(0, 11, (6, 5), generator=GENERATOR)


class Base(nn.Module):
    """80 + 32 prunable weights."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(10, 8), nn.Linear(8, 4)

    def forward(self, x):
        return self.b(self.a(x).relu())


# --- Works ------------------------------------------------------------------------------------------------------------


class SharesInTwoWays(Base):
    """A layer that has two names, and whose weight is that of another layer, too."""

    def __init__(self):
        super().__init__()
        self.c, self.d = nn.Linear(8, 8), nn.Linear(8, 8)
        self.d.weight, self.again = self.c.weight, self.c

    def forward(self, x):
        return self.b(self.again(self.d(self.c(self.a(x).relu()))))


class ComplexBuffer(Base):
    """Rotary embeddings as Llama has them."""

    def __init__(self):
        super().__init__()
        self.register_buffer("turns", torch.polar(torch.ones(4), torch.arange(4.0)), persistent=False)

    def forward(self, x):
        pairs = torch.view_as_complex(self.a(x).float().reshape(len(x), 4, 2))
        return self.b(torch.view_as_real(pairs * self.turns).flatten(1).type_as(x))


class ComplexParameter(Base):
    """A layer of a Fourier neural operator."""

    def __init__(self):
        super().__init__()
        self.spectrum = nn.Parameter(torch.randn(6, 6, dtype=torch.cfloat))

    def forward(self, x):
        return super().forward(torch.fft.irfft(torch.fft.rfft(x) @ self.spectrum, n=10))


class TakesComplex(Base):
    def forward(self, x):
        return super().forward(x.abs())


class ChangesItsInput(Base):
    def forward(self, x):
        x -= 0.5
        return super().forward(F.relu_(x))


class ChangesItsTokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(11, 8), nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.embedding(x.clamp_(max=5)).mean(1))


@dataclass
class Output:
    logits: torch.Tensor
    hidden: torch.Tensor | None = None


class GivesDataclass(Base):
    def forward(self, x):
        return Output(super().forward(x), x)


Named = namedtuple("Named", "loss logits")


class GivesNamedTuple(Base):
    def forward(self, x):
        return Named(None, super().forward(x))


def no_change(module, grad_in, grad_out):
    return None


class BackwardHook(Base):
    def __init__(self):
        super().__init__()
        self.b.register_full_backward_hook(no_change)


class CompiledForward(Base):
    @torch.compile(backend="eager")
    def forward(self, x):
        return self.b(self.a(x).relu())


class MakesNumbers(Base):
    def forward(self, x):
        h = self.a(x)
        return self.b(h * float(h.detach().std()))


class CopiesByBuilding(Base):
    def __deepcopy__(self, memo):
        other = type(self)()
        other.load_state_dict(self.state_dict())
        return other


class Routes(nn.Module):
    """A mixture of experts: which weights an example meets depends on its values."""

    def __init__(self):
        super().__init__()
        self.gate, self.head = nn.Linear(10, 3), nn.Linear(8, 4)
        self.experts = nn.ModuleList(nn.Linear(10, 8) for _ in range(3))

    def forward(self, x):
        shares, chosen = self.gate(x).softmax(-1).topk(2)
        out = x.new_zeros(len(x), 8)
        for number, expert in enumerate(self.experts):
            rows, place = torch.where(chosen == number)
            out.index_add_(0, rows, expert(x[rows]) * shares[rows, place, None])
        return self.head(out)


class Cells(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRUCell(2, 6), nn.Linear(6, 4)

    def forward(self, x):
        h = x.new_zeros(len(x), 6)
        for step in x.view(len(x), 5, 2).unbind(1):
            h = self.cell(step, h)
        return self.head(h)


class LowRank(nn.Module):
    """LoRA: what it does not know it asks of the layer inside."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside.requires_grad_(False)
        self.down, self.up = nn.Linear(inside.in_features, 2, bias=False), nn.Linear(2, inside.out_features, bias=False)

    def forward(self, x):
        return self.inside(x) + self.up(self.down(x))

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inside"), name)


class Iterates(Base):
    """A fixed point, found without gradients."""

    def forward(self, x):
        u = self.a(x)
        z = torch.zeros_like(u)
        with torch.no_grad():
            for _ in range(9):
                if (torch.tanh(z + u) - z).norm().item() < 0.1:
                    break
                z = torch.tanh(z + u)
        return self.b(torch.tanh(z + u))


class AsksItsList(Base):
    """Weights in a list that are asked for their shapes and not used."""

    def __init__(self):
        super().__init__()
        self.weights = [self.a.weight, self.b.weight]

    def forward(self, x):
        assert self.weights[0].shape[1] == x.shape[1] == self.weights[0].size(1)
        return super().forward(x.to(self.weights[1].dtype))


WORKING = {
    "a list of weights for their shapes": (AsksItsList, X),
    "a layer of two names, tied": (SharesInTwoWays, X),
    "a complex buffer": (ComplexBuffer, X),
    "a complex parameter": (ComplexParameter, X),
    "complex input": (TakesComplex, X * (1 + 2j)),
    "changes its input": (ChangesItsInput, X.double()),
    "changes its tokens": (ChangesItsTokens, TOKENS),
    "logits in a dataclass": (GivesDataclass, X),
    "logits in a named tuple": (GivesNamedTuple, X),
    "a backward hook": (BackwardHook, X),
    "a compiled forward": (CompiledForward, X),
    "float() of a tensor": (MakesNumbers, X),
    "a copy that is built anew": (CopiesByBuilding, X),
    "a mixture of experts": (Routes, X),
    "cells in a loop": (Cells, X),
    "low-rank adapters": (lambda: nn.Sequential(LowRank(nn.Linear(10, 8)), nn.ReLU(), LowRank(nn.Linear(8, 4))), X),
    "a fixed point": (Iterates, X),
    "sound": (
        lambda: nn.Sequential(nn.Unflatten(1, (1, 10)), nn.Conv1d(1, 4, 3), nn.GLU(1), nn.Flatten(), nn.Linear(16, 4)),
        X,
    ),
    "torchvision's DenseNet": (lambda: DenseNet(4, (1, 1), 4, num_classes=4), IMAGES),
}


def logits(out):
    return out if isinstance(out, torch.Tensor) else out.logits


def doubled(t):
    if t.is_complex():
        return t.to(torch.complex128)
    return t.double() if t.is_floating_point() else t.clone()


def by_autograd(model, x):
    """|w * dL/dw| by loss.backward(), in float64, with BatchNorm by the batch."""
    model = copy.deepcopy(model).eval()._apply(doubled).requires_grad_(True)
    for layer in model.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.train()
    F.cross_entropy(logits(model(doubled(x).clone())), Y).backward()
    return {n: (p * p.grad).abs().detach() for n, p in model.named_parameters()}


def everything(model):
    """All that scoring must leave alone; global random states, too."""
    tensors = {n: t.clone() for n, t in [*model.named_parameters(), *model.named_buffers()]}
    layers = [(layer.training, list(layer._backward_hooks), list(vars(layer))) for layer in model.modules()]
    needed = [p.requires_grad for p in model.parameters()]
    return tensors, layers, needed, torch.get_rng_state(), np.random.get_state()[1]


def same(one, other):
    if isinstance(one, dict):
        return list(one) == list(other) and all(torch.equal(one[n], other[n]) for n in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(np.all(one == other))


def pickled(model):
    file = io.BytesIO()
    torch.save(model, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=False)


def revived(network, x, masks):
    """How many pruned weights are not 0 after one of three steps."""
    optimizer, count = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1), 0
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(logits(network(x.clone())), Y).backward()
        optimizer.step()
        count += sum(int((network.get_parameter(n)[~m] != 0).sum()) for n, m in masks.items())
    return count


@pytest.mark.filterwarnings("ignore::pabench.DegenerateWarning", "ignore:Converting a tensor")
@pytest.mark.parametrize("kind", WORKING)
def test_it_is_scored_as_plain_autograd_scores_it_and_stays_as_it_is(kind):
    make, x = WORKING[kind]
    torch.manual_seed(0)
    model = make()
    expected, given = by_autograd(model, x), x.clone()
    before = everything(model)

    scores = pabench.score(model, "snip", batch=(x, Y), dtype=torch.float64)
    second = pabench.score(model, "grasp", batch=(x, Y), dtype=torch.float64)
    pabench.score(model, "magnitude")

    assert all(same(one, other) for one, other in zip(before, everything(model), strict=True))
    assert torch.equal(x, given)
    largest = max(float(expected[n].max()) for n in scores)
    for n in scores:  # what a network casts to float32 itself is exact to about 1e-7
        torch.testing.assert_close(scores[n], expected[n], rtol=1e-5, atol=1e-5 * largest)
    assert all(s.isfinite().all() for s in second.values())


@pytest.mark.filterwarnings("ignore::pabench.DegenerateWarning", "ignore:Converting a tensor")
@pytest.mark.parametrize("kind", [kind for kind in WORKING if kind != "a copy that is built anew"])  # without masks
def test_it_stays_pruned_in_copies_and_pickles(kind):
    make, x = WORKING[kind]
    torch.manual_seed(0)
    model, x = make(), x.float() if x.dtype == torch.float64 else x
    masks = pabench.prune(model, "random", sparsity=0.7)
    pabench.apply(model, masks)

    networks = [pickled(model), copy.deepcopy(model), model]
    assert sum(revived(network, x, masks) for network in networks) == 0


# --- Refused, in one line ---------------------------------------------------------------------------------------------


class CopiesItself(Base):
    def __deepcopy__(self, memo):
        return self


class CopiesAnother(Base):
    def __deepcopy__(self, memo):
        return type(self)()


class ComplexLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(10, 4, dtype=torch.cfloat)

    def forward(self, x):
        return self.a(x.to(torch.cfloat)).abs()


class UsesNumpy(Base):
    def forward(self, x):
        h = self.a(x)
        return self.b(h * float(np.std(h.detach().numpy())))


class Packs(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells, self.head = nn.LSTM(2, 6, batch_first=True), nn.Linear(6, 4)

    def forward(self, x):
        packed = pack_padded_sequence(x.view(len(x), 5, 2), torch.full((len(x),), 4), batch_first=True)
        return self.head(pad_packed_sequence(self.cells(packed)[0], batch_first=True)[0][:, -1])


class OldCheckpoint(Base):
    def forward(self, x):
        return self.b(checkpoint(self.a, x, use_reentrant=True).relu())


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(11, 8, max_norm=1.0), nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.embedding(x).mean(1))


class TakesTwo(Base):
    def forward(self, x, z):
        return super().forward(x) - super().forward(z)


class Inference(Base):
    def forward(self, x):
        with torch.inference_mode():
            h = self.a(x)
        return self.b(h)


class TakesGradients(Base):
    def forward(self, x):
        x = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(self.a(x).square().sum(), x, create_graph=True)
        return super().forward(x + g)


class Makes32(Base):
    def forward(self, x):
        h = self.a(x)
        return self.b(torch.zeros(h.shape).index_add_(0, torch.arange(len(h)), h))


class Divides(Base):
    def forward(self, x):
        return super().forward(x) / 0


class Language(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(11, 8), nn.Linear(8, 12)

    def forward(self, x):
        return self.head(self.embedding(x))


class Retains(Base):
    def forward(self, x):
        h = self.a(x)
        if h.requires_grad:
            h.retain_grad()
        return self.b(h)


class UsesItsList(Base):
    """The copy's list holds the copy's weights, which are not those that it is scored with."""

    def __init__(self):
        super().__init__()
        self.weights = [self.a.weight, self.b.weight]

    def forward(self, x):
        return (x @ self.weights[0].T).relu() @ self.weights[1].T


def wrapped():
    """As libraries wrap layers: the copy's forward() is that of the network given. In float64 nothing fails."""
    model = Base().double()
    inside = model.a.forward
    model.a.forward = lambda *args: inside(*args)
    return model


def exported():
    return torch.export.export(Base(), (X,)).module()


ONE_BY_ONE = nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
REFUSED = {
    "a copy that is itself": (CopiesItself, (X, Y), "snip", "CopiesItself: .* the same weights, .* its __deepcopy__"),
    "a copy that is another": (CopiesAnother, (X, Y), "magnitude", "CopiesAnother: .* another network"),
    "complex weights": (ComplexLayer, (X, Y), "magnitude", r"the weight of a \(Linear\) is complex, .* two layers"),
    "numpy": (UsesNumpy, (X, Y), "snip", "UsesNumpy: .* numpy or packed sequences; take them out"),
    "packed sequences": (Packs, (X, Y), "snip", "Packs: .* numpy or packed sequences; take them out"),
    "checkpoints of old": (OldCheckpoint, (X, Y), "snip", "OldCheckpoint: .* switch gradient checkpointing off"),
    "changes what it keeps": (InPlace, (TOKENS, Y), "snip", r"InPlace \(in Embedding\): .* changes in place"),
    "takes two": (TakesTwo, (X, Y), "snip", r"TakesTwo: .* forward\(\) is given one tensor; wrap it"),
    "inference mode": (Inference, (X, Y), "snip", "Inference .* take torch.inference_mode"),
    "takes gradients": (TakesGradients, (X, Y), "snip", "TakesGradients: .* by torch.func.grad"),
    "adds to float32": (Makes32, (X, Y), "snip", "Makes32: .* give dtype=torch.float32"),
    "infinite": (Divides, (X, Y), "snip", "Divides gives values that are infinite or not a number"),
    "classes last": (Language, (TOKENS, TOKENS), "snip", r"Language gives .* forward\(\) returns out.movedim\(-1, 1\)"),
    "tokens without data": (Language, (TOKENS, Y), "synflow", "Language .* take the part behind the embedding"),
    "asks for gradients": (Retains, (X, Y), "snip", "Retains: .* torch.func cannot follow it; use another"),
    "one image": (lambda: ONE_BY_ONE, (X[:1], Y[:1]), "snip", r"\(in BatchNorm1d\): .* give more images"),
    "uses a list of weights": (UsesItsList, (X, Y), "snip", r"UsesItsList: forward\(\) takes a.weight from a list"),
    "a wrapped forward": (wrapped, (X, Y), "snip", r"Base: forward\(\) takes a.weight from .* or unwrap forward\(\)"),
    "exported": (exported, (X, Y), "magnitude", "GraphModule has no .* prune the module it was made from"),
}


@pytest.mark.filterwarnings("ignore:None of the inputs")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_scored_is_refused_in_one_line_with_the_way_out(kind):
    make, batch, criterion, message = REFUSED[kind]

    with pytest.raises(SuiteError, match=message) as error:
        pabench.prune(
            make(),
            criterion,
            sparsity=0.5,
            batch=batch,
            dtype=torch.float64,
            input_shape=(5,) if batch[0] is TOKENS else None,
        )

    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("criterion", ["random", "snip", "grasp", "synflow"])
def test_a_default_device_of_the_callers_changes_nothing(criterion):
    """Random numbers are drawn on the CPU; on the meta device, which stands for any other, nothing holds values."""
    model = Base()
    expected = pabench.prune(model, criterion, sparsity=0.5, batch=(X, Y))

    with torch.device("meta"):
        masks = pabench.prune(model, criterion, sparsity=0.5, batch=(X, Y))
        control = pabench.shuffle(masks, seed=0)

    assert all(torch.equal(masks[n], expected[n]) for n in expected)
    assert all(torch.equal(control[n], m) for n, m in pabench.shuffle(expected, seed=0).items())


class MakesTensors(Base):
    def forward(self, x):
        return super().forward(x) + torch.zeros(1).to(self.a.weight.dtype)


def test_a_network_makes_its_tensors_on_the_callers_default_device():
    """The meta device stands for a GPU: the sum of tensors on two devices fails there, too."""
    model = MakesTensors()

    assert pabench.prune(model, "synflow", sparsity=0.5).receipt["kept"] == 56
    with torch.device("meta"), pytest.raises(SuiteError, match=r"MakesTensors: the forward pass .* fails.* meta"):
        pabench.prune(model, "synflow", sparsity=0.5)
