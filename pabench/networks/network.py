"""A module as a pure function of its tensors: what criteria score, with the remedies that scoring needs."""

from __future__ import annotations

import random
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, replace_all_batch_norm_modules_, vjp
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from pabench.errors import SuiteError
from pabench.networks.attributes import Kept, views
from pabench.networks.kinds import INCLUDED, NORMS, dense, prunable_in
from pabench.networks.layout import FEW, overruns
from pabench.networks.operations import Operation, named
from pabench.networks.parts import PARTS
from pabench.networks.private import private_copy
from pabench.networks.rewire import Rewired, dtype_like, hardsigmoid, in_precision

DIFFERENTIABLE = {"hardsigmoid": hardsigmoid, **PARTS}
"""Operations whose own kernels have no second derivative, by others that give the same."""
BY_BATCH: Mapping[str, Operation] = {
    # also where a layer of one's own calls it, with statistics that it keeps
    "batch_norm": lambda x, mean, var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5: F.batch_norm(
        x, None, None, weight, bias, True, momentum, eps
    )
}
"""How BatchNorm normalises by the batch."""
ASKING = frozenset({"get", "size", "dim", "numel", "stride", "element_size", "is_floating_point", "is_complex", "len"})
"""What asks for the shape, type or place of a tensor, and not for its values."""


def prunable_weights(module: nn.Module, include: Sequence[str] = ()) -> dict[str, nn.Parameter]:
    """The weights of every convolution and linear layer by parameter name, in module order.

    First and last layer included; never biases, norms, embeddings or tokens. `include` adds weights of `attention` and
    `recurrent` layers (`pabench.networks.kinds`). A weight that two layers share counts once, by the name that
    `named_parameters` gives it: a head tied to an embedding goes by the embedding's. A layer whose weight is computed
    (weight norm and other parametrizations) holds none; scoring refuses it.
    """
    names = {p: name for name, p in module.named_parameters()}
    found = {names[weight]: weight for layer in module.modules() for weight in prunable_in(layer, include)}
    if not found:
        lacking = f"{type(module).__name__} has no weights to prune: no convolution or linear layer holds one"
        others = tuple(kind for kind in dense(module, ()) if kind in INCLUDED)
        remedy = f"include={others} prunes what it has" if others else ""
        raise SuiteError(f"{lacking}; {remedy or 'of an exported one, prune the module it was made from'}")
    return found


class Network:
    """A private copy of a module in one dtype, as `weights`, `rest` and the pure function `call`.

    `rest` is all that is not pruned; among it are `buffers`, by name, and `scales` of normalisations.
    Weights that are `transposed`, of such convolutions, have inputs before outputs.

    The module given is never touched. The copy is in eval mode (no dropout, no stochastic depth); with bn="train"
    its BatchNorms use the statistics of the batch and keep none. Attention runs unfused, recurrent layers and
    Hardsigmoid in parts: their own kernels have no second derivative. Half-precision weights are scored in `dtype` as
    well, float64 weights always in float64, and casts in `forward` to anything narrower give `dtype`. `include` as in
    `prunable_weights`; `dense` has the sizes of the weight matrices that no mask touches, by kind and name.
    SuiteError: the module cannot be scored as it is.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        bn: str = "eval",
        dtype: torch.dtype = torch.float64,
        include: Sequence[str] = (),
    ) -> None:
        copied = private_copy(module)  # first: it says why a network without weights has none
        names = prunable_weights(module, include)
        self.dense = dense(module, names)
        first = next(iter(names.values()))
        self.device = first.device
        if self.device.type == "mps" and dtype == torch.float64:
            self.device = torch.device("cpu")  # Metal has no float64
        self.dtype = dtype = torch.float64 if first.dtype == torch.float64 else dtype
        self._module = copied._apply(lambda t: t.to(self.device, dtype_like(t, dtype))).requires_grad_(False)
        if bn == "train":  # no running statistics: in eval mode, too, it normalises by the batch and changes nothing
            replace_all_batch_norm_modules_(self._module)
        own = [*self._module.named_parameters(), *self._module.named_buffers()]
        tensors = {n: t.detach() for n, t in own}
        self._places = dict(_places(self._module, {t: n for n, t in own}))
        self.weights: Tensors = {n: tensors[n] for n in names}
        self.rest: Tensors = {n: t for n, t in tensors.items() if n not in self.weights}
        self.buffers = frozenset(n for n, _ in self._module.named_buffers())
        self._table = {**DIFFERENTIABLE, **in_precision(dtype), **(BY_BATCH if bn == "train" else {})}
        norms = [path for path, layer in self._module.named_modules() if isinstance(layer, NORMS)]
        self.scales: Tensors = {n: tensors[n] for path in norms if (n := f"{path}.weight".lstrip(".")) in tensors}
        self._own_buffers = [n for n in self.buffers if n.rpartition(".")[0] not in norms]
        self.transposed = [n for n in names if getattr(module.get_submodule(n.rpartition(".")[0]), "transposed", False)]
        self.name = type(module).__name__
        self._tried = False
        self._default = torch.get_default_device()  # the caller's, where a network makes tensors without naming one
        others = [*module.named_parameters(), *module.named_buffers(), *self._module.named_parameters()]
        others += [(name, view) for view, name in views(module, self._module)]
        self._elsewhere = {id(t): (weakref.ref(t), n) for n, t in others}  # the caller's network may be gone one day
        self._kept: Kept | None = None

    @cached_property
    def likes_channels_last(self) -> bool:
        """Whether gradients of a batch of images are faster with channels last: small ones, in float32, on a CPU."""
        small = self.device.type == "cpu" and sum(w.numel() for w in self.weights.values()) <= FEW
        convolves = any(isinstance(m, nn.Conv2d) for m in self._module.modules())
        return small and convolves and self.dtype == torch.float32 and not overruns(self._module)

    def call(self, tensors: Tensors, x: Tensor) -> Tensor:
        """Outputs of the module for a batch `x` when its parameters and buffers are `tensors`; nothing is changed."""
        plain = torch.is_grad_enabled() and torch._C._len_torch_function_stack() == 0 and not transformed()
        if plain and not self._tried:
            with scoring_mode(self.device):
                self.tried(x[:2])
        return self._run(tensors, x)

    def tried(self, x: Tensor) -> Tensor:
        """Outputs for a few images, by torch.func, which refuses what plain autograd lets pass with wrong gradients.

        That is numbers on their way through numpy or inference mode, and kept tensors that forward() changes.
        """

        def outputs(weights: Tensors) -> tuple[Tensor, Tensor]:
            return next(iter(weights.values())), self._run({**self.rest, **weights}, x)

        kept = Kept(self._module)
        try:
            *_, out = vjp(outputs, self.weights, has_aux=True)  # beside another result: they may be integers
        finally:
            if kept.changed():  # of few networks
                kept.restore()
                self._kept = kept
        self._tried = True
        return out.detach()

    def _run(self, tensors: Tensors, x: Tensor) -> Tensor:
        # a network may count or average in buffers of its own; norms in eval mode do not
        own = {n: tensors[n].clone() for n in self._own_buffers if n in tensors}
        given = {**tensors, **own}
        placed = {place: given[n] for place, n in self._places.items() if n in given}
        with _Guarded(self._table, self._elsewhere, self.name), _uncompiled(), _made_on(self._default):
            try:
                # x.clone(): a network may change its input in place, which is not ours, and a constant to torch.func
                return self._logits(functional_call(self._module, placed, (x.clone(),), tie_weights=False))
            finally:
                if self._kept:  # a counter, or a mean of the first batch that it sees: each call is the first
                    self._kept.restore()

    def _logits(self, out: Any) -> Tensor:
        logits = out.get("logits") if isinstance(out, Mapping) else getattr(out, "logits", None)
        out = logits if isinstance(logits, Tensor) else out
        if not isinstance(out, Tensor):
            raise SuiteError(
                f"{self.name} gives a {type(out).__name__}, and a loss needs logits, a tensor (N, K); "
                "wrap it in a module whose forward() returns them"
            )
        return out


class _Guarded(Rewired):
    """Refuses tensors of a network that it reads elsewhere than in their places, where they cannot be replaced.

    A list of weights, or a function that holds layers (forward() wrapped by a library): the copy that is scored would
    go on with constants, or with the layers of the caller's network, and its weights would seem to do nothing.
    """

    def __init__(
        self, table: Mapping[str, Operation], elsewhere: Mapping[int, tuple[weakref.ref[Tensor], str]], network: str
    ) -> None:
        super().__init__(table)
        self.elsewhere = elsewhere
        self.network = network

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        held = self._held(args) or (self._held(kwargs.values()) if kwargs else "")
        if held and named(func) not in ASKING:
            self._refuse(held)
        out = (self.table.get(named(func)) or func)(*args, **kwargs)
        if held and isinstance(out, Tensor):  # its transpose, .T, is as much itself
            self._refuse(held)
        return out

    def _held(self, values: Iterable[Any]) -> str:
        """The name of the first of these that is read elsewhere; "" where none is."""
        for value in values:
            known = self.elsewhere.get(id(value))
            if known and known[0]() is value:
                return known[1]
        return ""

    def _refuse(self, held: str) -> NoReturn:
        raise SuiteError(
            f"{self.network}: forward() takes {held} from a list, a function or a wrapped forward() that holds it, "
            "where scoring cannot replace it; take it from its layer, or unwrap forward(), while it is scored"
        )


def _places(module: nn.Module, names: Mapping[Tensor, str]) -> Iterator[tuple[str, str]]:
    """Each place that holds a tensor, once, with the name that the tensor goes by.

    `functional_call` finds the places of a tied weight itself, but a layer that has two names is two places to it, and
    it leaves such a layer with the tensors of the last call: from the second call on its ties are lost.
    """
    for path, layer in module.named_modules():
        for own, tensor in [*layer._parameters.items(), *layer._buffers.items()]:
            if tensor in names:
                yield f"{path}.{own}".lstrip("."), names[tensor]


def transformed() -> bool:
    """Whether this runs within a transform of torch.func."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def _uncompiled() -> AbstractContextManager[Any]:
    """What is compiled runs as it was written; nothing is where the compiler, seconds to import, is not there."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def _made_on(device: torch.device) -> AbstractContextManager[Any]:
    """New tensors that name no device are on this one; its cost at each operation is spared where that is so anyhow."""
    return nullcontext() if torch.get_default_device().type == device.type else device


@contextmanager
def scoring_mode(device: torch.device, seed: int = 0) -> Iterator[None]:
    """Full-precision, deterministic arithmetic with the global random state as it was, whatever the caller's settings.

    TensorFloat-32 (cuDNN has it on by default) and bfloat16 products are off, autocast is off, attention uses its
    differentiable kernel, and new tensors are on the CPU, where random numbers come from. What a network draws of its
    own (dropout that never switches off) comes from `seed`. SuiteError in inference mode: no gradient gets out of it.
    """
    if torch.is_inference_mode_enabled():
        raise SuiteError("inside torch.inference_mode() all gradients are 0; leave it first (torch.no_grad() may stay)")
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    drawn = random.getstate(), np.random.get_state()
    try:
        cudnn.deterministic, cudnn.benchmark = True, False
        with (
            _full_precision(device),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            torch.autocast(device.type, enabled=False),
            torch.enable_grad(),
            sdpa_kernel(SDPBackend.MATH),
            _made_on(torch.device("cpu")),
        ):
            _seed_all(device, seed)
            yield
    finally:
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])
        cudnn.deterministic, cudnn.benchmark = before


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """No product of float32 numbers in TensorFloat-32 or bfloat16, however the caller asked for it.

    torch has two kinds of settings, of which the older one cannot be read where the newer one says otherwise: then it
    is left alone. Where it can be read it is set, too, so that others can go on reading it.
    """
    cuda, cudnn, mkldnn = torch.backends.cuda, torch.backends.cudnn, torch.backends.mkldnn
    kinds = {"cuda": (cuda.matmul, cudnn.conv, cudnn.rnn), "cpu": (mkldnn.matmul, mkldnn.conv, mkldnn.rnn)}
    of_device: Sequence[Any] = kinds.get(device.type, ())
    lower = [(kind, kind.fp32_precision) for kind in of_device if kind.fp32_precision not in ("none", "ieee")]
    products = _readable(torch.get_float32_matmul_precision) if lower else None
    tf32 = _readable(lambda: cudnn.allow_tf32) if lower and device.type == "cuda" else None
    try:
        if products:
            torch.set_float32_matmul_precision("highest")
        if tf32:
            cudnn.allow_tf32 = False
        for kind, _ in lower:
            kind.fp32_precision = "ieee"
        yield
    finally:
        if products:
            torch.set_float32_matmul_precision(products)
        if tf32:
            cudnn.allow_tf32 = True
        for kind, precision in lower:
            kind.fp32_precision = precision


def _readable(setting: Callable[[], Any]) -> Any:
    """An older setting; None where torch refuses to tell it."""
    try:
        return setting()
    except RuntimeError:
        return None


def _seed_all(device: torch.device, seed: int) -> None:
    """Not `torch.manual_seed`, which seeds every device of the machine, others' too."""
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    for generator in generators:
        generator.manual_seed(seed % 2**63)
    random.seed(seed)
    np.random.seed(seed % 2**32)


Tensors = dict[str, Tensor]
"""Tensors by parameter name, as `named_parameters` has it."""
