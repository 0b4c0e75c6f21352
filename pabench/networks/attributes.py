"""What layers hold beside parameters and buffers: forward() may set it, and it may be a part of a weight."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

MACHINERY = frozenset(vars(nn.Module()))
"""Attributes that every module has."""


class Kept:
    """The attributes of all layers as they are now, lists, dictionaries, sets and generators among them as well."""

    def __init__(self, module: nn.Module) -> None:
        self._were = [(vars(layer), dict(vars(layer))) for layer in module.modules()]
        own = [value for _, were in self._were for key, value in were.items() if key not in MACHINERY]
        self._boxes = [(box, box.copy()) for box in own if type(box) in (list, dict, set)]
        self._drawn = [(made, made.get_state()) for made in own if isinstance(made, torch.Generator)]

    def changed(self) -> bool:
        """Whether something has been set, added or drawn since."""
        return (
            not all(_same(now, were) for now, were in self._were)
            or not all(_same(box, was) for box, was in self._boxes)
            or not all(torch.equal(made.get_state(), state) for made, state in self._drawn)
        )

    def restore(self) -> None:
        """All as it was."""
        for now, were in self._were:
            now.clear()
            now.update(were)
        for box, was in self._boxes:
            box.clear()
            box.extend(was) if isinstance(box, list) else box.update(was)
        for made, state in self._drawn:
            made.set_state(state)


def _same(now: Any, were: Any) -> bool:
    """The same objects in the same places."""
    if len(now) != len(were):
        return False
    if isinstance(now, dict):
        return all(key in now and now[key] is value for key, value in were.items())
    return now == were if isinstance(now, set) else all(one is other for one, other in zip(now, were, strict=True))


def held(layer: nn.Module) -> Iterator[Tensor]:
    """The tensors among a layer's attributes, in lists, tuples and dictionaries too."""
    for key, value in vars(layer).items():
        if key not in MACHINERY and isinstance(value, (Tensor, list, tuple, dict)):
            yield from (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def views(module: nn.Module, copied: nn.Module) -> Iterator[tuple[Tensor, str]]:
    """Of the attributes that are a view of a parameter (`self.turned = self.a.weight.t()`) what the copy has of each,
    which is a constant, and the parameter's name."""
    memory = {_memory(p): name for name, p in module.named_parameters() if _memory(p)}
    parameters = {id(p) for p in module.parameters()}
    layers = dict(copied.named_modules())
    for path, layer in module.named_modules():
        for one, other in zip(held(layer), held(layers[path]) if path in layers else (), strict=False):
            if id(one) not in parameters and _memory(one) in memory:
                yield other, f"a view of {memory[_memory(one)]}"


def _memory(tensor: Tensor) -> int:
    """Where a tensor's storage begins; 0 where it has none, as one that holds other tensors."""
    has_one = type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided and tensor.numel()
    return tensor.untyped_storage().data_ptr() if has_one else 0
