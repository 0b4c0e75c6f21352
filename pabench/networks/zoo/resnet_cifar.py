"""ResNets for small images (He et al. 2015, arXiv:1512.03385, section 4.2): three stages of widths w, 2w, 4w."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from pabench.networks.zoo.classifier import CIFAR_CFG, Classifier, initialise, register

CFG = {**CIFAR_CFG, "first_conv": "conv1"}


class CifarResNet(Classifier):
    """`depth` = 6n + 2 layers: a 3x3 convolution, three stages of n basic blocks, global average, linear.

    `shortcut` is used where the shape changes. `projection`, the default, is a 1x1 convolution with BatchNorm (option
    B): the code of GraSP, of SynFlow and of Frankle et al. (2021, arXiv:2009.08576) has it. `identity` is He's own for
    CIFAR (option A): every second pixel, new channels 0, no parameters. `init`: see `initialise`.
    """

    def __init__(
        self,
        *,
        depth: int,
        num_classes: int = 10,
        in_chans: int = 3,
        width: int = 16,
        shortcut: str = "projection",
        init: str = "lottery",
    ) -> None:
        super().__init__(4 * width)
        if shortcut not in ("projection", "identity"):
            raise ValueError(f"shortcut: {shortcut!r} is unknown; expected 'projection' or 'identity'")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_chans, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.layer1 = _stage(width, width, blocks, 1, shortcut)
        self.layer2 = _stage(width, 2 * width, blocks, 2, shortcut)
        self.layer3 = _stage(2 * width, 4 * width, blocks, 2, shortcut)
        self.reset_classifier(num_classes)
        initialise(self, init)

    def forward_features(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm, added to the shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 and shortcut == "identity":
            self.shortcut = Subsample(outputs - inputs, stride)
        elif stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class Subsample(nn.Module):
    """Every `stride`-th pixel in both directions, followed by `extra` channels of zeros."""

    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


def _stage(inputs: int, outputs: int, blocks: int, stride: int, shortcut: str) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1, shortcut) for _ in range(blocks - 1)))


register(CifarResNet, "resnet8", {"depth": 8}, CFG)  # for tiny images: 78,042 parameters for 10 classes
register(CifarResNet, "resnet20", {"depth": 20}, CFG)  # 272,474, or 269,722 with identity shortcuts
register(CifarResNet, "resnet32", {"depth": 32}, CFG)  # 466,906, or 464,154
register(CifarResNet, "resnet56", {"depth": 56}, CFG)  # 855,770, or 853,018
register(CifarResNet, "wide_resnet32", {"depth": 32}, CFG, width=32, init="grasp")  # GraSP's "ResNet32": 1,860,522
