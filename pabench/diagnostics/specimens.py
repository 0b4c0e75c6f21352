"""Small fixed networks with fixed images: what a criterion is examined on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.func import grad
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from pabench.networks.network import Network, Tensors
from pabench.scoring.context import Batch

CLASSES = 4


@dataclass(frozen=True)
class Specimen:
    """A network to examine criteria on, always with the same weights and images.

    `shape` is that of its images (C, H, W). `hidden` names a layer, its norm ("" for none) and the layer it feeds: the
    units between the two can change places.
    """

    name: str
    shape: tuple[int, ...]
    make: Callable[[], nn.Module]
    hidden: tuple[str, str, str] = ("", "", "")

    def module(self) -> nn.Module:
        """The network in float64, with BatchNorm statistics that are not 0 and 1."""
        return copy.deepcopy(_built(self, 0, torch.float64))

    def network(self, bn: str, dtype: torch.dtype, seed: int = 0) -> Network:
        """The same to be scored in some dtype, at the initialization of a seed."""
        # a Network scores float64 weights in float64: those that are to be scored in float32 come in float32
        return Network(_built(self, seed, dtype), bn=bn, dtype=dtype)

    def batches(self, per_class: int, count: int, *, seed: int = 0) -> list[Batch]:
        """`count` batches (x, y) of `per_class` noisy images of each class, in float64."""
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64)  # noqa: E731
        y = torch.arange(CLASSES).repeat_interleave(per_class)
        prototypes = draw(CLASSES, *self.shape)
        return [(prototypes[y] + draw(len(y), *self.shape), y) for _ in range(count)]

    def trained(self, bn: str, dtype: torch.dtype) -> Tensors:
        """Its prunable weights after training: trained once, as in a study."""
        return {n: w.clone() for n, w in _trained(self, bn, dtype).items()}


def after_training(network: Network, specimen: Specimen) -> Tensors:
    """Prunable weights after thirty full-batch gradient steps on a specimen's images: a recipe that takes no time."""
    ((x, y),) = specimen.batches(10, 1)
    x = x.to(network.dtype)
    weights = network.weights
    slope = grad(lambda w: F.cross_entropy(network.call({**network.rest, **w}, x), y))
    for _ in range(30):
        g = slope(weights)
        weights = {n: w - 0.1 * g[n] for n, w in weights.items()}
    return weights


def permuted(module: nn.Module, hidden: tuple[str, str, str], order: Tensor) -> nn.Module:
    """The same function with the units of a hidden layer in another order; the module given is not changed."""
    module = copy.deepcopy(module)
    layer, norm, following = hidden
    for part in (module.get_submodule(name) for name in (layer, norm) if name):
        for tensor in [*part.parameters(recurse=False), *part.buffers(recurse=False)]:
            if tensor.dim():  # not the number of batches seen
                tensor.data = tensor.data[order]
    weight = module.get_parameter(f"{following}.weight")
    weight.data = weight.data[:, order]
    return module


@cache
def _trained(specimen: Specimen, bn: str, dtype: torch.dtype) -> Tensors:
    return after_training(specimen.network(bn, dtype), specimen)


@cache
def _built(specimen: Specimen, seed: int, dtype: torch.dtype) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = specimen.make().double()
        for layer in module.modules():
            if isinstance(layer, _BatchNorm):
                layer.running_mean.uniform_(-0.2, 0.2)  # type: ignore[union-attr]
                layer.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return module.to(dtype)


class Residual(nn.Sequential):
    """Layers with an identity around them, and a ReLU after."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + super().forward(x)).relu()


def _residual() -> nn.Module:
    """A stem, one residual block of two convolutions, the second of them grouped, and a classifier."""
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        Residual(
            *(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(8)),
        ),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)),
    )


def _convolutional(activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), activation()),
        *(nn.Conv2d(8, 12, 3, stride=2), nn.BatchNorm2d(12), activation()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, CLASSES)),
    )


def _plain() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.ReLU()),
        *(nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, CLASSES)),
    )


def _perceptron(bias: bool = True) -> nn.Module:
    layers = (nn.Linear(48, 24, bias), nn.ReLU(), nn.Linear(24, 16, bias), nn.ReLU(), nn.Linear(16, CLASSES, bias))
    return nn.Sequential(nn.Flatten(), *layers)


def _transformer() -> nn.Module:
    import timm

    # half of its 64 dimensions: attention, its norms and its embeddings are there all the same
    return timm.create_model("test_vit", num_classes=CLASSES, img_size=32, depth=2, embed_dim=32)


def _equal() -> nn.Module:
    module = _perceptron()
    for parameter in module.parameters():
        nn.init.constant_(parameter, 0.1)
    return module


def _dead() -> nn.Module:
    """The second convolution is 0, half of the first one's units are 0 with their norm, and images reach the rest."""
    module = _convolutional()
    nn.init.zeros_(module.get_parameter("3.weight"))
    for name in ("0.weight", "1.weight"):
        module.get_parameter(name).data[:4] = 0
    return module


def _broken() -> nn.Module:
    module = _convolutional()
    module.get_parameter("3.weight").data[0, 0, 0, 0] = float("nan")
    return module


CONVOLUTIONAL = Specimen("with BatchNorm", (3, 8, 8), _convolutional, ("0", "1", "3"))
SMOOTH = Specimen("smooth", (3, 8, 8), lambda: _convolutional(nn.Softplus), ("0", "1", "3"))
PLAIN = Specimen("without BatchNorm", (3, 6, 6), _plain)
PERCEPTRON = Specimen("perceptron", (3, 4, 4), _perceptron, ("1", "", "3"))
UNBIASED = Specimen("without biases", (3, 4, 4), lambda: _perceptron(bias=False), ("1", "", "3"))
RESIDUAL = Specimen("residual and grouped", (3, 8, 8), _residual)
TRANSFORMER = Specimen("vision transformer", (3, 32, 32), _transformer)
LINEAR = Specimen("linear layer", (6,), lambda: nn.Linear(6, CLASSES))
EQUAL = Specimen("equal weights", (3, 4, 4), _equal)
DEAD = Specimen("dead layer", (3, 8, 8), _dead)
BROKEN = Specimen("not a number", (3, 8, 8), _broken)
