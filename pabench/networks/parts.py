"""Attention and recurrent layers that torch runs as one operation, by the operations that they are made of.

Within `Rewired(PARTS)` whatever follows a network operation by operation sees into `nn.MultiheadAttention`, `nn.RNN`,
`nn.LSTM`, `nn.GRU` and their cells, and they have all derivatives on every device: cuDNN's recurrent kernels have no
second one. The fast path of transformers, one operation without derivatives, is taken by torch only where no mode is
active. Dropout between recurrent layers is left out: networks are looked at in eval mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pabench.networks.operations import Operation

State = tuple[Tensor, ...]
"""What a recurrent layer remembers, each (N, features): h, and c of an LSTM."""
Step = Callable[..., State]
"""`step(x, state, w_hh, b_hh, ...)`: the state after one step, from the input times its weights."""


def _opened(function: Any) -> Operation:
    """The same Python function, which does not ask whether a mode would rather compute it: its parts reach the mode."""
    names = {**function.__globals__, "has_torch_function": lambda _: False}
    return FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)


# --- One step, with the gates in torch's order ------------------------------------------------------------------------


def _rnn(activation: Callable[[Tensor], Tensor]) -> Step:
    return lambda x, state, w_hh, b_hh=None: (activation(x + F.linear(state[0], w_hh, b_hh)),)


def _lstm(x: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None = None, w_hr: Tensor | None = None) -> State:
    h, c = state
    i, f, g, o = (x + F.linear(h, w_hh, b_hh)).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if w_hr is None else F.linear(h, w_hr)), c


def _gru(x: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None = None) -> State:
    (h,) = state
    x_r, x_z, x_n = x.chunk(3, -1)
    h_r, h_z, h_n = F.linear(h, w_hh, b_hh).chunk(3, -1)
    z = (x_z + h_z).sigmoid()
    n = (x_n + (x_r + h_r).sigmoid() * h_n).tanh()
    return ((1 - z) * n + z * h,)


# --- Layers of steps --------------------------------------------------------------------------------------------------


def _recurrent(step: Step) -> Operation:
    """torch's function: (input, state, weights, has_biases, layers, dropout, train, bidirectional, batch_first).

    Of packed sequences, whose steps have fewer and fewer of them, batch sizes follow the input and batch_first is not
    there. Every input is made a packed one here.
    """

    def run(x: Tensor, *args: Any) -> tuple[Tensor, ...]:
        packed = isinstance(args[0], Tensor) and not args[0].is_floating_point()
        hx, weights, biases, layers, _, _, bidirectional, *batch_first = args[1:] if packed else args
        if packed:
            sizes = args[0].tolist()
        else:
            x = x.transpose(0, 1) if batch_first[0] else x
            steps, sequences = x.shape[:2]
            x, sizes = x.flatten(0, 1), [sequences] * steps
        before = hx if isinstance(hx, list | tuple) else (hx,)
        directions = 2 if bidirectional else 1
        each, after = len(weights) // (layers * directions), []
        for layer in range(layers):
            outputs = []
            for i in range(layer * directions, (layer + 1) * directions):
                own = _named(weights[i * each : (i + 1) * each], biases)
                out, state = _walked(step, x, sizes, tuple(s[i] for s in before), own, reverse=i % directions == 1)
                outputs.append(out)
                after.append(state)
            x = torch.cat(outputs, -1) if bidirectional else outputs[0]
        if not packed:
            x = x.unflatten(0, (steps, sequences))
            x = x.transpose(0, 1) if batch_first[0] else x
        return x, *(torch.stack(states) for states in zip(*after, strict=True))

    return run


def _named(weights: Sequence[Tensor], biases: bool) -> dict[str, Tensor]:
    """One layer's weights by name; the last, of an LSTM with a projection, is there or not."""
    names = ("w_ih", "w_hh", "b_ih", "b_hh", "w_hr") if biases else ("w_ih", "w_hh", "w_hr")
    return dict(zip(names, weights, strict=False))


def _walked(
    step: Step, x: Tensor, sizes: Sequence[int], state: State, weights: Mapping[str, Tensor], *, reverse: bool
) -> tuple[Tensor, State]:
    """Outputs of all steps, one after another as `x` has them, and the last state of each sequence."""
    more = {n: w for n, w in weights.items() if not n.endswith("_ih")}
    inputs = F.linear(x, weights["w_ih"], weights.get("b_ih")).split(sizes)
    outputs: dict[int, Tensor] = {}
    for i in reversed(range(len(sizes))) if reverse else range(len(sizes)):
        n = sizes[i]  # sequences that are at this step at all: the first ones, the longest
        now = step(inputs[i], tuple(s[:n] for s in state), **more)
        state = tuple(new if n == len(old) else torch.cat([new, old[n:]]) for new, old in zip(now, state, strict=True))
        outputs[i] = now[0]
    return torch.cat([outputs[i] for i in range(len(sizes))]), state


def _cell(step: Step) -> Operation:
    """torch's function of one step: (input, state, w_ih, w_hh, b_ih, b_hh)."""

    def run(
        x: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
    ) -> Any:
        several = isinstance(hx, list | tuple)
        state = step(F.linear(x, w_ih, b_ih), tuple(hx) if several else (hx,), w_hh, b_hh)
        return state if several else state[0]

    return run


STEPS = {"rnn_tanh": _rnn(torch.tanh), "rnn_relu": _rnn(torch.relu), "lstm": _lstm, "gru": _gru}
PARTS: Mapping[str, Operation] = {
    "multi_head_attention_forward": _opened(F.multi_head_attention_forward),
    **{name: _recurrent(step) for name, step in STEPS.items()},
    **{f"{name}_cell": _cell(step) for name, step in STEPS.items()},
}
"""Operations of torch by name, and what computes the same in parts."""
