"""What one run of a network did, operation by operation: it can be done again without the network's own code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from pabench.networks.network import ASKING, Tensors
from pabench.networks.operations import Operation, named

INPUT = "the input"
SILENT = ASKING | {"assert", "device"}
"""Operations that give no tensor and leave no trace."""


@dataclass(frozen=True)
class Place:
    """A tensor of the tape: a parameter, buffer or the input by its name, or what the step of a number gave."""

    key: str | int


@dataclass(frozen=True)
class Step:
    """`function(*args, **kwargs)`, with places in the place of tensors, and the shape of what it gave."""

    function: Operation
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    shape: torch.Size

    @cached_property
    def name(self) -> str:
        return named(self.function)

    @cached_property
    def places(self) -> list[Place]:
        return [leaf for leaf in tree_leaves([self.args, dict(self.kwargs)]) if isinstance(leaf, Place)]

    def moved(self, to: Callable[[Place], Any]) -> Step:
        """The same operation on tensors elsewhere."""
        return replace(self, args=_each(to, self.args), kwargs={k: _each(to, v) for k, v in self.kwargs.items()})


@dataclass(frozen=True)
class Tape:
    """Steps in their order, and where the network's result is found."""

    steps: tuple[Step, ...]
    output: Place

    def run(
        self, tensors: Mapping[str, Tensor], x: Tensor, *, instead: Mapping[int, Operation] | None = None
    ) -> Tensor:
        """What the network gives with these tensors; `instead` are functions for steps, by number."""
        values: dict[Any, Any] = {**tensors, INPUT: x}
        for number, (step, line) in enumerate(zip(self.steps, self._lines, strict=True)):
            function = instead.get(number, step.function) if instead else step.function
            values[number] = line(function, values)
        found: Tensor = values[self.output.key]
        return found

    @cached_property
    def _lines(self) -> list[Callable[[Operation, Mapping[Any, Any]], Any]]:
        return [_line(step) for step in self.steps]

    def without(self, numbers: Mapping[int, Place]) -> Tape:
        """The same without these steps; each is replaced by a place that stands before it."""
        kept = [n for n in range(len(self.steps)) if n not in numbers]
        now = {old: new for new, old in enumerate(kept)}

        def moved(place: Place) -> Place:
            while place.key in numbers:
                place = numbers[place.key]  # type: ignore[index]
            return Place(now[place.key]) if isinstance(place.key, int) else place

        return Tape(tuple(self.steps[n].moved(moved) for n in kept), moved(self.output))


def recorded(call: Callable[[Tensors, Tensor], Tensor], tensors: Tensors, x: Tensor) -> Tape | None:
    """The tape of `call(tensors, x)`; None where the network does what a tape cannot hold.

    That is: an operation that gives several tensors or a number, a tensor of the network's own, one that is changed in
    place while another shares its memory.
    """
    recorder = _Recorder(tensors, x)
    with recorder:
        out = call(tensors, x)
    output = recorder.places.get(id(out))
    return Tape(tuple(recorder.steps), output) if output and not recorder.lost else None


class _Recorder(TorchFunctionMode):
    def __init__(self, tensors: Tensors, x: Tensor) -> None:
        super().__init__()
        self.places = {**{id(t): Place(n) for n, t in tensors.items()}, id(x): Place(INPUT)}
        self.steps: list[Step] = []
        self.lost = False
        self._made: list[Tensor] = []  # ids are those of living tensors

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        given = [t for t in tree_leaves([args, kwargs]) if isinstance(t, Tensor)]
        versions = [t._version for t in given]
        where = [self._placed(list(args)), self._placed(kwargs)]
        out = func(*args, **kwargs)
        known = [id(t) in self.places for t in given]
        if not any(known):
            return out
        if not isinstance(out, Tensor):
            self.lost |= named(func) not in SILENT
            return out
        changed = [t for t, version in zip(given, versions, strict=True) if t._version != version]
        step: Step | None = Step(func, tuple(where[0]), where[1], out.shape)
        if changed and step:
            step, alone = _elsewhere(step), sum(_memory(t) == _memory(out) for t in self._made) == 1
            self.lost |= len(changed) > 1 or changed[0] is not out or step is None or not alone
        self.lost |= not all(known)
        if not self.lost and step:
            self.steps.append(step)
            self.places[id(out)] = Place(len(self.steps) - 1)
            self._made += [] if changed else [out]
        return out

    def _placed(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.places.get(id(value))
        if isinstance(value, dict):
            return {k: self._placed(v) for k, v in value.items()}
        return type(value)(map(self._placed, value)) if type(value) in (list, tuple) else value


def _elsewhere(step: Step) -> Step | None:
    """The operation that gives a new tensor where this one changes one in place."""
    if step.function.__name__ == f"{step.name}_" and hasattr(Tensor, step.name):
        return replace(step, function=getattr(Tensor, step.name))
    return replace(step, kwargs={**step.kwargs, "inplace": False}) if step.kwargs.get("inplace") else None


def _line(step: Step) -> Callable[[Operation, Mapping[Any, Any]], Any]:
    """Calls a function with the arguments of a step; which of them are places is looked up once."""
    spots = [(i, a.key) for i, a in enumerate(step.args) if type(a) is Place]
    if len(spots) < len(step.places):  # in lists, or by name

        def anywhere(function: Operation, values: Mapping[Any, Any]) -> Any:
            given = step.moved(lambda place: values[place.key])
            return function(*given.args, **given.kwargs)

        return anywhere

    def at_once(function: Operation, values: Mapping[Any, Any]) -> Any:
        args = [*step.args]
        for i, key in spots:
            args[i] = values[key]
        return function(*args, **step.kwargs)

    return at_once


def _each(to: Callable[[Place], Any], value: Any) -> Any:
    if type(value) is Place:
        return to(value)
    return type(value)(_each(to, v) for v in value) if type(value) in (list, tuple) else value


def _memory(t: Tensor) -> int:
    return t.untyped_storage().data_ptr()
