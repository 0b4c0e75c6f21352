"""Plain data that crosses process borders: what one cell of a study is, and the key of its result.

Standard library only. A worker gets a `Cell` and rebuilds the plugins it names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from pabench.suite.digest import derive_seed, digest
from pabench.suite.specs import Augment, CriterionSpec, DatasetSpec, ModelSpec, Recipe, Scoring

PROTOCOL = "pai-v1"
DENSE = "dense"
"""What stands for a criterion where there is none: the dense baseline."""
STATUSES = ("ok", "failed", "skipped", "missing")
"""What can become of a cell, the best first; a missing one has no record."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@dataclass(frozen=True)
class Cell:
    """One training: a dataset, a model, a criterion (None: the dense baseline) at one sparsity, with one seed.

    `ablation` (`pabench.suite.ablations`) is "" for a plain cell, and then it is in no hash.
    """

    dataset: DatasetSpec
    model: ModelSpec
    criterion: CriterionSpec | None
    sparsity: float
    seed: int
    recipe: Recipe
    scoring: Scoring
    protocol: str = PROTOCOL
    ablation: str = ""

    @cached_property
    def block(self) -> str:
        """Hash of what all criteria of a block share: protocol, dataset, model and seed. All seeds derive from it."""
        return digest([self.protocol, self.dataset.identity(), self.model.identity(), self.seed])

    def seed_for(self, purpose: str) -> int:
        """The seed of one purpose (weights, order, augmentation, scoring-batch, noise), the same in a whole block."""
        return derive_seed(self.block, purpose)

    @cached_property
    def pruning_key(self) -> str:
        """Key of the mask: everything that can change it, and nothing of the training that follows.

        A cell with other weights (reinit) has its parent's mask, and so its key. The recipe counts only where the
        criterion looks at trained weights.
        """
        criterion = self.criterion.identity() if self.criterion else None
        recipe = [self.recipe.identity()] if self.criterion and self.criterion.trains else []
        ablation = [] if self.ablation in ("", "reinit") else [self.ablation]
        return digest(["pruning", self.block, criterion, float(self.sparsity), self.scoring.scores, *recipe, *ablation])

    @cached_property
    def check_key(self) -> str:
        """Key of what is found out before training: whether the criterion can score the network, whatever the seed."""
        criterion = self.criterion.identity() if self.criterion else None
        network = [self.protocol, self.dataset.identity(), self.model.identity()]
        return digest(["check", *network, criterion, *self.scoring.scores.values()])

    @cached_property
    def key(self) -> str:
        """Key of the result: everything that can change it, all defaults and versions included."""
        ablation = [self.ablation] if self.ablation else []
        return digest(["cell", self.pruning_key, self.recipe.identity(), self.scoring.degenerate, *ablation])

    @property
    def title(self) -> str:
        """How progress and error lines name the cell."""
        what = f"{self.criterion.label} {self.sparsity:g}" if self.criterion else DENSE
        ablation = f" / {self.ablation}" if self.ablation else ""
        return f"{self.dataset.label} / {self.model.label} / {what}{ablation} / seed {self.seed}"

    def to_json(self) -> dict[str, Any]:
        data = {**asdict(self), "recipe": self.recipe.identity(), "scoring": self.scoring.to_json()}
        return data if self.ablation else {k: v for k, v in data.items() if k != "ablation"}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cell:
        recipe = dict(data["recipe"])
        recipe["milestones"] = tuple(recipe["milestones"])
        recipe["augment"] = Augment(**recipe["augment"])
        criterion = data["criterion"]
        scoring = {**data["scoring"], "include": tuple(data["scoring"].get("include", ()))}
        return cls(
            dataset=DatasetSpec(**data["dataset"]),
            model=ModelSpec(**data["model"]),
            criterion=CriterionSpec(**criterion) if criterion else None,
            sparsity=float(data["sparsity"]),
            seed=int(data["seed"]),
            recipe=Recipe(**recipe),
            scoring=Scoring(**scoring),
            protocol=data["protocol"],
            ablation=data.get("ablation", ""),
        )

    def dense(self) -> Cell:
        """The baseline of this cell's block under the same recipe."""
        return replace(self, criterion=None, sparsity=0.0, ablation="")

    def parent(self) -> Cell:
        """The plain cell that an ablation is compared with; a plain cell is its own."""
        return replace(self, ablation="")


def facts(cell: Cell) -> dict[str, Any]:
    """What identifies a cell, flat, by dotted names: `protocol`, `dataset.fingerprint`, `recipe.lr`, `seed`, ...

    Parameters stand beside the other facts of their part. What is no part of an identity (where data lies, labels) is
    not there, and the dense baseline has no `criterion.*`.

    >>> snip = CriterionSpec("snip", {}, {"examples_per_class": 10}, version=1)
    >>> one = facts(Cell(DatasetSpec("digits"), ModelSpec("vgg", {"width": 8}), snip, 0.9, 3, Recipe(), Scoring()))
    >>> [one[name] for name in ("model.name", "model.width", "criterion.examples_per_class", "recipe.lr", "seed")]
    ['vgg', 8, 10, 0.1, 3]
    """
    parts = {
        "dataset": cell.dataset.identity(),
        "model": cell.model.identity(),
        "criterion": cell.criterion.identity() if cell.criterion else {},
        "recipe": cell.recipe.identity(),
        "scoring": {**cell.scoring.identity(), "dtype": cell.scoring.asked},  # what a study is, and not each criterion
    }
    found: dict[str, Any] = {"protocol": cell.protocol}
    for part, identity in parts.items():
        args = identity.pop("args", {})
        # a parameter never hides what a part says of itself, whatever it is called
        found |= {f"{part}.{name}": value for name, value in {**args, **identity}.items()}
    return {**found, "sparsity": cell.sparsity, "seed": cell.seed, "ablation": cell.ablation}
