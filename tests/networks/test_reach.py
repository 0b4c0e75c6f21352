"""How reachability passes through operations: products, pooling, normalisation, attention."""

from __future__ import annotations

import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from .test_liveness import Gated, counts, dense, live


class Attention(nn.Module):
    """Two heads of attention over four tokens, with a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(2, 4, 2, 1, bias=False)
        self.qkv = nn.Linear(4, 12, bias=False)
        self.out = nn.Linear(4, 4, bias=False)
        self.head = nn.Linear(4, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(x).reshape(1, 4, 3, 2, 2).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = ((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).reshape(1, 4, 4)
        return self.head((x + self.out(mixed)).mean(1))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**9), density=st.sampled_from([0.2, 0.4, 0.7]), kind=st.sampled_from([Gated, Attention]))
def test_where_factors_multiply_effective_weights_are_those_with_a_gradient(seed, density, kind):
    """With positive weights and inputs nothing is switched off or cancels: a gradient of exactly 0 means no path."""
    torch.manual_seed(seed)
    net = kind().double()
    masks = {n: torch.rand(w.shape) < density for n, w in net.named_parameters()}
    kept = {n: 0.3 * (torch.rand(m.shape, dtype=torch.float64) + 0.5) * m for n, m in masks.items()}
    for w in kept.values():
        w.requires_grad_()
    x = torch.rand(1, 2, 3, 3, dtype=torch.float64) + 0.5
    out = torch.func.functional_call(net, kept, (x,)).sum()
    real = torch.autograd.grad(out, list(kept.values()), allow_unused=True, materialize_grads=True)

    found = live(net, masks)

    for (n, m), g in zip(masks.items(), real, strict=True):
        assert torch.equal(found[n], m & (g.abs() > 1e-12)), n


def test_a_pruned_gate_lets_pass_and_revives_nothing():
    """Without excitation all else stays effective; a channel that nothing reaches stays dead under its live gate."""
    net = Gated()
    without = dense(net)
    without["excite.weight"][:] = False
    dead = dense(net)
    dead["body.weight"][0] = False

    assert counts(net, without)["body.weight"] == 72
    assert counts(net, without)["squeeze.weight"] == 0
    # 4 x 3 excitation weights, those of the dead channel gate nothing; squeezing it, 3 weights, tells nothing
    assert (counts(net, dead)["excite.weight"], counts(net, dead)["squeeze.weight"]) == (9, 9)


def test_max_pooling_reaches_all_of_its_window():
    """A 3 x 3 kernel over one 2 x 2 image with padding: each of its 9 weights meets a pixel somewhere."""
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1, 2))

    assert counts(net, {}, (1, 2, 2)) == {"0.weight": 9, "3.weight": 2}


def test_in_place_operations_and_batch_norm_change_nothing():
    class Both(nn.Module):
        def __init__(self, inplace: bool) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False)
            self.bn, self.act, self.inplace = nn.BatchNorm2d(2), nn.ReLU(inplace), inplace
            self.head = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            y = self.act(self.bn(self.a(x)))
            z = self.b(y)
            if self.inplace:
                z.add_(y)
                z[:, :1] = 0
            else:
                z = torch.cat([torch.zeros_like(z[:, :1]), (z + y)[:, 1:]], 1)
            return self.head(z.mean((2, 3)))

    masks = dense(Both(True))
    masks["b.weight"][1, 0] = False
    masks["a.weight"][1, 1] = False

    assert counts(Both(True), masks) == counts(Both(False), masks) == {
        "a.weight": 1, "b.weight": 1, "head.weight": 2,
    }  # fmt: skip


def test_a_query_made_of_a_constant_is_on_no_path_but_lets_the_keys_through():
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.ones(1, 1, 2))
            self.q, self.k, self.v = (nn.Linear(2, 2, bias=False) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(2).transpose(1, 2)
            return F.scaled_dot_product_attention(self.q(self.token), self.k(x), self.v(x))[:, 0]

    assert counts(Pooled(), {}) == {"q.weight": 0, "k.weight": 4, "v.weight": 4}
