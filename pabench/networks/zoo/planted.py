"""A fully connected network with a ticket planted in it (Fischer & Burkholz 2022, arXiv:2111.11153)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from pabench.networks.ticket import Hidden, Layer, plant, ticket
from pabench.networks.zoo.classifier import CIFAR_CFG, Classifier, register

PLANTED_CFG: dict[str, Any] = {**CIFAR_CFG, "input_size": (1, 1, 1), "num_classes": 1, "first_conv": None}


class Planted(Classifier):
    """Linear layers of `width` units with ReLU and biases; the ticket is of the task with these inputs and outputs.

    `depth` counts the input, as in the paper: 5 are four layers of weights. All else is drawn by He's rule with its
    "scaled" biases, whose deviation is the product of those of the weights up to their layer, so that they count the
    same at every depth.

    `ticket` says where it is: neither parameter nor buffer, so that no criterion gets to see it. A unit of the ticket
    has the ticket's bias; biases are never pruned.
    """

    def __init__(self, *, num_classes: int = 1, in_chans: int = 1, width: int = 100, depth: int = 5) -> None:
        super().__init__(width)
        found = ticket(in_chans, num_classes, depth - 1)
        sizes = [in_chans, *[width] * (depth - 2)]
        linear = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.hidden = nn.Sequential(*(part for layer in linear for part in (layer, nn.ReLU())))
        self.reset_classifier(num_classes)
        layers = {name: module for name, module in self.named_modules() if isinstance(module, nn.Linear)}
        drawn = _drawn([layer.weight.shape for layer in layers.values()])
        made = plant(found, drawn)
        for layer, there in zip(layers.values(), made.layers, strict=True):
            if not layer.weight.is_meta:
                layer.weight.data.copy_(there.weight)
                layer.bias.data.copy_(there.bias)
        masks = {f"{name}.weight": mask for name, mask in zip(layers, made.masks, strict=True)}
        self.ticket = Hidden(masks, made.scale)

    def forward_features(self, x: Tensor) -> Tensor:
        return self.hidden(x.flatten(1))


def _drawn(shapes: list[torch.Size]) -> list[Layer]:
    """Weights and biases of each layer, drawn on the CPU in float64, whatever the default device is."""
    found, deviation = [], 1.0
    for units, inputs in shapes:
        deviation *= math.sqrt(2 / inputs)
        weight = torch.randn(units, inputs, dtype=torch.float64, device="cpu") * math.sqrt(2 / inputs)
        found.append(Layer(weight, torch.randn(units, dtype=torch.float64, device="cpu") * deviation))
    return found


register(Planted, "planted", {}, PLANTED_CFG)  # 20,501 parameters on planted_relu


def hidden_in(module: nn.Module) -> Hidden | None:
    """Where the ticket of a network is; None where none is planted."""
    return module.ticket if isinstance(module, Planted) else None
