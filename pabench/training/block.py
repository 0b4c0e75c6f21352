"""What all cells of a block share: data, network, batches, and the hashes that prove it."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pabench import registry
from pabench.data.augment import augment_digest, epoch_order, order_digest
from pabench.data.checked import split_of
from pabench.data.dataset import Dataset, Picked, identity, is_plugin, steps_per_epoch
from pabench.data.split import Images, Streamed, groups_of, scoring_batch, some_per_class
from pabench.errors import DataError
from pabench.networks import models as models
from pabench.networks.network import Network, Tensors, scoring_mode
from pabench.parameters import create
from pabench.scoring.gradual import Gradual
from pabench.scoring.parts import Given
from pabench.scoring.shuffling import scrambled
from pabench.store.record import ENVIRONMENT
from pabench.suite.ablations import IN_BATCH
from pabench.suite.cell import Cell
from pabench.suite.digest import digest
from pabench.suite.specs import ModelSpec
from pabench.training.checkpoint import Checkpoints
from pabench.training.environment import environment
from pabench.training.loop import Report as Report, Source, train as train_network
from pabench.training.sparse import Held

SAMPLE = 2000
"""Training images that a trained dense network is asked for: an accuracy of 70 % is then known to one point (its
standard error), and of a large dataset it is no pass more."""
WARMUP = 128
"""Training images of one forward pass of BatchNorm's warm-up."""


@dataclass(frozen=True)
class Block:
    """What all cells of a block share, made from the block's seeds and from nothing else.

    `kept` is the folder of the checkpoints of its trainings, where a task keeps any.
    """

    cell: Cell
    device: torch.device
    kept: Path | None = field(default=None, kw_only=True)

    @cached_property
    def dataset(self) -> Dataset:
        spec = self.cell.dataset
        found: Dataset = create(registry.plugin("datasets", spec.name), {**spec.args, "path": spec.path}, spec.name)
        if identity(found) != spec.fingerprint:
            raise DataError(f"{spec.name}: {spec.path or found.folder} has changed since the run began; start it again")
        return found

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that the network sees."""
        return self.dataset.shape

    @cached_property
    def train(self) -> Source:
        return Source(split_of(self.dataset, "train"), self.dataset.mean, self.dataset.std)

    @cached_property
    def test(self) -> Source:
        return Source(split_of(self.dataset, "test"), self.dataset.mean, self.dataset.std)

    @cached_property
    def sample(self) -> Source:
        """Training images to see what was learned of them, `SAMPLE` at most, class-balanced, the same for the block."""
        split, seed = self.train.split, self.cell.seed_for("training-sample")
        chosen = some_per_class(split, classes=self.dataset.groups, most=SAMPLE, seed=seed)
        return Source(split.subset(chosen), self.train.mean, self.train.std)

    def held_out(self) -> Given:
        """Test data to see what a masked network computes before any training, the first `SAMPLE` at most.

        For metrics alone: no criterion is given any of it.
        """
        test = self.test
        picked = Picked(test.split, torch.arange(min(SAMPLE, len(test.split))), test.mean, test.std)
        return picked, picked.labels

    def network(self, seed: int | None = None, spec: ModelSpec | None = None) -> nn.Module:
        """The network at initialization, on the CPU: the cell's own (the block's, or re-drawn), or of another seed, or
        another network. What is re-drawn has no trained weights."""
        redrawn = self.cell.ablation == "reinit" and seed is None
        own = self.cell.model.drawn if redrawn else self.cell.model
        seed = self.cell.seed_for("reinit" if redrawn else "weights") if seed is None else seed
        return models.build(spec or own, self.dataset.classes, self.shape, seed)

    def scored_network(self, bn: str, dtype: torch.dtype) -> Network:
        """The network as a criterion looks at it: the same for all that look at it alike."""
        if (bn, dtype) not in self._scored_networks:
            module, include = self.network().to(self.device), self.cell.scoring.include
            self._scored_networks[bn, dtype] = Network(module, bn=bn, dtype=dtype, include=include)
        return self._scored_networks[bn, dtype]

    @cached_property
    def _scored_networks(self) -> dict[tuple[str, torch.dtype], Network]:
        return {}

    def fit(
        self,
        module: nn.Module,
        masks: Tensors,
        *,
        dense_epochs: int = 0,
        first_epoch: int = 0,
        gradual: Gradual | None = None,
        sparse: Held | None = None,
        checkpoints: Checkpoints | None = None,
        report: Report = lambda event: None,
    ) -> dict[str, list[float]]:
        """Train `module` in place by the cell's recipe, in the order and with the random draws of the whole block."""
        seed = self.cell.seed_for
        torch.manual_seed(seed("training"))  # dropout and stochastic depth
        return train_network(
            module,
            masks,
            self.train,
            self.cell.recipe,
            device=self.device,
            order_seed=seed("order"),
            augment_seed=seed("augmentation"),
            dense_epochs=dense_epochs,
            first_epoch=first_epoch,
            gradual=gradual,
            sparse=sparse,
            checkpoints=checkpoints,
            report=report,
        )

    def checkpoints(self, module: nn.Module, name: str) -> Checkpoints | None:
        """Those of a training of `module`: of the same engine, kind of machine and shapes of tensors.

        On a CPU the number of threads decides how sums are rounded.
        """
        if self.kept is None:
            return None
        here = environment(self.device, self.cell.recipe.precision)
        told = (*ENVIRONMENT, "precision", *(["threads"] if self.device.type == "cpu" else []))
        named = (*module.named_parameters(), *module.named_buffers())
        shapes = digest([[name, list(tensor.shape), str(tensor.dtype)] for name, tensor in named])
        return Checkpoints(self.kept / name, {**{what: here[what] for what in told}, "shapes": shapes})

    def scoring_batches(self, per_class: int, count: int) -> list[Given]:
        """`count` disjoint scoring batches: training images, class-balanced, without augmentation.

        A larger batch contains the smaller ones. In an ablation of the batch their labels or pixels are permuted.
        Whoever asks for the same ones is given the same.
        """
        if (per_class, count) not in self._scoring_batches:
            self._scoring_batches[per_class, count] = self._made_batches(per_class, count)
        return self._scoring_batches[per_class, count]

    @cached_property
    def _scoring_batches(self) -> dict[tuple[int, int], list[Given]]:
        return {}

    def _made_batches(self, per_class: int, count: int) -> list[Given]:
        by_class = self._scoring_indices(per_class * count).view(self.dataset.groups, count, per_class)
        split, chosen = self.train.split, [by_class[:, i].flatten() for i in range(count)]
        ablation = self.cell.ablation
        if ablation not in IN_BATCH:
            return [self._given(split, indices) for indices in chosen]
        batches = scrambled([split.pick(indices) for indices in chosen], ablation, self.cell.seed_for(ablation))
        return [self._given(Images(*batch), torch.arange(len(batch[1]))) for batch in batches]

    def norm_batches(self) -> list[Given]:
        """The images that gradient norms are measured on: ten a class where there are so many, at most about 1,024.

        In class-balanced batches of up to 128, or `scoring.batch`: what a whole one of a large dataset needs, few
        machines have.
        """
        indices = self._scoring_indices(min(self._usual(), max(1, 1024 // self.dataset.groups)))
        parts = math.ceil(len(indices) / min(128, self.cell.scoring.batch or 128))
        return [self._given(self.train.split, indices[part::parts]) for part in range(parts)]

    def warmed(self, module: nn.Module, passes: float) -> nn.Module:
        """A copy of the network whose BatchNorms have seen `passes` over the training images, in train mode.

        No gradient is taken and no weight moves (Gollini Navarrete et al. 2025, arXiv:2502.11450). The images are not
        augmented; their order is drawn for this purpose alone, so that it does not depend on a recipe.
        """
        warm = copy.deepcopy(module).to(self.device).train()
        with scoring_mode(self.device, self.cell.seed_for("bn-warmup")), torch.no_grad():
            for indices in self._warmup(passes):
                images, _ = self._given(self.train.split, indices)
                warm(images[:].to(self.device))
        return warm

    def warmup_told(self, passes: float) -> dict[str, Any]:
        """What a receipt says of these passes: how many images in how many batches, and the hash of which."""
        batches = self._warmup(passes)
        images = digest([self.cell.dataset.fingerprint, [batch.tolist() for batch in batches]])
        return {"batches": len(batches), "images": sum(map(len, batches)), "sha256": images}

    def _warmup(self, passes: float) -> list[torch.Tensor]:
        """Places of the images of each pass forward, at least one; as in training, no last one of a single image."""
        n, seed = len(self.train.split), self.cell.seed_for("bn-warmup")
        steps = steps_per_epoch(n, WARMUP)
        orders = [epoch_order(n, seed, epoch).split(WARMUP)[:steps] for epoch in range(math.ceil(passes))]
        return [batch for order in orders for batch in order][: max(1, round(passes * steps))]

    def batch_digest(self, per_class: int) -> str:
        """SHA-256 of which images a criterion is given, and of what an ablation does to them; of a plugin's
        dataset also of the images themselves."""
        ablation, chosen = self.cell.ablation, self._scoring_indices(per_class)
        done = [ablation, self.cell.seed_for(ablation)] if ablation in IN_BATCH else []
        given = [self.train.split.subset(chosen).digest()] if is_plugin(self.dataset) else []
        return digest([self.cell.dataset.fingerprint, chosen.tolist(), *done, *given])

    def pairing(self, module: nn.Module) -> dict[str, str]:
        """Hashes of what every criterion of the block must share (`ablations.alike`), for `status --pairing`."""
        n, seed = len(self.train.split), self.cell.seed_for
        augment = self.cell.recipe.augment
        return {
            "weights": models.weights_digest(module),
            "order": order_digest(n, seed("order")),
            "augmentation": augment_digest(n, self.shape, augment, seed("augmentation")),
            "scoring_batch": self.batch_digest(self._usual()),
        }

    def _usual(self) -> int:
        """Ten images a class, or as many as the scarcest class has."""
        groups = self.dataset.groups
        return min(10, int(torch.bincount(groups_of(self.train.split, groups), minlength=groups).min()))

    def _given(self, split: Images | Streamed, indices: torch.Tensor) -> Given:
        """Images that are read or copied when they are looked at; where a device scores faster than files are read,
        they are read once."""
        if self.device.type != "cpu" and isinstance(split, Streamed):
            split, indices = Images(*split.pick(indices)), torch.arange(len(indices))
        picked = Picked(split, indices, self.train.mean, self.train.std)
        return picked, picked.labels

    def _scoring_indices(self, per_class: int) -> torch.Tensor:
        seed = self.cell.seed_for("scoring-batch")
        return scoring_batch(self.train.split, classes=self.dataset.groups, per_class=per_class, seed=seed)
