"""A run written down: which steps, which units are one, and what stays because nobody knows what it does."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from pabench.networks.compact.follow import follow
from pabench.networks.compact.trace import End, Flow, Layer, Norm, Trace


def followed(module, x, trace, careful=False):
    convolutions = {f"{path}.weight" for path, layer in module.named_modules() if isinstance(layer, nn.Conv2d)}
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return follow(partial(module, x), tensors, trace, settable=convolutions, careful=careful)


def traced(module, *shape, careful=False):
    trace = Trace()
    out = followed(module.eval(), torch.randn(2, *shape), trace, careful)
    return trace, out


def units(trace, name, dim):
    return trace.roots(trace.units[name, dim]).tolist()


def pinned(trace, name, dim):
    """Which of these channels stay."""
    roots = {trace.unit(a) for a in trace.pinned}
    return [unit in roots for unit in units(trace, name, dim)]


def test_it_gives_what_the_network_gives():
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(5, 3)

    assert torch.equal(followed(module, x, Trace()), module(x))


def test_steps_stand_in_the_order_of_the_run():
    trace, _ = traced(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)), 1, 5, 5)

    assert [type(step) for step in trace.steps] == [Layer, Norm, Flow, Layer, End]


def test_the_rows_of_one_layer_are_the_columns_of_the_next_with_norm_and_bias():
    trace, _ = traced(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)), 1, 5, 5)

    own = units(trace, "0.weight", 0)
    assert len(set(own)) == 4
    for name, dim in (("0.bias", 0), ("1.weight", 0), ("1.bias", 0), ("1.running_var", 0), ("2.weight", 1)):
        assert units(trace, name, dim) == own


def test_the_terms_of_a_sum_are_one():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.out = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.out(self.a(x) + self.b(x))

    trace, _ = traced(Residual(), 3)

    assert units(trace, "a.weight", 0) == units(trace, "b.weight", 0) == units(trace, "out.weight", 1)


def test_input_and_output_of_the_network_stay():
    trace, _ = traced(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), 3)

    assert pinned(trace, "0.weight", 1) == [True] * 3
    assert pinned(trace, "0.weight", 0) == [False] * 4
    assert pinned(trace, "2.weight", 0) == [True] * 2


def test_an_operation_without_a_rule_keeps_what_it_sees_and_no_more():
    class Sorted(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.c(self.b(self.a(x).relu()).sort(dim=1).values)

    trace, _ = traced(Sorted(), 3)

    assert pinned(trace, "a.weight", 0) == [False] * 4
    assert pinned(trace, "b.weight", 0) == [True] * 4


def test_a_tensor_changed_through_a_view_is_not_known_any_more():
    class Overwritten(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            out = self.a(x)
            out.view(-1, 4)[:, 0] = 1
            return self.b(out)

    trace, _ = traced(Overwritten(), 3)

    assert pinned(trace, "a.weight", 0) == [True] * 4


def test_careful_takes_a_reshape_that_names_the_width_for_one_that_needs_it():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.b(self.a(x).reshape(-1, 4))

    loose, careful = (traced(Named(), 3, careful=careful)[0] for careful in (False, True))

    assert pinned(loose, "a.weight", 0) == [False] * 4
    assert pinned(careful, "a.weight", 0) == [True] * 4


def test_a_parameter_used_as_a_tensor_is_named():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.scale = nn.Linear(3, 4), nn.Linear(4, 2), nn.Parameter(torch.ones(4))

        def forward(self, x):
            return self.b(self.a(x) * self.scale)

    trace, _ = traced(Scaled(), 3)

    assert "scale" in trace.elsewhere
    assert units(trace, "scale", 0) == units(trace, "a.weight", 0)
