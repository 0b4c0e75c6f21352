"""What both sides of a race are given: images, networks, and how much of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from pabench import registry
from pabench.data.checked import split_of
from pabench.data.dataset import Dataset, take
from pabench.data.digits import Digits
from pabench.data.split import Images, first_per_class
from pabench.errors import SuiteError
from pabench.networks import models as models
from pabench.parameters import create
from pabench.scoring.context import Batch
from pabench.suite.specs import Augment, ModelSpec, Recipe
from pabench.training.loop import Source

ENLARGED = 4  # the digits' 8 pixels a side become the 32 of CIFAR


@dataclass(frozen=True)
class Sizes:
    """How much is raced: two networks, and images a class: `scored`, `trained` on in an epoch, `tested`, and trained on
    in a short `suite`; `rounds` of SynFlow by network."""

    small: ModelSpec = field(default_factory=lambda: ModelSpec("resnet20"))
    large: ModelSpec = field(default_factory=lambda: ModelSpec("vgg16_cifar"))
    scored: int = 10
    trained: int = 51
    tested: int = 30
    suite: int = 32
    batch_size: int = 128
    rounds: Mapping[str, int] = field(default_factory=lambda: {"small": 100, "large": 20})

    only: tuple[str, ...] = ()
    """Networks to race, by name; empty: both."""

    def networks(self) -> dict[str, ModelSpec]:
        both = {"small": self.small, "large": self.large}
        return {size: spec for size, spec in both.items() if not self.only or spec.name in self.only}


QUICK = Sizes(
    small=ModelSpec("resnet8"),
    large=ModelSpec("vgg11_cifar", {"width": 8}),
    scored=2,
    trained=4,
    tested=2,
    suite=10,
    batch_size=16,
    rounds={"small": 3, "large": 3},
)
"""Everything once, small: whether it works, not how fast it is."""


@dataclass(frozen=True)
class Material:
    """Images of one dataset on the CPU, all classes alike, and the networks made for them on `device`."""

    train: Images
    test: Images
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sizes: Sizes
    device: torch.device

    @classmethod
    def of(cls, sizes: Sizes, device: torch.device, data: str = "", path: str = "") -> Material:
        """Of a dataset of the registry; without `data` the embedded digits, enlarged to 3 x 32 x 32."""
        found: Dataset = create(registry.plugin("datasets", data), {"path": path}, data) if data else Digits()
        found.require()
        train, test = split_of(found, "train"), split_of(found, "test")
        if not isinstance(train, Images) or not isinstance(test, Images):
            raise SuiteError(f"--data {data}: its images are read file by file; expected a dataset held in memory")
        if not data:
            train, test = _enlarged(train), _enlarged(test)
        channels = train.shape[0]
        most = max(sizes.trained, sizes.suite, sizes.scored)
        return cls(
            _some(train, found.classes, most),
            _some(test, found.classes, sizes.tested),
            found.classes,
            (found.mean * channels)[:channels],
            (found.std * channels)[:channels],
            sizes,
            device,
        )

    def network(self, spec: ModelSpec) -> nn.Module:
        """The network at initialization; equal calls give equal weights."""
        spec = models.resolve(spec, self.classes, self.train.shape)
        return models.build(spec, self.classes, self.train.shape, seed=0).to(self.device)

    @property
    def batch(self) -> Batch:
        """Scoring images, as many of each class, normalised."""
        chosen = self.subset(self.train, self.sizes.scored)
        x, y = take(chosen, torch.arange(len(chosen)), mean=self.mean, std=self.std)
        return x.to(self.device), y.to(self.device)

    @property
    def trained(self) -> Images:
        """The images of an epoch."""
        return self.subset(self.train, self.sizes.trained)

    def subset(self, split: Images, per_class: int) -> Images:
        """The first images of each class."""
        return _some(split, self.classes, per_class)

    def source(self, split: Images) -> Source:
        return Source(split, self.mean, self.std)

    def recipe(self, precision: str, epochs: int = 1, batch_size: int = 0) -> Recipe:
        """As public code trains small images: SGD with momentum, padded crops and mirrored images."""
        return Recipe(
            epochs=epochs,
            batch_size=batch_size or self.sizes.batch_size,
            lr=0.01,
            momentum=0.9,
            weight_decay=5e-4,
            augment=Augment(crop=4, flip=True),
            precision=precision,
        )


def _some(split: Images, classes: int, per_class: int) -> Images:
    """The first images of each class, in file order."""
    what = "pabench bench"
    return split.subset(first_per_class(split.labels, classes=classes, per_class=per_class, what=what).sort().values)


def _enlarged(split: Images) -> Images:
    """Each pixel as a square, in three equal channels: mean and deviation stay what they are."""
    pixels = split.pixels.repeat_interleave(ENLARGED, 2).repeat_interleave(ENLARGED, 3)
    return Images(pixels.expand(-1, 3, -1, -1).contiguous(), split.labels)
