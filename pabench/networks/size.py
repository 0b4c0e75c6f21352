"""How large a network is: parameters and FLOPs, dense and after pruning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pabench.networks.parts import PARTS
from pabench.networks.private import private_copy
from pabench.networks.rewire import Rewired


def parameters(module: nn.Module, masks: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """All parameters of the network, dense and after pruning."""
    dense = sum(p.numel() for p in module.parameters())
    return {"dense": dense, "pruned": dense - sum(int((~m).sum()) for m in masks.values())}


def flops(module: nn.Module, masks: Mapping[str, torch.Tensor], shape: tuple[int, ...]) -> dict[str, Any]:
    """Forward FLOPs of one image (1 multiply-accumulate = 2 FLOPs), dense and counting only kept weights.

    With masks also `layers`: what all uses of each masked weight take when dense, from which the pruned figure can be
    computed again without the network. Each entry of a weight counts as used equally often.
    """
    # a parameter that is given to a layer as its input would have the counter look for a gradient function
    network = private_copy(module).cpu().requires_grad_(False)
    weights = {n: p for n, p in network.named_parameters() if n in masks}
    counter = _Counter()
    uses, owners = _Uses(weights, counter), _of_owners(network, weights, counter)
    # torch has formulas neither for fused attention on the CPU nor for what recurrent layers are there.
    parts = (sdpa_kernel(SDPBackend.MATH), counter, uses, Rewired(PARTS))
    with torch.no_grad(), torch.random.fork_rng(devices=[]), ExitStack() as stack:
        for part in parts:
            stack.enter_context(part)
        network(torch.zeros(1, *shape))
    dense = counter.taken
    layers = {n: uses.taken[n] or owners[n] for n in weights}
    saved = sum(taken * (1 - float(masks[name].float().mean())) for name, taken in layers.items())
    return {"dense": dense, "pruned": round(dense - saved), **({"layers": layers} if layers else {})}


class _Counter(TorchDispatchMode):
    """Within it `taken` adds up the FLOPs of all operations, by torch's own formulas."""

    def __init__(self) -> None:
        # with triton, where there is one, which a process that trains nothing need not wait for
        from torch.utils.flop_counter import flop_registry

        super().__init__()
        self.taken = 0
        self._formulas = flop_registry

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Otherwise the first operation imports the compiler, as with torch's own counter: a second in every process
        that trains."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if formula := self._formulas.get(func.overloadpacket):
            self.taken += formula(*args, **(kwargs or {}), out_val=out)
        return out


class _Uses(TorchFunctionMode):
    """Within it `taken` adds up the FLOPs of the operations that are given a weight, or a part of it, by its name."""

    def __init__(self, weights: Mapping[str, Tensor], counter: _Counter) -> None:
        super().__init__()
        self.taken: Counter[str] = Counter()
        self._names = {id(w): n for n, w in weights.items()}
        self._counter = counter

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        before = self._counter.taken
        result = func(*args, **(kwargs or {}))
        if taken := self._counter.taken - before:
            tensors = [t for t in tree_leaves([args, kwargs]) if isinstance(t, Tensor)]
            named = [self._names.get(id(t if t._base is None else t._base)) for t in tensors]
            if name := next(filter(None, named), None):
                self.taken[name] += taken
        return result


def _of_owners(network: nn.Module, weights: Mapping[str, Tensor], counter: _Counter) -> Counter[str]:
    """Once the network has run: FLOPs of the layers that hold a weight, which may compute another from it before they
    use it (StdConv)."""
    names, taken = {id(w): n for n, w in weights.items()}, Counter[str]()
    for layer in network.modules():
        if name := names.get(id(layer._parameters.get("weight"))):
            layer.register_forward_pre_hook(lambda *_, name=name: taken.subtract({name: counter.taken}))
            layer.register_forward_hook(lambda *_, name=name: taken.update({name: counter.taken}))
    return taken
