"""Masks on live networks: pruned weights stay 0 in anybody's training loop, until the masks are taken off.

The masks of a module's own parameters stand in one object beside them, `_Held`. It goes where the module goes: deep
copies and pickles rebuild it, and rebuilding makes it known to the hook that runs after every step of any optimizer.
"""

from __future__ import annotations

import weakref
from collections.abc import Container, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from pabench.errors import SuiteError
from pabench.scoring.arguments import refuse_no_masks, refuse_wrong

M = TypeVar("M", bound=nn.Module)
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_ATTRIBUTE = "_pabench_masks"


def apply(model: M, masks: Mapping[str, Tensor]) -> M:
    """Prune `model` in place and keep it pruned; returns the model.

    Pruned weights (mask False) are 0 now, after every step of any optimizer (momentum, weight decay, AMP, gradients
    that are not numbers), after `load_state_dict`, and whenever the layer that holds them is called or gives its
    `state_dict`, for what is changed by other hands. Masks move, copy and pickle with the model and stay out of its
    `state_dict`, whose names do not change: to resume from a state, load it and call `apply` again. Applying twice
    replaces the masks; `remove` takes them off.

    `masks` are tensors by parameter name, as `pabench.prune` gives them: bool, or numbers that are all 0 or 1.
    SuiteError names one that does not fit; the model is then as it was.
    """
    _refuse_unfit(model, masks)
    weights = dict(nn.Module.named_parameters(model, remove_duplicate=False))  # a model may give them other names
    for name, mask in masks.items():
        _refuse_misfit(name, mask, weights.get(name))
    _watch_optimizers()
    for name, mask in masks.items():
        path, _, own = name.rpartition(".")
        _held_by(model.get_submodule(path)).take(own, mask, name)
        attention = reader_of(model, name)
        if attention is not None and _before_attention not in attention._forward_pre_hooks.values():
            attention.register_forward_pre_hook(_before_attention)
    return model


def reader_of(model: nn.Module, name: str) -> nn.MultiheadAttention | None:
    """The attention that reads this weight without calling the layer it belongs to, or None."""
    above, _, layer = name.rpartition(".")[0].rpartition(".")
    module = model.get_submodule(above)
    return module if isinstance(module, nn.MultiheadAttention) and layer == "out_proj" else None


def remove(model: M) -> M:
    """Take the masks off: pruned weights are 0 and free to learn, no hook is left; returns the model.

    Call it before what cannot follow hooks (`torch.jit.script`, dynamic quantization) or must not need pabench (a
    network saved whole). A model without masks stays as it is.
    """
    refuse_wrong(model)
    for module in model.modules():
        if held := vars(module).get(_ATTRIBUTE):
            held.zero()
            delattr(module, _ATTRIBUTE)
        for hooks in (module._forward_pre_hooks, module._load_state_dict_post_hooks, module._state_dict_pre_hooks):
            for key in [key for key, hook in hooks.items() if hook in _HOOKS]:
                del hooks[key]
    return model


def multiplier(mask: Tensor, weight: Tensor) -> Tensor:
    """1 where a weight is kept and 0 where it is pruned: integers as wide as the weight, laid out as it is."""
    bits = _bits(weight)
    return torch.empty_like(bits).copy_(mask.unsqueeze(-1) if bits.dim() > mask.dim() else mask)


@torch.no_grad()
def zero_pruned(weights: Sequence[Tensor], multipliers: Sequence[Tensor]) -> None:
    """Set pruned weights to 0 in place; one fused multiplication, about 1 % of a training step.

    The bits of a weight are multiplied as an integer: times 0 that is 0 for a weight that is not a number, too, and
    times 1 it is the weight.
    """
    torch._foreach_mul_([_bits(w) for w in weights], list(multipliers))


def _bits(weight: Tensor) -> Tensor:
    """The weight as integers that share its memory; a complex number is two of them, in a dimension more."""
    numbers = torch.view_as_real(weight) if weight.is_complex() else weight
    return numbers.view(_INTEGERS[numbers.element_size()])


# --- What goes with a module ------------------------------------------------------------------------------------------


class _Held:
    """Masks of the parameters that one module holds itself, by their own name ("weight"), bool on the CPU."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.masks: dict[str, Tensor] = {}
        self.names: dict[str, str] = {}  # as the model called them when the masks were applied, for messages
        self._know()

    def take(self, own: str, mask: Tensor, name: str) -> None:
        self.masks[own], self.names[own] = mask.detach().to("cpu", torch.bool, copy=True), name
        self._multipliers.pop(own, None)
        self.zero()

    def zero(self) -> None:
        """Through `.data`: zeroing what is zero already must not look like an in-place change to a pending backward."""
        pairs = list(self.pairs())
        if pairs:
            zero_pruned([w for w, _ in pairs], [m for _, m in pairs])

    def pairs(self, among: Container[int] | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The values of each masked parameter (of those with an id `among` these) with their multiplier.

        What is no such parameter any more (weight norm) is passed over; SuiteError where an optimizer has stepped it in
        another shape.
        """
        for own, mask in self.masks.items():
            weight = self.module._parameters.get(own)
            if weight is None or (among is not None and id(weight) not in among):
                continue
            if weight.shape != mask.shape:
                if among is not None:
                    _refuse_changed(self.names[own], self.module, weight, mask)
                continue
            values, mask = _on_this_process(weight.data, mask)
            bits, known = _bits(values), self._multipliers.get(own)
            # the model may have moved to another device or dtype, or be sharded
            if known is None or (known.device, known.dtype, known.shape) != (bits.device, bits.dtype, bits.shape):
                known = self._multipliers[own] = multiplier(mask, values)
            yield values, known

    def __getstate__(self) -> dict[str, Any]:
        return {"module": self.module, "masks": self.masks, "names": self.names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._know()

    def _know(self) -> None:
        self._multipliers: dict[str, Tensor] = {}
        _known[id(self)] = self
        _watch_optimizers()


def _on_this_process(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Of a weight that is sharded over processes (FSDP2, tensor parallel) the part that is here, and its mask."""
    if not hasattr(values, "placements"):
        return values, mask
    from torch.distributed.tensor import distribute_tensor  # as heavy as what made the weight one

    sharded = distribute_tensor(
        mask.to(values.device), values.device_mesh, values.placements, src_data_rank=None
    )  # each process holds the whole mask: none is sent
    return values.to_local(), sharded.to_local()


_known: weakref.WeakValueDictionary[int, _Held] = weakref.WeakValueDictionary()


def _held_by(module: nn.Module) -> _Held:
    if _ATTRIBUTE not in vars(module):
        module.register_forward_pre_hook(_before_forward)
        module.register_load_state_dict_post_hook(_after_load)
        module.register_state_dict_pre_hook(_before_save)
        setattr(module, _ATTRIBUTE, _Held(module))
    held: _Held = vars(module)[_ATTRIBUTE]
    return held


@cache
def _watch_optimizers() -> None:
    register_optimizer_step_post_hook(_after_step)


def _after_step(optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
    """It runs for every optimizer of the process, most of which are not ours."""
    stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    held = [held for ref in _known.valuerefs() if (held := ref()) is not None]
    pairs = [pair for each in held for pair in each.pairs(stepped)]
    if pairs:
        zero_pruned([w for w, _ in pairs], [m for _, m in pairs])


def _before_forward(module: nn.Module, _inputs: Any) -> None:
    """For weights changed by anything but an optimizer."""
    if torch.compiler.is_compiling():
        return
    held: _Held | None = vars(module).get(_ATTRIBUTE)  # a quantized layer takes over the hooks of the one it replaces
    if held is None or torch.jit.is_tracing() or getattr(module, "_is_replica", False):
        return
    for own, mask in held.masks.items():
        _refuse_changed(held.names[own], module, module._parameters.get(own), mask)
    _zero_own(held)


def _before_attention(module: nn.Module, inputs: Any) -> None:
    """For what it reads of its output layer, whose own hook never runs."""
    _before_forward(module.out_proj, inputs)  # type: ignore[arg-type]


def _after_load(module: nn.Module, _keys: Any) -> None:
    vars(module)[_ATTRIBUTE].zero()


def _before_save(module: nn.Module, _prefix: str, _keep_vars: bool) -> None:
    if held := vars(module).get(_ATTRIBUTE):
        _zero_own(held)


_HOOKS = (_before_forward, _before_attention, _after_load, _before_save)


def _zero_own(held: _Held) -> None:
    """Functional calls and replicas bring tensors of their own, which are not ours to change."""
    if all(isinstance(held.module._parameters.get(own), (nn.Parameter, type(None))) for own in held.masks):
        held.zero()


# --- What is no mask --------------------------------------------------------------------------------------------------


def _refuse_unfit(model: nn.Module, masks: Any) -> None:
    refuse_wrong(model)
    refuse_no_masks(masks)
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise SuiteError(
            f"{type(model).__name__} is scripted or traced and cannot be kept pruned; apply masks to the module it was "
            "made from"
        )


def _refuse_changed(name: str, module: nn.Module, weight: Tensor | None, mask: Tensor) -> None:
    if weight is None:
        raise SuiteError(
            f"{name}: this weight of a {type(module).__name__} is computed now (weight norm, torch.nn.utils.prune or "
            "another parametrization) and cannot be kept pruned; call pabench.remove(model) first"
        )
    if weight.shape != mask.shape:
        raise SuiteError(
            f"{name}: this weight of a {type(module).__name__} is {tuple(weight.shape)} now, its mask is "
            f"{tuple(mask.shape)}; call pabench.remove(model) first, or apply masks of the new shape (sharding by "
            "fully_shard keeps shapes)"
        )


def _refuse_misfit(name: str, mask: Any, weight: Tensor | None) -> None:
    if weight is None:
        raise SuiteError(f"{name}: the model has no parameter of this name; see model.named_parameters()")
    if isinstance(weight, nn.parameter.UninitializedParameter):
        raise SuiteError(f"{name}: the weight of a lazy module has no shape yet; call the model on a batch first")
    fitting_mask(name, mask, weight)
    if is_traceable_wrapper_subclass(weight) and not hasattr(weight, "placements"):
        raise SuiteError(
            f"{name}: this weight is a {type(weight).__name__} (quantized, nested) and cannot be kept pruned; apply "
            "masks before it is made one"
        )
    if any(stride == 0 and size > 1 for size, stride in zip(weight.shape, weight.stride(), strict=True)):
        raise SuiteError(
            f"{name}: entries of this weight share memory (expand()), and none can be pruned alone; give the "
            "parameter memory of its own: contiguous()"
        )


def fitting_mask(name: str, mask: Any, weight: Tensor) -> Tensor:
    """The mask of a weight as bool; SuiteError where it is none, or one of another shape."""
    found = as_mask(name, mask)
    if found.shape != weight.shape:
        raise SuiteError(f"{name}: mask is {tuple(found.shape)}, the weight is {tuple(weight.shape)}")
    return found


def as_mask(name: str, mask: Any) -> Tensor:
    """A mask as bool; SuiteError where it is no dense tensor of bool, or of numbers that are all 0 or 1."""
    if not isinstance(mask, Tensor):
        raise SuiteError(f"{name}: a mask is a tensor, not a {type(mask).__name__}")
    if mask.layout != torch.strided:
        raise SuiteError(f"{name}: a mask is a dense tensor, and this one is {mask.layout}; give mask.to_dense()")
    if mask.is_meta:
        raise SuiteError(f"{name}: this mask is on the meta device, where nothing has a value; make it on the CPU")
    if mask.dtype == torch.bool:
        return mask
    other = mask[(mask != 0) & (mask != 1)]
    if other.numel():
        raise SuiteError(
            f"{name}: a mask is bool, or 0 and 1, and this one holds {other[0].item():g}; "
            "if these are scores, pabench.prune turns them into masks"
        )
    return mask.bool()
