"""The LeNets of SNIP (Lee et al. 2019, arXiv:1810.02340), after LeCun et al. 1998: no BatchNorm, fixed image size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from pabench.networks.zoo.classifier import CIFAR_CFG, Classifier, initialise, register

MNIST_CFG: dict[str, Any] = {**CIFAR_CFG, "input_size": (1, 28, 28), "fixed_input_size": True}


class LeNet300100(Classifier):
    """Linear layers 300, 100, classes on the flattened image, with ReLU and biases; Kaiming normal by fan in.

    `hidden` are the sizes of the first two.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        in_chans: int = 1,
        img_size: tuple[int, int] = (28, 28),
        hidden: Sequence[int] = (300, 100),
    ) -> None:
        super().__init__(hidden[1])
        self.hidden = tuple(hidden)
        self.fc1 = nn.Linear(in_chans * img_size[0] * img_size[1], hidden[0])
        self.fc2 = nn.Linear(hidden[0], hidden[1])
        self.relu = nn.ReLU()
        self.reset_classifier(num_classes)
        initialise(self, "lottery")

    def forward_features(self, x: Tensor) -> Tensor:
        return self.relu(self.fc2(self.relu(self.fc1(x.flatten(1)))))


class LeNet5(Classifier):
    """The Caffe version: 5x5 convolutions 20 and 50, each with 2x2 max-pooling, linear 500, classes; ReLU, biases.

    `hidden` are the sizes of the first three.
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        in_chans: int = 1,
        img_size: tuple[int, int] = (28, 28),
        hidden: Sequence[int] = (20, 50, 500),
    ) -> None:
        super().__init__(hidden[2])
        self.hidden = tuple(hidden)
        height, width = (((size - 4) // 2 - 4) // 2 for size in img_size)
        if min(height, width) < 1:
            raise ValueError(f"lenet_5 needs images of 16 x 16 pixels or more, not {img_size[0]} x {img_size[1]}")
        self.conv1 = nn.Conv2d(in_chans, hidden[0], 5)
        self.conv2 = nn.Conv2d(hidden[0], hidden[1], 5)
        self.fc1 = nn.Linear(hidden[1] * height * width, hidden[2])
        self.pool = nn.MaxPool2d(2)
        self.relu = nn.ReLU()
        self.reset_classifier(num_classes)
        initialise(self, "lottery")

    def forward_features(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        return self.relu(self.fc1(x.flatten(1)))


register(LeNet300100, "lenet_300_100", {}, {**MNIST_CFG, "first_conv": None})  # 266,610 parameters on 28x28 grey images
register(LeNet5, "lenet_5", {}, {**MNIST_CFG, "first_conv": "conv1"})  # 431,080
