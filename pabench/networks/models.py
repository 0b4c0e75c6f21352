"""Networks by name: a `ModelSpec` made explicit and checked, and built with weights that depend on a seed only."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.overrides import TorchFunctionMode

from pabench.errors import SuiteError, close, did_you_mean
from pabench.networks import pretrained, zoo
from pabench.networks.network import prunable_weights
from pabench.suite.digest import canonical
from pabench.suite.specs import ModelSpec

Shape = tuple[int, int, int]
NORM_CLASSES = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
WEIGHTS = "weights come from the seed, or with `init: pretrained` beside the name from a file"
OURS = {
    **dict.fromkeys(("num_classes", "in_chans", "img_size"), "comes from the dataset"),
    **dict.fromkeys(("pretrained", "pretrained_cfg", "pretrained_cfg_overlay"), WEIGHTS),
    **dict.fromkeys(("checkpoint_path", "cache_dir"), WEIGHTS),
}
"""Arguments that no suite gives, with the reason."""
REFUSED_ARGUMENT = re.compile(r"(unexpected|multiple values for)(?: keyword)? argument(?:\(s\): \[)? ?'(\w+)'")


def resolve(spec: ModelSpec, classes: int, shape: Shape) -> ModelSpec:
    """The spec with what pabench decides for the user written into its arguments, so that it is part of the cell key.

    `zero_init_last=False` is added where the architecture has that argument and the user did not set it: timm's
    default starts the last BatchNorm of each residual block at 0, and then nearly all scores are exactly 0.

    `shape` is (C, H, W). Raises SuiteError for an unknown model or argument, a stem the network does not have, and
    images the network cannot process; the network is tried without computing anything.
    """
    check_words(spec)
    if "zero_init_last" not in spec.args:
        explicit = replace(spec, args={**spec.args, "zero_init_last": False})
        if not _problem(explicit, classes, shape):
            return _known(explicit, classes, shape)
    _require(spec, classes, shape)
    return _known(spec, classes, shape)


def _known(spec: ModelSpec, classes: int, shape: Shape) -> ModelSpec:
    """The spec with the SHA-256 of its trained weights, where it has some, which are found to fit."""
    if not spec.init:
        return spec
    path = pretrained.located(spec, _parameters(spec, classes, shape))
    spec = replace(spec, weights=pretrained.file_digest(path))
    build(spec, classes, shape, seed=0)
    return spec


def _parameters(spec: ModelSpec, classes: int, shape: Shape) -> int:
    return sum(parameter.numel() for parameter in skeleton(spec, classes, shape).parameters())


def build(spec: ModelSpec, classes: int, shape: Shape, seed: int) -> nn.Module:
    """The network on the CPU in float32, in training mode; equal arguments give equal weights.

    The global random state is left as it was. A network of fixed image size gets the H, W of `shape`. Of one with
    `init: pretrained` the seed draws the classifier alone, and that where the number of classes is another.
    """
    check_words(spec)
    _require(spec, classes, shape)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would touch the accelerators' generators too
        model = _create(spec, classes, shape, "cpu")
    if spec.init:
        path = pretrained.located(spec, sum(parameter.numel() for parameter in model.parameters()))
        pretrained.take_over(model, spec, path)
    return model


def parameter_shapes(spec: ModelSpec, classes: int, shape: Shape) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter by name, with nothing computed; empty where the network cannot take such images."""
    if _problem(spec, classes, shape):
        return {}
    return {name: tuple(parameter.shape) for name, parameter in skeleton(spec, classes, shape).named_parameters()}


def skeleton(spec: ModelSpec, classes: int, shape: Shape) -> nn.Module:
    """The network on the meta device: shapes and attributes without weights."""
    _require(spec, classes, shape)
    with torch.random.fork_rng(devices=[]):
        return _create(spec, classes, shape, "meta")


def zeros(model: nn.Module) -> list[str]:
    """Names of the parameters that are all 0 and let no signal through: prunable weights, scales, gains, factors."""
    named = {n: p.numel() for n, p in model.named_parameters() if not n.endswith("bias")}
    single = [n for n, size in named.items() if size == 1 or n.rpartition(".")[2] == "gain"]
    scales = [f"{n}.weight" for n, m in model.named_modules() if isinstance(m, NORM_CLASSES) and m.weight is not None]
    found = dict.fromkeys([*prunable_weights(model), *scales, *single])
    return [n for n in found if not (p := model.get_parameter(n)).is_meta and not p.any()]


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of the state dict, in its order; 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        sha.update(canonical([name, str(tensor.dtype), list(tensor.shape)]).encode())
        sha.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def check_words(spec: ModelSpec) -> None:
    """What can be refused before anything is built."""
    if spec.name not in zoo.NAMES and spec.name not in (known := _timm().list_models()):
        raise SuiteError(f"no model named {spec.name!r}; {_meant(spec.name, known)}")
    if spec.stem not in ("", "cifar"):
        raise SuiteError(f"models: {spec.name}: stem: {spec.stem!r} is unknown; expected 'cifar' or no stem at all")
    if spec.zeros not in ("", "redrawn"):
        raise SuiteError(f"models: {spec.name}: zeros: {spec.zeros!r} is unknown; expected 'redrawn' or nothing")
    if spec.init not in ("", "pretrained"):
        raise SuiteError(f"models: {spec.name}: init: {spec.init!r} is unknown; expected 'pretrained' or nothing")
    for name in spec.args:
        if name in OURS:
            raise SuiteError(f"models: {spec.name}: args.{name}: {OURS[name]}; leave it out")


def wrong_arguments(spec: ModelSpec) -> list[tuple[str, str]]:
    """Arguments that the network has not or that no suite gives, whatever the images: (`args.NAME`, the remedy).

    timm has no list of what a network takes, so it is built without weights until nothing is refused.
    """
    if not spec.args or (spec.name not in zoo.NAMES and spec.name not in _timm().list_models()):
        return []
    wrong = {name: f"{OURS[name]}; leave it out" for name in spec.args if name in OURS}
    while name := _refused(spec, wrong):
        wrong |= name
    return [(f"args.{name}", problem) for name, problem in wrong.items()]


def _refused(spec: ModelSpec, wrong: Collection[str]) -> dict[str, str]:
    """The next argument that the network refuses by its name, with the remedy; {} if there is none."""
    args = {name: value for name, value in spec.args.items() if name not in wrong}
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            _made(spec.name, **args)
    except Exception as error:
        found = REFUSED_ARGUMENT.search(str(error))
        return {found[2]: _remedy_of(spec, found)} if found and found[2] in args else {}
    return {}


def _remedy_of(spec: ModelSpec, found: re.Match[str]) -> str:
    return f"fixed by {spec.name}; leave it out" if found[1] != "unexpected" else _argument_meant(spec, found[2])


def _meant(name: str, known: list[str]) -> str:
    """The remedy of an unknown name, without listing timm's more than a thousand."""
    architecture = name.partition(".")[0]
    if architecture in known:
        return f"a tag chooses trained weights: write {architecture!r}, and `init: pretrained` for timm's default ones"
    near = [one for one in known if one.startswith(f"{name}_")][:3] or close(name, known, 3)
    guess = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"{guess}known: timm.list_models(), and {', '.join(zoo.NAMES)}"


def _require(spec: ModelSpec, classes: int, shape: Shape) -> None:
    problem = _problem(spec, classes, shape)
    if not problem:
        return
    if found := REFUSED_ARGUMENT.search(problem):
        raise SuiteError(f"models: {spec.name}: args.{found[2]}: {_remedy_of(spec, found)}")
    images = " x ".join(map(str, shape))
    given = f" with args {canonical(dict(spec.args))}" if spec.args else ""
    remedy = _remedy(spec, classes, shape)
    raise SuiteError(f"models: {spec.name}{given} fails on {images} images ({problem}); {remedy}")


def _argument_meant(spec: ModelSpec, name: str) -> str:
    with torch.device("meta"):
        model = _made(spec.name)
    known = set(inspect.signature(type(model)).parameters) - {"kwargs"}
    for ours in close(name, known & OURS.keys()):
        return f"no such argument; {ours} {OURS[ours]}; leave it out"
    return f"no such argument; {did_you_mean(name, known - OURS.keys())}"


def _remedy(spec: ModelSpec, classes: int, shape: Shape) -> str:
    """The first change of the suite after which the network takes the images, else the least size that it takes."""
    for patch in (4, 2, 1):
        if not _problem(replace(spec, args={**spec.args, "patch_size": patch}), classes, shape):
            return f"use args: {{patch_size: {patch}}}"
    for side in (16, 32, 48, 64, 96, 128, 224, 240, 256):
        if side > min(shape[1:]) and not _problem(spec, classes, (shape[0], side, side)):
            return f"it takes {side} x {side}; use larger images, or a network made for small ones such as resnet20"
    return "check its args, or use another network"


def _problem(spec: ModelSpec, classes: int, shape: Shape) -> str:
    """Why the network cannot be built, or cannot map two images to logits, in one line; empty if it can."""
    return _tried(spec.name, canonical(dict(spec.args)), spec.stem, classes, tuple(shape))  # zeros change no shape


@lru_cache(maxsize=1024)
def _tried(name: str, args: str, stem: str, classes: int, shape: Shape) -> str:
    """By a network that computes nothing, and by a real one where that refuses: some look at values."""
    spec = ModelSpec(name, json.loads(args), stem)
    if name in zoo.NAMES:  # small; on the meta device the first operation imports the compiler, which takes seconds
        return _fails(spec, classes, shape, "cpu")
    problem = _fails(spec, classes, shape, "meta")
    return _fails(spec, classes, shape, "cpu") if "meta" in problem.lower() else problem


def _fails(spec: ModelSpec, classes: int, shape: Shape, device: str) -> str:
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            logits = _create(spec, classes, shape, device)(torch.zeros(2, *shape, device=device))
    except SuiteError:
        raise
    except Exception as error:
        return next(iter(str(error).splitlines()), "") or type(error).__name__
    found = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
    wanted = f"shape {(2, classes)}"
    return "" if found == wanted else f"it returns {found} instead of one row of {classes} logits for each image"


def _create(spec: ModelSpec, classes: int, shape: Shape, device: str) -> nn.Module:
    args = dict(spec.args)
    if _fixed_size(spec.name):  # timm's mark of a network that takes `img_size`
        args["img_size"] = tuple(shape[1:])
    with torch.device(device), _Undrawn() if device == "meta" else nullcontext():
        model = _made(spec.name, num_classes=classes, in_chans=shape[0], **args)
        if spec.stem == "cifar":
            _adapt_stem(model, spec.name)
        if spec.zeros == "redrawn":
            _redraw_zeros(model)
    return model


class _Undrawn(TorchFunctionMode):
    """No weights are drawn: on the meta device there are none, and asking for them imports the compiler."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        drawn = getattr(func, "__name__", "") in ("normal_", "uniform_")
        return args[0] if drawn and args else func(*args, **(kwargs or {}))


def _made(name: str, **args: Any) -> nn.Module:
    """A network of a paper, else one of timm."""
    known = zoo.NETWORKS.get(name)
    return known.build(**args) if known else _timm().create_model(name, pretrained=False, **args)


def _fixed_size(name: str) -> bool:
    if name in zoo.NETWORKS:
        return bool(zoo.NETWORKS[name].cfg.get("fixed_input_size"))
    cfg = _timm().get_pretrained_cfg(name)
    return cfg is not None and bool(cfg.fixed_input_size)


def prepare(names: Iterable[str]) -> None:
    """Import what networks of these names will need."""
    if not set(names) <= set(zoo.NAMES):
        _timm()


def _timm() -> Any:
    """timm, with the networks of the papers registered; it takes seconds to import, and those need it not."""
    import timm

    from pabench.networks.zoo import registered as registered

    return timm


def _adapt_stem(model: nn.Module, name: str) -> None:
    """Keep small images large: the first convolution 3x3 with stride 1, no max-pooling.

    All other weights are those of the same seed without the stem. A deep stem (resnet*d, *t) begins with a 3x3
    convolution of stride 2, which only loses its stride.
    """
    from timm.models.resnet import ResNet

    if not isinstance(model, ResNet):
        raise SuiteError(
            f"models: {name}: stem: cifar is for timm's ResNets (resnet*, resnext*, wide_resnet*, ...), "
            f"not for {type(model).__name__}; leave stem out"
        )
    first = model.conv1[0] if isinstance(model.conv1, nn.Sequential) else model.conv1
    assert isinstance(first, nn.Conv2d)
    if first.kernel_size == (3, 3):
        first.stride = (1, 1)
    else:
        stem = nn.Conv2d(first.in_channels, first.out_channels, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")  # timm's rule
        model.add_module("conv1", stem)
    model.add_module("maxpool", nn.Identity())


def _redraw_zeros(model: nn.Module) -> None:
    """Draw what starts at 0 and lets no signal through; all else is that of the same seed without it.

    Weights of convolutions and linear layers that are all 0 (the head of an MLP-Mixer) come from timm's rule for heads
    (`trunc_normal_`, standard deviation 0.02); their biases stay. Scales of normalisations that
    are all 0 (the last BatchNorm of LeViT's blocks), gains of 0 (the last convolution of NF-Nets' blocks) and single
    factors of 0 become 1.
    """
    prunable = prunable_weights(model)
    for name in zeros(model):
        if name in prunable:
            nn.init.trunc_normal_(prunable[name], std=0.02)
        else:
            nn.init.ones_(model.get_parameter(name))
