"""A run of a network, written down channel by channel: which channels of which tensors and weights belong together.

Each tensor that the network makes is followed along one dimension, that of its channels. A channel is a unit, and
channels that can only be removed together are one unit: those of the terms of a sum, of a layer's output and of its
bias, of a tensor and of what it is flattened to. Where a tensor meets an operation without a rule, its units are
pinned: they stay, and so does all that the operation sees. Removal is thus declined tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from pabench.networks.compact.rules import RULES
from pabench.networks.compact.trace import Channels, End, Step, Trace
from pabench.networks.network import ASKING
from pabench.networks.operations import named


def follow(
    run: Callable[[], Any],
    tensors: Mapping[str, Tensor],
    trace: Trace,
    *,
    settable: Collection[str] = (),
    careful: bool = False,
) -> Any:
    """Run a network, and write down how its channels pass; what it gives.

    `tensors` are its parameters and buffers by name, `settable` the weights of convolutions whose number of groups can
    be changed. `careful`: a reshape that names the number of channels counts as one that only works with this number.
    """
    mode = Follower(tensors, trace, settable, careful)
    with mode:
        out = run()
    mode.end(out)
    return out


DECIDING = {
    *("bool", "int", "float", "__float__", "index", "is_nonzero"),
    *("item", "tolist", "numpy", "array", "equal", "allclose"),
}
"""What gives numbers of Python, which a network can decide by."""


class Follower(TorchFunctionMode):
    def __init__(self, tensors: Mapping[str, Tensor], trace: Trace, settable: Collection[str], careful: bool) -> None:
        super().__init__()
        self.trace, self.careful = trace, careful
        self._names = {id(t): n for n, t in tensors.items()}
        self._settable = settable
        self._known: dict[int, Channels] = {}
        self._kept: list[Tensor] = []  # ids are those of living tensors
        self._sharing: dict[int, list[Tensor]] = {}

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, name = dict(kwargs or {}), named(func)
        given = [t for t in tree_leaves([args, kwargs]) if isinstance(t, Tensor)]
        versions = [t._version for t in given]
        before = [channels for t in given if (channels := self._known.get(id(t)))]
        out = func(*args, **kwargs)
        self.trace.decides |= name in DECIDING
        changed = [t for t, v in zip(given, versions, strict=True) if t._version != v and id(t) not in self._names]
        if overwritten := [other for t in changed for other in self._sharing.get(_memory(t), []) if other is not t]:
            # tensors change with another one: what they are now is not known
            self._stop([*given, *overwritten], before)
            self._forget([*changed, *overwritten])
            return out
        if not any(id(t) in self._known or id(t) in self._names for t in given):
            return out
        results = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        if not results and name in ASKING:
            return out
        rule = RULES.get(name) if results and len(changed) < 2 and "out" not in kwargs else None
        found = rule(self, func, out, *args, **kwargs) if rule else None
        if found is None:
            self._stop(given, before)
            self._forget([*changed, *results])
        for t, channels in found or []:
            self._keep(t, channels)
        return out

    def end(self, out: Any) -> None:
        self._stop([t for t in tree_leaves(out) if isinstance(t, Tensor)], [])

    # --- Tensors ---

    def of(self, t: Any) -> Channels | None:
        """The channels of a tensor that is followed, and of a parameter with one dimension of more than one entry."""
        if not isinstance(t, Tensor):
            return None
        if id(t) in self._known or id(t) not in self._names:
            return self._known.get(id(t))
        wide = [d for d, size in enumerate(t.shape) if size > 1]
        if len(wide) != 1:
            return None
        name = self._names[id(t)]
        self.trace.elsewhere.add(name)
        return Channels(wide[0], self.trace.along(name, wide[0], t.shape[wide[0]]))

    def name_of(self, t: Any) -> str:
        return self._names.get(id(t), "") if isinstance(t, Tensor) else ""

    def stop(self, t: Any) -> None:
        if isinstance(t, Tensor):
            self._stop([t], [])

    def add(self, step: Step) -> None:
        self.trace.steps.append(step)

    def settable(self, weight: str) -> bool:
        """Whether it is of a layer that holds its number of groups as an attribute."""
        return weight in self._settable

    def _keep(self, t: Tensor, channels: Channels) -> None:
        self._known[id(t)] = channels
        self._kept.append(t)
        self._sharing.setdefault(_memory(t), []).append(t)

    def _forget(self, tensors: Sequence[Tensor]) -> None:
        for t in tensors:
            self._known.pop(id(t), None)

    def _stop(self, tensors: Sequence[Tensor], before: Sequence[Channels]) -> None:
        """All channels of these stay, and those that they had `before` they were written over."""
        found = list(before)
        for t in tensors:
            if name := self.name_of(t):
                self.trace.elsewhere.add(name)
                for dim, size in enumerate(t.shape):
                    self.trace.pin(self.trace.along(name, dim, size))
                if name in self.trace.columns:
                    self.trace.pin(self.trace.columns[name])
            elif id(t) in self._known:
                found.append(self._known[id(t)])
        for channels in dict.fromkeys(found):
            self.trace.pin(channels.units)
            self.add(End(channels))


def _memory(t: Tensor) -> int:
    return t.untyped_storage().data_ptr()
