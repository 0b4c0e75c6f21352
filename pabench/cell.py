"""Plain data that crosses process borders: what one cell of a study is, and the key of its result.

Standard library only. A worker gets a `Cell` and rebuilds the plugins it names.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

PROTOCOL = "pai-v1"
DENSE = "dense"
"""What stands for a criterion where there is none: the dense baseline."""
STATUSES = ("ok", "failed", "skipped", "missing")
"""What can become of a cell, the best first; a missing one has no record."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def derive_seed(*parts: Any) -> int:
    """A seed in [0, 2**63) that depends on all parts and on nothing else (never on `hash()`)."""
    return int(digest(list(parts))[:16], 16) >> 1


@dataclass(frozen=True)
class DatasetSpec:
    """A dataset by name, with all parameters. `fingerprint` is its content.

    `path` (where it lies) and `title` (what reports call it) are no part of its identity.
    """

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    fingerprint: str = ""

    @property
    def label(self) -> str:
        return str(self.args.get("title") or self.name)

    def identity(self) -> dict[str, Any]:
        args = {k: v for k, v in self.args.items() if k != "title"}
        return {"name": self.name, "args": args, "fingerprint": self.fingerprint}


@dataclass(frozen=True)
class ModelSpec:
    """A timm model by name; `args` are passed to `timm.create_model`, `stem="cifar"` adapts it to small images,
    `zeros="redrawn"` draws what starts at 0 and blocks the flow."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    stem: str = ""
    zeros: str = ""

    @property
    def label(self) -> str:
        shown = {key: value for key, value in (("stem", self.stem), ("zeros", self.zeros)) if value}
        return labelled(self.name, {**shown, **{k: v for k, v in sorted(self.args.items()) if k != "zero_init_last"}})

    def identity(self) -> dict[str, Any]:
        zeros = {"zeros": self.zeros} if self.zeros else {}
        return {"name": self.name, "args": dict(self.args), "stem": self.stem, **zeros}


@dataclass(frozen=True)
class CriterionSpec:
    """A criterion by name (`grasp` or `grasp@official`).

    `given` is what the suite says and makes the label, in alphabetical order, as records are stored; `args` are all
    parameters, defaults included; `version` and `source` (SHA-256 of the defining file) come from the class, as do
    `trains` (its masks depend on the recipe) and `reference_line` (why reports show it beside the criteria and do not
    rank it; "" for a criterion). `donor` is the same of the criterion whose layer densities it takes over
    (`allocation: as:NAME`); empty, and no part of the key, where it takes none.
    """

    name: str
    given: Mapping[str, Any] = field(default_factory=dict)
    args: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0
    source: str = ""
    trains: bool = False
    reference_line: str = ""
    donor: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return labelled(self.name, dict(sorted(self.given.items())))

    def identity(self) -> dict[str, Any]:
        known = {
            "name": self.name.partition("@")[0],
            "args": dict(self.args),
            "version": self.version,
            "source": self.source,
        }
        return {**known, "donor": dict(self.donor)} if self.donor else known


@dataclass(frozen=True)
class Augment:
    """Training-time augmentation: random crop after zero padding by `crop` pixels, horizontal flip, a square of
    `cutout` pixels set to 0 (DeVries & Taylor 2017, arXiv:1708.04552)."""

    crop: int = 0
    flip: bool = False
    cutout: int = 0


@dataclass(frozen=True)
class Recipe:
    """How a masked network is trained. All defaults are part of the cell key.

    `milestones` are epochs (schedule `step`); `warmup` is a number of epochs of linear warm-up; `precision` is what
    the forward and backward pass compute in (`auto` is resolved before the key is taken).
    """

    epochs: int = 160
    batch_size: int = 128
    optimizer: str = "sgd"  # sgd | adamw
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    schedule: str = "constant"  # constant | step | cosine
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    warmup: float = 0.0
    augment: Augment = Augment()
    precision: str = "auto"  # auto | float32 | bfloat16
    channels_last: bool = True
    compile: bool = False

    def identity(self) -> dict[str, Any]:
        return {**vars(self), "augment": vars(self.augment)}


@dataclass(frozen=True)
class Scoring:
    """How scores are computed: `dtype` float64 or float32, and what happens to a degenerate ranking (mark | refuse)."""

    dtype: str = "float64"
    degenerate: str = "mark"


@dataclass(frozen=True)
class Cell:
    """One training: a dataset, a model, a criterion (None: the dense baseline) at one sparsity, with one seed.

    `ablation` (`pabench.ablation`) is "" for a plain cell, and then it is in no hash.
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
        scoring = {"dtype": self.scoring.dtype}
        criterion = self.criterion.identity() if self.criterion else None
        recipe = [self.recipe.identity()] if self.criterion and self.criterion.trains else []
        ablation = [] if self.ablation in ("", "reinit") else [self.ablation]
        return digest(["pruning", self.block, criterion, float(self.sparsity), scoring, *recipe, *ablation])

    @cached_property
    def check_key(self) -> str:
        """Key of what is found out before training: whether the criterion can score the network, whatever the seed."""
        criterion = self.criterion.identity() if self.criterion else None
        network = [self.protocol, self.dataset.identity(), self.model.identity()]
        return digest(["check", *network, criterion, self.scoring.dtype])

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
        data = asdict(self)
        return data if self.ablation else {k: v for k, v in data.items() if k != "ablation"}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cell:
        recipe = dict(data["recipe"])
        recipe["milestones"] = tuple(recipe["milestones"])
        recipe["augment"] = Augment(**recipe["augment"])
        criterion = data["criterion"]
        return cls(
            dataset=DatasetSpec(**data["dataset"]),
            model=ModelSpec(**data["model"]),
            criterion=CriterionSpec(**criterion) if criterion else None,
            sparsity=float(data["sparsity"]),
            seed=int(data["seed"]),
            recipe=Recipe(**recipe),
            scoring=Scoring(**data["scoring"]),
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
        "scoring": asdict(cell.scoring),
    }
    found: dict[str, Any] = {"protocol": cell.protocol}
    for part, identity in parts.items():
        args = identity.pop("args", {})
        # a parameter never hides what a part says of itself, whatever it is called
        found |= {f"{part}.{name}": value for name, value in {**args, **identity}.items()}
    return {**found, "sparsity": cell.sparsity, "seed": cell.seed, "ablation": cell.ablation}


def labelled(name: str, args: Mapping[str, Any]) -> str:
    """`name` followed by the arguments that were given.

    >>> labelled("synflow", {"steps": 100})
    'synflow (steps=100)'
    """
    return f"{name} ({', '.join(f'{k}={v}' for k, v in args.items())})" if args else name


def ordered(label: str) -> str:
    """The label with its parameters in alphabetical order: what two ways of writing one label have in common.

    >>> ordered("snip (steps=2, schedule=linear)")
    'snip (schedule=linear, steps=2)'
    """
    name, mark, given = label.partition(" (")
    return f"{name} ({', '.join(sorted(given.removesuffix(')').split(', ')))})" if mark else name
