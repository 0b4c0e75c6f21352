"""A study that states how many images are looked at at once: scoring, its check and its norms keep to it."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

import pabench
from pabench.cli.running import carry_out
from pabench.run.session import Session
from pabench.scoring.masks import unpack
from pabench.store.store import Store
from pabench.suite.cell import Cell
from pabench.training.block import Block

from ..pageless import undrawn
from .conftest import CPU, named, session

SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 20, test_per_class: 10}]
models: [counting_net]
criteria: [{name: snip, bn: train}, {name: grasp, bn: eval}, random]
sparsities: [0.5]
ablations: [shuffled_pixels]
seeds: 1
recipe: {epochs: 1, batch_size: 8, lr: 0.05, augment: none}
"""
SEEN: list[tuple[str, int]] = []
"""What the network was doing in each forward pass (`train` or `score`), and with how many images."""


class Counting(nn.Sequential):
    def __init__(self, classes: int) -> None:
        super().__init__(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        SEEN.append(("score" if torch.is_grad_enabled() and not self.training else "other", len(x)))
        return super().forward(x)

    def get_classifier(self) -> nn.Module:
        return self[-1]


def counting_net(pretrained: bool = False, num_classes: int = 10, in_chans: int = 1, **unset) -> nn.Module:
    return Counting(num_classes)


timm.models.register_model(counting_net)


def carried_out(folder, text: str) -> tuple[Session, int]:
    """A study, and the most images that its network was given with gradients."""
    opened = session(folder, text)
    SEEN.clear()
    with undrawn():
        carry_out(opened)
    return opened, max(images for doing, images in SEEN if doing == "score")


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Without a word on it, and with at most 16 images: their records, cells and what their networks saw."""
    found = []
    for text in (SUITE, SUITE + "scoring: {batch: 16}\n"):
        folder = tmp_path_factory.mktemp("parts")
        opened, most = carried_out(folder, text)
        found.append((folder / "out", named(folder / "out"), opened.cells, most))
    return found


def test_no_graph_holds_more_images_than_stated(studies):
    """Ten of each of ten classes: a hundred at once, or in seven parts of 14 and 15; in training there are eight."""
    assert [most for *_, most in studies] == [100, 15]


def test_masks_are_those_of_the_library_and_receipts_say_how_many_images_were_taken(studies):
    _, records, cells, _ = studies[1]
    folder = studies[1][0]

    for name in ("snip", "grasp"):
        cell = next(c for c in cells if c.criterion and c.criterion.name == name and not c.ablation)
        record = next(r for (label, _, ablation), r in records.items() if label.startswith(name) and not ablation)
        block = Block(cell, CPU)
        ((x, y),) = block.scoring_batches(10, 1)
        given = {"sparsity": 0.5, "bn": cell.criterion.args["bn"], "seed": cell.seed_for("noise"), "at_once": 16}
        expected = pabench.prune(block.network(), name, batch=(x[:], y), **given)

        masks, header = unpack(Store(folder).get_mask(record["receipt"]["mask"]))
        assert all(torch.equal(masks[n], m) for n, m in expected.items())
        assert record["receipt"]["at_once"] == header["at_once"] == 16
        assert record["cell"]["scoring"]["batch"] == 16
        assert Cell.from_json(record["cell"]).key == cell.key


def test_with_stored_statistics_masks_are_those_of_the_whole_batch_and_with_its_own_others(studies):
    def mask(study, name):
        folder, records, *_ = study
        record = next(r for (label, _, ablation), r in records.items() if label.startswith(name) and not ablation)
        return record["receipt"]["mask"], unpack(Store(folder).get_mask(record["receipt"]["mask"]))[0]

    for name, same in (("grasp", True), ("snip", False)):
        (_, whole), (_, parts) = (mask(study, name) for study in studies)
        assert all(torch.equal(whole[n], parts[n]) for n in whole) == same
    assert not {c.key for c in studies[0][2]} & {c.key for c in studies[1][2]}


def test_what_sees_no_images_takes_none_at_once(studies):
    assert "at_once" not in studies[1][1]["random", 0.5, ""]["receipt"]
