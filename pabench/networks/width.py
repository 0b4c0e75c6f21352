"""The same architecture with fewer channels: the widest version of a network that fits a number of parameters.

Width is what an architecture's own arguments make it: `width` and `hidden` of pabench's networks; `channels`, `dims`,
`embed_dim` and the like, `growth_rate`, or `w0` and `wa` of timm's. An argument counts as known if giving it the
network's present value explicitly leaves every parameter's shape as it is, and if a lower one makes it smaller.
"""

from __future__ import annotations

import inspect
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import prod

from torch import nn

from pabench.errors import SuiteError
from pabench.networks.models import Shape, parameter_shapes, skeleton
from pabench.suite.specs import ModelSpec, labelled

ARGUMENTS = ("width", "hidden", "channels", "dims", "embed_dims", "embed_dim", "dim", "base_dim", "widths")
"""Arguments that set the width of an architecture which has them, besides those of RegNets and DenseNets."""
Value = int | float | list[int]


@dataclass(frozen=True)
class Knob:
    """Arguments that set the width, with their present values, which are scaled together in `units` steps."""

    values: Mapping[str, Value]
    units: int

    def at(self, width: int) -> dict[str, Value]:
        """The arguments at `width` of `units` units; whole numbers are rounded and stay at least 1.

        >>> Knob({"channels": [64, 128, 256, 512]}, 512).at(200)
        {'channels': [25, 50, 100, 200]}
        """
        return {name: _scaled(value, width / self.units) for name, value in self.values.items()}


def narrowed(spec: ModelSpec, classes: int, shape: Shape, parameters: int) -> ModelSpec:
    """The widest narrower version of a network with at most so many parameters of all kinds; itself where it fits.

    Depth, heads and groups stay; a width that these do not allow is passed over. One unit more of width has more than
    `parameters`. SuiteError where no width argument is known, or where even the narrowest version is too large.
    """
    if _count(spec, classes, shape) <= parameters:
        return spec
    knob = find_knob(spec, classes, shape)

    @cache
    def size(width: int) -> int:
        return _count(spec, classes, shape, knob.at(width)) if width else 0

    def possible(width: int) -> int:
        return next((w for w in range(width, 0, -1) if size(w)), 0)

    # Sizes grow with the width, but for those that the architecture does not allow: these count as the next narrower.
    fits = possible(bisect_right(range(1, knob.units + 1), parameters, key=lambda width: size(possible(width))))
    if not fits:
        least = next(w for w in range(1, knob.units + 1) if size(w))
        narrowest = labelled(spec.name, knob.at(least))
        raise SuiteError(f"{narrowest} is the narrowest, with {size(least):,} parameters where {parameters:,} are left")
    return _with(spec, knob.at(fits))


def find_knob(spec: ModelSpec, classes: int, shape: Shape) -> Knob:
    """The arguments that set a network's width; SuiteError where none is known."""
    now = parameter_shapes(spec, classes, shape)
    module = skeleton(spec, classes, shape)
    for knob in _candidates(spec, module):
        if parameter_shapes(_with(spec, knob.values), classes, shape) == now:
            below = (_count(spec, classes, shape, knob.at(w)) for w in range(knob.units - 1, 0, -1))
            if 0 < next(filter(None, below), 0) < _count(spec, classes, shape):
                return knob
    raise SuiteError(f"no argument that sets the width of {spec.name} ({type(module).__name__}) is known")


def _candidates(spec: ModelSpec, module: nn.Module) -> Iterator[Knob]:
    """What might set the width, with present values read off the network; a wrong guess is found by trying it."""
    if _is_timms("RegNet", module):
        from timm.models.regnet import model_cfgs

        cfg = model_cfgs[spec.name]
        w0, wa = int(spec.args.get("w0", cfg.w0)), float(spec.args.get("wa", cfg.wa))
        yield Knob({"w0": w0, "wa": wa}, w0)
    if _is_timms("DenseNet", module):
        growth = module.features.denseblock1.denselayer1.conv2.out_channels  # type: ignore[union-attr]
        yield Knob({"growth_rate": int(growth)}, int(growth))  # type: ignore[arg-type]
    known = inspect.signature(type(module).__init__).parameters
    counted = (getattr(m, "num_heads", None) for m in module.modules())
    heads = next((int(h) for h in counted if isinstance(h, int)), 1)
    for name in filter(known.__contains__, ARGUMENTS):
        for value in _present(name, spec, module):
            units = max(value) if isinstance(value, list) else value
            per_head = name == "embed_dim" and units % heads == 0
            yield Knob({name: value}, units // heads if per_head else units)


def _is_timms(name: str, module: nn.Module) -> bool:
    """Whether it is of a class of timm, which is not imported in order to say no."""
    return any(cls.__name__ == name and cls.__module__.startswith("timm.") for cls in type(module).__mro__)


def _present(name: str, spec: ModelSpec, module: nn.Module) -> Iterator[int | list[int]]:
    """Values that an argument may have now: the suite's or the attribute of its name, or channels of the network."""
    given = spec.args.get(name, getattr(module, name, None))
    if isinstance(given, int | list | tuple):
        yield given if isinstance(given, int) else list(given)
    stages = [f["num_chs"] for f in getattr(module, "feature_info", None) or [] if isinstance(f, dict)]
    convolution = next((m for m in module.modules() if isinstance(m, nn.Conv2d)), None)
    stem = [convolution.out_channels] if convolution else []
    yield from stem
    if _is_timms("ResNet", module):
        blocks = [module.get_submodule(f"layer{i}.0") for i in range(1, len(stages))]
        yield [stage // int(block.expansion) for stage, block in zip(stages[1:], blocks, strict=True)]  # type: ignore[arg-type]
    elif stages:
        yield stages[0]
        yield stages
        yield stem + stages


def _scaled(value: Value, factor: float) -> Value:
    if isinstance(value, list):
        return [max(1, round(v * factor)) for v in value]
    return max(1, round(value * factor)) if isinstance(value, int) else value * factor


def _with(spec: ModelSpec, values: Mapping[str, Value]) -> ModelSpec:
    return replace(spec, args={**spec.args, **values})


def _count(spec: ModelSpec, classes: int, shape: Shape, values: Mapping[str, Value] | None = None) -> int:
    """All parameters, with these arguments changed; 0 where the network cannot be built so."""
    return sum(map(prod, parameter_shapes(_with(spec, values or {}), classes, shape).values()))
