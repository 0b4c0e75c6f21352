"""A module as a pure function of its tensors: what criteria score, with the remedies that scoring needs."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, replace_all_batch_norm_modules_
from torch.nn.attention import SDPBackend, sdpa_kernel

from pabench.errors import SuiteError
from pabench.networks.kinds import INCLUDED, dense, prunable_in
from pabench.networks.parts import PARTS
from pabench.networks.rewire import Rewired, hardsigmoid

DIFFERENTIABLE = {"hardsigmoid": hardsigmoid, **PARTS}
"""Operations whose own kernels have no second derivative, by others that give the same."""


def prunable_weights(module: nn.Module, include: Sequence[str] = ()) -> dict[str, nn.Parameter]:
    """The weights of every convolution and linear layer by parameter name, in module order.

    First and last layer included; never biases, norms, embeddings or tokens. `include` adds weights of `attention` and
    `recurrent` layers (`pabench.networks.kinds`). A weight that two layers share counts once, by the name that
    `named_parameters` gives it: a head tied to an embedding goes by the embedding's. A layer whose weight is computed
    (weight norm and other parametrizations) has no weight to prune.
    """
    names = {p: name for name, p in module.named_parameters()}
    found = {names[weight]: weight for layer in module.modules() for weight in prunable_in(layer, include)}
    if not found:
        lacking = f"{type(module).__name__} has no weights to prune: no convolution or linear layer holds one"
        others = [kind for kind in dense(module, ()) if kind in INCLUDED]
        raise SuiteError(f"{lacking}; include={tuple(others)} prunes what it has" if others else lacking)
    return found


class Network:
    """A private copy of a module in one dtype, as `weights`, `rest` and the pure function `call`.

    The module given is never touched. The copy is in eval mode (no dropout, no stochastic depth); with bn="train"
    its BatchNorms use the statistics of the batch and keep none. Attention runs unfused, recurrent layers and
    Hardsigmoid in parts: their own kernels have no second derivative. Half-precision weights are scored in `dtype` as
    well, float64 weights always in float64. `include` as in `prunable_weights`; `dense` has the sizes of the weight
    matrices that no mask touches, by kind and name.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        bn: str = "eval",
        dtype: torch.dtype = torch.float64,
        include: Sequence[str] = (),
    ) -> None:
        names = prunable_weights(module, include)
        self.dense = dense(module, names)
        first = next(iter(names.values()))
        self.device = first.device
        if self.device.type == "mps" and dtype == torch.float64:
            self.device = torch.device("cpu")  # Metal has no float64
        self.dtype = dtype = torch.float64 if first.dtype == torch.float64 else dtype
        self._module = unfused(module).to(device=self.device, dtype=dtype).requires_grad_(False)
        if bn == "train":  # no running statistics: in eval mode, too, it normalises by the batch and changes nothing
            replace_all_batch_norm_modules_(self._module)
        tensors = {n: t.detach() for n, t in [*self._module.named_parameters(), *self._module.named_buffers()]}
        self.weights: Tensors = {n: tensors[n] for n in names}
        self.rest: Tensors = {n: t for n, t in tensors.items() if n not in self.weights}
        self.buffers = frozenset(n for n, _ in self._module.named_buffers())

    def call(self, tensors: Tensors, x: Tensor) -> Tensor:
        """Outputs of the module for a batch `x` when its parameters and buffers are `tensors`; nothing is changed."""
        with Rewired(DIFFERENTIABLE):
            return functional_call(self._module, tensors, (x,))


def unfused(module: nn.Module) -> nn.Module:
    """A copy in eval mode whose attention runs in parts."""
    copied = copy.deepcopy(module).eval()
    for layer in copied.modules():
        if hasattr(layer, "fused_attn"):  # timm's switch
            layer.fused_attn = False  # type: ignore[assignment]
        if isinstance(layer, nn.RNNBase):
            # On a GPU it would move what a functional call brings into one buffer, for a kernel that is not used here.
            layer.flatten_parameters = lambda: None  # type: ignore[method-assign]
    return copied


@contextmanager
def scoring_mode(device: torch.device) -> Iterator[None]:
    """Full-precision, deterministic arithmetic with the global random state as it was, whatever the caller's settings.

    TensorFloat-32 is off (cuDNN has it on by default), autocast is off, attention uses its differentiable kernel.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark
    try:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark = False, False, True, False
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            torch.autocast(device.type, enabled=False),
            torch.enable_grad(),
            sdpa_kernel(SDPBackend.MATH),
        ):
            yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.deterministic, cudnn.benchmark = before


Tensors = dict[str, Tensor]
