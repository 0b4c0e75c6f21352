"""Masks in the forms of other libraries: `torch.nn.utils.prune`, plain weights, and the layout of 2:4 kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from pabench.errors import SuiteError
from pabench.networks.private import copied
from pabench.scoring.apply import apply, reader_of, remove

M = TypeVar("M", bound=nn.Module)


def torch_prune(model: M, masks: Mapping[str, Tensor]) -> M:
    """Register the masks with `torch.nn.utils.prune`, in place; returns the model.

    Each weight is then computed, `weight_orig * weight_mask`, under every name that a shared one has, and
    `prune.remove` makes it permanent. What `pabench.apply` did comes off. SuiteError: a mask does not fit, or
    is of the output layer of an attention, which reads its weight and never calls it.
    """
    known = (name for name, _ in model.named_parameters(remove_duplicate=False) if name in masks)
    if unread := [name for name in known if reader_of(model, name)]:
        raise SuiteError(
            f"{unread[0]}: torch.nn.utils.prune computes a weight when its layer is called, and attention reads this "
            "one without a call; use pabench.apply, or leave this mask out"
        )
    remove(apply(model, masks))
    names: dict[int, list[str]] = {id(p): [] for p in model.parameters()}
    for name, weight in model.named_parameters(remove_duplicate=False):
        names[id(weight)].append(name)
    places = [(alias, mask) for n, mask in masks.items() for alias in names[id(model.get_parameter(n))]]
    for name, mask in places:
        path, _, own = name.rpartition(".")
        prune.custom_from_mask(model.get_submodule(path), own, mask)
    return model


def state_dict(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, Any]:
    """The model's `state_dict` with pruned weights 0, as any training code loads it; the model stays as it is.

    Tensors are contiguous and share no memory, as `safetensors.torch.save_file` asks for.
    """
    state = remove(apply(copied(model), masks)).state_dict()
    plain = torch.contiguous_format
    return {n: t.detach().clone(memory_format=plain) if isinstance(t, Tensor) else t for n, t in state.items()}


def two_of_four(masks: Mapping[str, Tensor]) -> list[str]:
    """Names of the matrices of which each four neighbours in a row keep at most two weights.

    These alone hold in the semi-structured layout of torch and torchao, which takes two of each four: of another mask
    it drops weights and says nothing.

    >>> two_of_four({"a": torch.tensor([[1, 1, 0, 0, 0, 1, 0, 1]]), "b": torch.tensor([[1, 1, 1, 0, 0, 0, 0, 0]])})
    ['a']
    """
    fours = {n: m.reshape(-1, 4) for n, m in masks.items() if m.dim() == 2 and m.shape[1] % 4 == 0}
    return [n for n, rows in fours.items() if bool((rows.sum(1) <= 2).all())]
