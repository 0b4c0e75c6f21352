"""Masks on live networks: pruned weights stay 0 in anybody's training loop, until the masks are taken off.

The masks of a module's own parameters stand in one object beside them, `_Held`. It goes where the module goes: deep
copies and pickles rebuild it, and rebuilding makes it known to the hook that runs after every step of any optimizer.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook

from pabench.errors import SuiteError

M = TypeVar("M", bound=nn.Module)
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_ATTRIBUTE = "_pabench_masks"


def apply(model: M, masks: Mapping[str, Tensor]) -> M:
    """Prune `model` in place and keep it pruned; returns the model.

    Pruned weights (mask False) are 0 now, after every step of any optimizer (momentum, weight decay, AMP, gradients
    that are not numbers), after `load_state_dict` and whenever the layer that holds them is called. Masks move, copy
    and pickle with the model and stay out of its `state_dict`, whose names do not change: to resume from a state, load
    it and call `apply` again. Applying twice replaces the masks; `remove` takes them off.

    `masks` are tensors by parameter name, as `pabench.prune` gives them: bool, or numbers that are all 0 or 1.
    SuiteError names one that does not fit; the model is then as it was.
    """
    weights = dict(model.named_parameters(remove_duplicate=False))
    for name, mask in masks.items():
        _refuse_misfit(name, mask, weights.get(name))
    _watch_optimizers()
    for name, mask in masks.items():
        path, _, own = name.rpartition(".")
        _held_by(model.get_submodule(path)).take(own, mask, name)
    return model


def remove(model: M) -> M:
    """Take the masks off: pruned weights are 0 and free to learn, no hook is left; returns the model.

    Call it before what cannot follow hooks (`torch.jit.script`, dynamic quantization) or must not need pabench (a
    network saved whole). A model without masks stays as it is.
    """
    for module in model.modules():
        if held := vars(module).get(_ATTRIBUTE):
            held.zero()
            delattr(module, _ATTRIBUTE)
            for hooks in (module._forward_pre_hooks, module._load_state_dict_post_hooks):
                for key in [key for key, hook in hooks.items() if hook in (_before_forward, _after_load)]:
                    del hooks[key]
    return model


def multiplier(mask: Tensor, weight: Tensor) -> Tensor:
    """1 where a weight is kept and 0 where it is pruned: integers as wide as the weight, laid out as it is."""
    return torch.empty_like(weight, dtype=_INTEGERS[weight.element_size()]).copy_(mask)


@torch.no_grad()
def zero_pruned(weights: Sequence[Tensor], multipliers: Sequence[Tensor]) -> None:
    """Set pruned weights to 0 in place; one fused multiplication, about 1 % of a training step.

    The bits of a weight are multiplied as an integer: times 0 that is 0 for a weight that is not a number, too, and
    times 1 it is the weight.
    """
    torch._foreach_mul_([w.view(m.dtype) for w, m in zip(weights, multipliers, strict=True)], list(multipliers))


# --- What goes with a module ------------------------------------------------------------------------------------------


class _Held:
    """Masks of the parameters that one module holds itself, by their own name ("weight"), bool on the CPU."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.masks: dict[str, Tensor] = {}
        self.names: dict[str, str] = {}  # as the model called them when the masks were applied, for messages
        self._know()

    def take(self, own: str, mask: Tensor, name: str) -> None:
        self.masks[own], self.names[own] = mask.detach().cpu().bool(), name
        self._multipliers.pop(own, None)
        self.zero()

    def zero(self) -> None:
        """Through `.data`: zeroing what is zero already must not look like an in-place change to a pending backward."""
        pairs = list(self.weights())
        if pairs:
            zero_pruned([w.data for w, _ in pairs], [m for _, m in pairs])

    def weights(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Each masked parameter with its multiplier; what is no parameter any more (weight norm) is passed over."""
        for own, mask in self.masks.items():
            weight = self.module._parameters.get(own)
            if weight is None:
                continue
            known = self._multipliers.get(own)
            # the model may have moved to another device or dtype
            if known is None or known.device != weight.device or known.element_size() != weight.element_size():
                known = self._multipliers[own] = multiplier(mask, weight.data)
            yield weight, known

    def __getstate__(self) -> dict[str, Any]:
        return {"module": self.module, "masks": self.masks, "names": self.names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._know()

    def _know(self) -> None:
        self._multipliers: dict[str, Tensor] = {}
        _known[id(self)] = self
        _watch_optimizers()


_known: weakref.WeakValueDictionary[int, _Held] = weakref.WeakValueDictionary()


def _held_by(module: nn.Module) -> _Held:
    if _ATTRIBUTE not in vars(module):
        module.register_forward_pre_hook(_before_forward)
        module.register_load_state_dict_post_hook(_after_load)
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
    pairs = [(w, m) for each in held for w, m in each.weights() if id(w) in stepped]
    if pairs:
        zero_pruned([w for w, _ in pairs], [m for _, m in pairs])


def _before_forward(module: nn.Module, _inputs: Any) -> None:
    """For weights changed by anything but an optimizer.

    Functional calls and replicas bring tensors of their own, which are not ours to change.
    """
    if torch.compiler.is_compiling():
        return
    held: _Held | None = vars(module).get(_ATTRIBUTE)  # a quantized layer takes over the hooks of the one it replaces
    if held is None or torch.jit.is_tracing() or getattr(module, "_is_replica", False):
        return
    weights = [module._parameters.get(own) for own in held.masks]
    if None in weights:
        name = held.names[list(held.masks)[weights.index(None)]]
        raise SuiteError(
            f"{name}: this weight of a {type(module).__name__} is computed now (weight norm, torch.nn.utils.prune or "
            "another parametrization) and cannot be kept pruned; call pabench.remove(model) first"
        )
    if all(isinstance(weight, nn.Parameter) for weight in weights):
        held.zero()


def _after_load(module: nn.Module, _keys: Any) -> None:
    vars(module)[_ATTRIBUTE].zero()


# --- What is no mask --------------------------------------------------------------------------------------------------


def _refuse_misfit(name: str, mask: Any, weight: Tensor | None) -> None:
    if weight is None:
        raise SuiteError(f"{name}: the model has no parameter of this name; see model.named_parameters()")
    if isinstance(weight, nn.parameter.UninitializedParameter):
        raise SuiteError(f"{name}: the weight of a lazy module has no shape yet; call the model on a batch first")
    if not isinstance(mask, Tensor):
        raise SuiteError(f"{name}: a mask is a tensor, not a {type(mask).__name__}")
    if mask.shape != weight.shape:
        raise SuiteError(f"{name}: mask is {tuple(mask.shape)}, the weight is {tuple(weight.shape)}")
    other = mask[(mask != 0) & (mask != 1)] if mask.dtype != torch.bool else mask[:0]
    if other.numel():
        raise SuiteError(
            f"{name}: a mask is bool, or 0 and 1, and this one holds {other[0].item():g}; "
            "if these are scores, pabench.prune turns them into masks"
        )
