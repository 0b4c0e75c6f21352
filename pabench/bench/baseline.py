"""The plain loop: how public code on pruning at initialization scores, masks, trains and evaluates.

A mask stands beside each weight and is a factor of it in every forward pass. Each cell scores anew, its threshold is a
k-th value. Pictures are cropped and mirrored one by one by a DataLoader; tensors are NCHW and float32; all that is
masked is computed. It is meant to be neither tuned nor slowed down.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

Batch = tuple[Tensor, Tensor]
Score = Callable[["nn.Module", Batch], list[Tensor]]


class Masked(nn.Module):
    """A convolution or linear layer whose weight is multiplied by a mask in every forward pass."""

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("mask", torch.ones_like(layer.weight))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.mask * self.layer.weight
        if isinstance(self.layer, nn.Linear):
            return F.linear(x, weight, self.layer.bias)
        return self.layer._conv_forward(x, weight, self.layer.bias)


def masked(network: nn.Module) -> nn.Module:
    """A copy of the network with a mask of ones beside each weight of a convolution or linear layer."""
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d | nn.Linear):
                setattr(parent, name, Masked(child))
    return network


def layers(network: nn.Module) -> list[Masked]:
    """The masked layers in module order, which is the order of `pabench.prune`'s masks."""
    return [layer for layer in network.modules() if isinstance(layer, Masked)]


def under(network: nn.Module, masks: Iterable[Tensor]) -> nn.Module:
    """A copy of the network under these masks, which are in module order."""
    own = masked(network)
    for layer, mask in zip(layers(own), masks, strict=True):
        layer.mask.copy_(mask)
    return own


# --- Scores -----------------------------------------------------------------------------------------------------------


def connection_sensitivity(network: nn.Module, batch: Batch) -> list[Tensor]:
    """SNIP: |dL/dm| at m = 1, in parts of their sum (Lee et al. 2019, arXiv:1810.02340, eq. 5 and 6)."""
    x, y = batch
    network.train()
    masks = [layer.mask.requires_grad_() for layer in layers(network)]
    F.cross_entropy(network(x), y).backward()
    scores = [mask.grad.detach().abs() for mask in masks]
    for mask in masks:
        mask.requires_grad_(False).grad = None
    return _normalised(network, scores)


def gradient_signal(network: nn.Module, batch: Batch) -> list[Tensor]:
    """GraSP: w * Hg, in parts of the size of its sum (Wang et al. 2020, arXiv:2002.07376, alg. 1 with T = 200)."""
    x, y = batch
    network.train()
    weights = [layer.layer.weight for layer in layers(network)]
    gradient = torch.autograd.grad(F.cross_entropy(network(x) / 200, y), weights)
    again = torch.autograd.grad(F.cross_entropy(network(x) / 200, y), weights, create_graph=True)
    torch.stack([(g.detach() * a).sum() for g, a in zip(gradient, again, strict=True)]).sum().backward()
    return _normalised(network, [(w.grad * w).detach() for w in weights])


def synaptic_flow(network: nn.Module, batch: Batch) -> list[Tensor]:
    """SynFlow: |w| * dR/d|w| for an all-ones image when all is positive (Tanaka et al. 2020, arXiv:2006.05467)."""
    network.eval()
    with torch.no_grad():
        signs = {name: tensor.sign() for name, tensor in network.state_dict().items()}
        for tensor in network.state_dict().values():
            tensor.abs_()
    network(torch.ones_like(batch[0][:1])).sum().backward()
    scores = [(layer.layer.weight.grad * layer.layer.weight).detach().abs() for layer in layers(network)]
    network.zero_grad()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            tensor.mul_(signs[name])
    return scores


def weight_size(network: nn.Module, batch: Batch) -> list[Tensor]:
    """Magnitude: |w|."""
    return [layer.layer.weight.detach().abs() for layer in layers(network)]


def drawn(network: nn.Module, batch: Batch) -> list[Tensor]:
    """Random: a number for each weight."""
    return [torch.rand_like(layer.layer.weight) for layer in layers(network)]


SCORES: dict[str, Score] = {
    "random": drawn,
    "snip": connection_sensitivity,
    "grasp": gradient_signal,
    "synflow": synaptic_flow,
    "magnitude": weight_size,
}
"""By the name of the criterion that they are the public code of."""


def prune(network: nn.Module, score: Score, batch: Batch, density: float, rounds: int = 1) -> list[Tensor]:
    """Keep the highest scores of all layers together, by an exponential schedule; returns the masks."""
    for layer in layers(network):
        layer.mask.fill_(1)
    for step in range(1, rounds + 1):
        _threshold(network, score(network, batch), density ** (step / rounds))
    return [layer.mask.bool() for layer in layers(network)]


def _threshold(network: nn.Module, scores: Sequence[Tensor], density: float) -> None:
    flat = torch.cat([s.flatten() for s in scores])
    removed = math.floor(round((1 - density) * flat.numel(), 6))
    if removed:
        highest = flat.kthvalue(removed).values
        for layer, s in zip(layers(network), scores, strict=True):
            layer.mask.copy_(s > highest)


def _normalised(network: nn.Module, scores: list[Tensor]) -> list[Tensor]:
    network.zero_grad()
    total = torch.cat([s.flatten() for s in scores]).sum().abs()
    return [s / total for s in scores]


# --- Training ---------------------------------------------------------------------------------------------------------


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pixels uint8 (N, C, H, W) as PIL pictures, each transformed when it is asked for."""

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        crop: int = 0,
        flip: bool = False,
    ) -> None:
        self.pixels = pixels.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = labels.tolist()
        moves = [transforms.RandomCrop(pixels.shape[2:], padding=crop)] if crop else []
        moves += [transforms.RandomHorizontalFlip()] if flip else []
        self.transform = transforms.Compose([*moves, transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]

    def loader(self, batch_size: int, *, shuffle: bool) -> DataLoader[tuple[Tensor, int]]:
        return DataLoader(self, batch_size=batch_size, shuffle=shuffle)


def train_epoch(
    network: nn.Module, batches: Iterable[Batch], optimizer: torch.optim.Optimizer, device: torch.device
) -> float:
    """One pass over the batches; the mean loss."""
    network.train()
    total, seen = 0.0, 0
    for x, y in _on(device, batches):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(y)
        seen += len(y)
    return total / seen


@torch.no_grad()
def evaluate(network: nn.Module, batches: Iterable[Batch], device: torch.device) -> tuple[float, float]:
    """Top-1 accuracy in percent, and the mean loss."""
    network.eval()
    total, correct, seen = 0.0, 0, 0
    for x, y in _on(device, batches):
        logits = network(x)
        total += F.cross_entropy(logits, y).item() * len(y)
        correct += int((logits.topk(min(5, logits.shape[1])).indices[:, :1] == y[:, None]).sum().item())
        seen += len(y)
    return 100 * correct / seen, total / seen


def _on(device: torch.device, batches: Iterable[Batch]) -> Iterator[Batch]:
    for x, y in batches:
        yield x.to(device), y.to(device)
