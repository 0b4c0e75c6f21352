"""A private copy of anybody's module, fit to be scored, or one line on why there is none and what to do."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Iterable, Iterator
from itertools import chain, combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves

from pabench.errors import SuiteError
from pabench.networks.attributes import MACHINERY


def private_copy(module: nn.Module) -> nn.Module:
    """A copy in eval mode that shares no tensor with `module`, neither compiled nor replicated, attention in parts.

    Activations that the module keeps are copied without their history, and what cannot be copied (a lock, an open file)
    is shared. Backward hooks stay behind: they see or change what a training does, torch.func knows none. SuiteError: a
    network that cannot be scored as it is.
    """
    _refuse_unfit(module)
    with torch.random.fork_rng(devices=[]):  # a __deepcopy__ that builds a new module draws its weights
        own = copied(module)
    for layer in own.eval().modules():
        layer._backward_hooks.clear()
        layer._backward_pre_hooks.clear()
        if hasattr(layer, "fused_attn"):  # timm's switch
            layer.fused_attn = False  # type: ignore[assignment]
        if isinstance(layer, nn.RNNBase):
            # on a GPU it would move what a functional call brings into one buffer, for a kernel that is not used here
            layer.flatten_parameters = lambda: None  # type: ignore[method-assign]
    return own


class _Inside(nn.Module):
    """The module inside a wrapper, under the name that the wrapper gives it: parameters keep their names."""

    def __init__(self, name: str, inside: nn.Module) -> None:
        super().__init__()
        self.add_module(name, inside)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        (inside,) = self.children()
        return inside(*args, **kwargs)


def copied(module: nn.Module) -> nn.Module:
    """A copy that shares no tensor with `module`, without compiled and replicated wrappers; of activations that it
    keeps without their history. What cannot be copied is shared. SuiteError: there is no copy, or one that is none."""
    found = _copied(module)
    _refuse_other(found, module)
    return found


def _copied(module: nn.Module) -> nn.Module:
    layers = list(module.modules())
    memo: dict[int, Any] = {id(t): t.detach().clone() for t in _with_history(layers)}
    memo |= {id(made): made.clone_state() for made in _generators(layers)}
    try:
        return _without_wrappers(layers, memo)
    except Exception:  # anybody's objects fail to copy in their own ways
        memo |= {id(value): value for value in _uncopyable(layers, memo)}
    try:
        return _without_wrappers(layers, memo)
    except Exception as error:
        raise SuiteError(
            f"{type(module).__name__} cannot be copied, and scoring works on a copy ({_line(error)}); "
            "take out the attribute that stands in the way while it is scored"
        ) from error


def _without_wrappers(layers: list[nn.Module], memo: dict[int, Any]) -> nn.Module:
    """A deep copy of the first of `layers`, the others being inside it, without compiled and replicated wrappers."""
    memo = dict(memo)
    for layer in reversed(layers):  # the innermost first
        if name := _wraps(layer):
            memo[id(layer)] = _Inside(name, copy.deepcopy(layer.get_submodule(name), memo))
    found: nn.Module = copy.deepcopy(layers[0], memo)
    return found


def _wraps(layer: nn.Module) -> str:
    """The name under which a wrapper holds the module it runs; "" for any other module."""
    if isinstance(layer, (DataParallel, DistributedDataParallel)):
        return "module"
    return "_orig_mod" if "_orig_mod" in layer._modules else ""  # torch.compile; its class takes a second to import


def _with_history(layers: list[nn.Module]) -> Iterator[Tensor]:
    """Tensors that a computation left on the modules: deepcopy refuses those."""
    for layer in layers:
        for key, value in vars(layer).items():
            # most attributes are numbers and the machinery of nn.Module: a walk through all takes as long as a copy
            if isinstance(value, (Tensor, list, tuple, dict)) and (key == "_buffers" or key not in MACHINERY):
                yield from (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor) and not leaf.is_leaf)


def _generators(layers: list[nn.Module]) -> Iterator[torch.Generator]:
    """Those of random numbers that the modules hold themselves: deepcopy refuses them, and the caller's would go on."""
    for layer in layers:
        yield from (value for value in vars(layer).values() if isinstance(value, torch.Generator))


def _uncopyable(layers: list[nn.Module], memo: dict[int, Any]) -> Iterator[Any]:
    """Attributes of the modules that fail to copy on their own: locks, files, generators, connections."""
    inside = {id(layer): layer for layer in layers}  # modules that an attribute refers to are not copied to find out
    for layer in layers:
        for key, value in vars(layer).items():
            if key not in MACHINERY:
                try:
                    copy.deepcopy(value, {**memo, **inside})
                except Exception:
                    yield value


# --- What cannot be scored as it is -----------------------------------------------------------------------------------


def _refuse_other(copied: nn.Module, module: nn.Module) -> None:
    """A `__deepcopy__` of the module's own may give the module itself, or another network."""
    own = dict(module.named_parameters())
    found = dict(copied.named_parameters())
    shared = {id(p) for p in own.values()} & {id(p) for p in found.values()}
    # looked at where there is a __deepcopy__ alone: on a GPU each comparison waits for the device
    by_itself = any(hasattr(layer, "__deepcopy__") for layer in module.modules())
    if shared or list(own) != list(found) or (by_itself and not all(_equal(own[n], found[n]) for n in own)):
        raise SuiteError(
            f"{type(module).__name__}: copy.deepcopy gives {'the same weights' if shared else 'another network'}, and "
            "scoring works on a copy; take out its __deepcopy__ while it is scored"
        )


def _equal(one: Tensor, other: Tensor) -> bool:
    """NaN is NaN here: that a network holds some is told where its outputs are looked at."""
    return one.shape == other.shape and bool(((one == other) | (one != one) & (other != other)).all())


def _refuse_unfit(module: nn.Module) -> None:
    name = type(module).__name__
    for path, layer in module.named_modules():
        where = path or name
        if isinstance(layer, torch.jit.ScriptModule):
            raise SuiteError(
                f"{name}: {where} is scripted or traced and hides its operations; prune the module it was made from"
            )
        if "_fsdp_wrapped_module" in layer._modules:
            raise SuiteError(
                f"{name}: the weights of {where} are flat and sharded; prune it before FullyShardedDataParallel wraps "
                "it"
            )
        if any(isinstance(buffer, UninitializedBuffer) for buffer in layer._buffers.values()):
            raise SuiteError(
                f"{name}: {where} ({type(layer).__name__}) has no buffers yet; call the model on a batch first"
            )
        for parameter in layer._parameters.values():
            if isinstance(parameter, UninitializedParameter):
                raise SuiteError(
                    f"{name}: {where} ({type(layer).__name__}) has no weights yet; call the model on a batch first"
                )
            if is_traceable_wrapper_subclass(parameter):
                raise SuiteError(
                    f"{name}: a weight of {where} is a {type(parameter).__name__} (sharded, quantized, nested), and "
                    "scoring takes plain tensors; prune the network before it is distributed or quantized"
                )
            if parameter is not None and parameter.is_meta:
                raise SuiteError(
                    f"{name}: the weights of {where} are on the meta device and hold no values; "
                    "build the model on a real device, or model.to_empty(device=...) and load or draw its weights"
                )
        prunable = isinstance(layer, (nn.Linear, _ConvNd))
        weight = layer._parameters.get("weight") if prunable else None
        if weight is not None and weight.is_complex():
            raise SuiteError(
                f"{name}: the weight of {where} ({type(layer).__name__}) is complex, and criteria score real weights; "
                "hold its real and imaginary parts in two layers"
            )
        if prunable and (undo := _computed(layer)):
            raise SuiteError(
                f"{name}: the weight of {where} ({type(layer).__name__}) is computed from other parameters, so no "
                f"entry of it can be pruned; call {undo} first"
            )
    pairs = chain.from_iterable(combinations(every, 2) for every in _by_storage(module))
    for (one, first), (other, second) in pairs:
        if isinstance(first, nn.Parameter) and _share_entries(first, second):
            what = "two parameters" if isinstance(second, nn.Parameter) else "a parameter and a buffer"
            raise SuiteError(
                f"{name}: {one} and {other} are {what} in one memory, and a copy would have each by itself; "
                "make them one parameter (b.weight = a.weight), or take the part that is used in forward()"
            )


def _by_storage(module: nn.Module) -> Iterable[list[tuple[str, Tensor]]]:
    """The parameters by name, and after them the buffers, those together whose memory is one; none under two names."""
    held: dict[int, list[tuple[str, Tensor]]] = {}
    for name, parameter in chain(module.named_parameters(), module.named_buffers()):
        if parameter.numel() and parameter.layout == torch.strided:
            held.setdefault(parameter.untyped_storage().data_ptr(), []).append((name, parameter))
    return held.values()


def _share_entries(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have numbers in common, and not their storage alone, as the parts of one flat tensor do."""
    ranges = []
    for tensor in (one, other):
        size = tensor.element_size()
        last = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
        ranges.append((tensor.data_ptr(), tensor.data_ptr() + size * (last + 1)))
    (first, end), (begin, last_end) = ranges
    if end <= begin or last_end <= first:
        return False
    if one.element_size() != other.element_size():
        return True
    start, size = min(first, begin), one.element_size()
    taken = torch.zeros((max(end, last_end) - start) // size, dtype=torch.bool, device="cpu")
    of_one, of_other = (taken.as_strided(t.shape, t.stride(), (t.data_ptr() - start) // size) for t in (one, other))
    of_one.fill_(True)
    return bool(of_other.any())


def _computed(layer: nn.Module) -> str:
    """What makes a computed weight a parameter again; "" where it is one."""
    if torch.nn.utils.parametrize.is_parametrized(layer, "weight"):
        return 'torch.nn.utils.parametrize.remove_parametrizations(layer, "weight")'
    if "weight_mask" in layer._buffers:
        return 'torch.nn.utils.prune.remove(layer, "weight")'
    if "weight_g" in layer._parameters:
        return "torch.nn.utils.remove_weight_norm(layer)"
    return "torch.nn.utils.remove_spectral_norm(layer)" if "weight_orig" in layer._parameters else ""


# --- When its forward pass fails --------------------------------------------------------------------------------------

OWN_DTYPE = "it makes numbers of a dtype of its own; take that of x there, or give dtype=torch.float32"
DECIDES = "decisions that depend on values cannot be scored; take them out of forward()"
CHECKPOINTS = "switch gradient checkpointing off while it is scored"
IN_PLACE = "it changes in place a tensor that it keeps; use the operation that gives a new one"
GRADIENT = "it takes gradients in forward(); take them by torch.func.grad"
TOKENS = (
    "it looks up tokens and was given real numbers, as all is that uses no data; take the part behind the embedding"
)
WAYS_OUT = {
    "torch/utils/checkpoint.py": CHECKPOINTS,
    "torch/utils/hooks.py": "take off the backward hooks that are registered for all modules",
    "saved tensor hooks": CHECKPOINTS,
    "setup_context": "give its autograd.Function a setup_context(), or build it of torch's operations, for torch.func",
    "same dtype": OWN_DTYPE,
    "expected scalar type": OWN_DTYPE,
    "should be the same": OWN_DTYPE,
    "same scalar type": OWN_DTYPE,
    "Type promoting not supported": OWN_DTYPE,
    "data-dependent": DECIDES,
    ".item()": DECIDES,
    "data pointer of Tensor": "torch.func cannot follow it into numpy or packed sequences; take them out of forward()",
    "would mutate a captured Tensor": IN_PLACE,
    "used in an in-place operation": IN_PLACE,
    "mutating directly with `.data`": IN_PLACE,
    "does not require grad": GRADIENT,
    "requires_grad_()": GRADIENT,
    "inference tensor": "take torch.inference_mode() out of forward(), or use torch.no_grad()",
    "required positional argument": "forward() is given one tensor; wrap it in a module that makes the others of that",
    "argument #1 'indices'": TOKENS,
    "argument #2 'indices'": TOKENS,
    "'Tensor' and 'NoneType'": (
        "a BatchNorm of its own reads running statistics, and the criterion has those of the batch; call F.batch_norm "
        'there, or give bn="eval"'
    ),
    "more than 1 value per channel": "its BatchNorms take the statistics of the batch here; give more images",
}
"""What to do, by words of torch's message or the file that it comes from; the first that fits."""


def explained(error: Exception, module: nn.Module, seen: str, *, ran: bool = False, way_out: str = "") -> str:
    """One line on a forward pass that failed: whose, how, and what to do.

    `seen`: what the network was given; `ran`: whether it has run on that before, without derivatives; `way_out`: what
    to do where its input says so, and not the error.
    """
    inside = type(_innermost(error) or module).__name__
    whose = type(module).__name__ + (f" (in {inside})" if inside != type(module).__name__ else "")
    told = f"{error} {' '.join(frame.filename for frame in traceback.extract_tb(error.__traceback__))}"
    way_out = way_out or next((way for words, way in WAYS_OUT.items() if words in told), "")
    otherwise = "torch.func cannot follow it; use another operation" if ran else "try copy.deepcopy(model).eval()(x)"
    return f"{whose}: the forward pass on {seen} fails; {way_out or otherwise} ({_line(error)})"


def _innermost(error: Exception) -> nn.Module | None:
    """The module whose code ran when the error came up."""
    found, at = None, error.__traceback__
    while at:
        owner = at.tb_frame.f_locals.get("self")
        found = owner if isinstance(owner, nn.Module) else found
        at = at.tb_next
    return found


def _line(error: Exception) -> str:
    """The error in one line of at most 160 letters; torch's messages fill screens."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:157] + '...' if len(words) > 160 else words}"
