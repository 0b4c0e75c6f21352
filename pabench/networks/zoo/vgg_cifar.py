"""VGG networks (Simonyan & Zisserman 2014, arXiv:1409.1556) for small images: BatchNorm, and one linear layer."""

from __future__ import annotations

from torch import Tensor, nn

from pabench.networks.zoo.classifier import CIFAR_CFG, Classifier, initialise, register

WIDTHS = (1, 2, 4, 8, 8)
"""Channels of the five groups, in units of `width`."""
CFG = {**CIFAR_CFG, "first_conv": "features.0"}


class CifarVGG(Classifier):
    """Five groups of 3x3 convolutions, each with BatchNorm and ReLU; 2x2 max-pooling between the groups.

    The layout of the code of GraSP and SynFlow: four max-pools, then the average of what is left (2x2 of a 32x32 image;
    16x16 is the least), then 512 -> classes. Convolutions have no bias, as GraSP's; SynFlow's have one, which starts at
    0 and which BatchNorm cancels. `width` is that of the first group. `init`: see `initialise`.
    """

    def __init__(
        self,
        *,
        groups: tuple[int, ...],
        num_classes: int = 10,
        in_chans: int = 3,
        width: int = 64,
        init: str = "lottery",
    ) -> None:
        super().__init__(WIDTHS[-1] * width)
        layers: list[nn.Module] = []
        channels = in_chans
        for number, (repeats, units) in enumerate(zip(groups, WIDTHS, strict=True)):
            wide = units * width
            if number:
                layers.append(nn.MaxPool2d(2))
            for _ in range(repeats):
                layers += [nn.Conv2d(channels, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
                channels = wide
        self.features = nn.Sequential(*layers)
        self.reset_classifier(num_classes)
        initialise(self, init)

    def forward_features(self, x: Tensor) -> Tensor:
        return self.features(x)


register(CifarVGG, "vgg11_cifar", {"groups": (1, 1, 2, 2, 2)}, CFG)  # of SynFlow: 9,228,362 parameters for 10 classes
register(CifarVGG, "vgg16_cifar", {"groups": (2, 2, 3, 3, 3)}, CFG)  # of SynFlow, Frankle et al. 2021: 14,724,042
register(CifarVGG, "vgg19_cifar", {"groups": (2, 2, 4, 4, 4)}, CFG, init="grasp")  # of GraSP: 20,035,018
