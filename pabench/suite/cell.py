"""Plain data that crosses process borders: what one cell of a study is, and the key of its result.

Standard library only. A worker gets a `Cell` and rebuilds the plugins it names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Generic, TypeVar, overload

from pabench.suite.digest import canonical, derive_seed, digest_listed
from pabench.suite.specs import PLAIN, Augment, CriterionSpec, DatasetSpec, ModelSpec, Recipe, Scoring, TrainSpec

PROTOCOL = "pai-v1"
DENSE = "dense"
"""What stands for a criterion where there is none: the dense baseline."""
STATUSES = ("ok", "failed", "skipped", "missing")
"""What can become of a cell, the best first; a missing one has no record."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
T = TypeVar("T")


class once(Generic[T]):
    """A property that is worked out once, and kept in the slot of its name with a _ before it. A dictionary of its own,
    as `functools.cached_property` needs, is more than all else of a cell, and a study may have many thousand."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make, self._slot = make, f"_{make.__name__}"
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, cell: None, owner: type) -> once[T]: ...

    @overload
    def __get__(self, cell: object, owner: type) -> T: ...

    def __get__(self, cell: object | None, owner: type) -> once[T] | T:
        if cell is None:
            return self
        try:
            found: T = getattr(cell, self._slot)
        except AttributeError:
            found = self._make(cell)
            object.__setattr__(cell, self._slot, found)
        return found


class _Slots:
    __slots__ = ("_block", "_check_key", "_key", "_pruning_key")


@dataclass(frozen=True, slots=True)
class Cell(_Slots):
    """One training: a dataset, a model, a criterion (None: the dense baseline) at one sparsity, with one seed.

    `ablation` (`pabench.suite.ablations`) is "" for a plain cell, and then it is in no hash. So it is with `train`, how
    the masked network is trained, where that is plainly; the dense baseline always is.
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
    train: TrainSpec = PLAIN

    @once
    def block(self) -> str:
        """Hash of what all criteria of a block share: protocol, dataset, model and seed. All seeds derive from it."""
        return _block(*self._network, self.seed)

    def seed_for(self, purpose: str) -> int:
        """The seed of one purpose (weights, order, augmentation, scoring-batch, noise), the same in a whole block."""
        return derive_seed(self.block, purpose)

    @once
    def pruning_key(self) -> str:
        """Key of the mask: everything that can change it, and nothing of the training that follows.

        A cell with other weights (reinit) has its parent's mask, and so its key. The recipe counts only where the
        criterion looks at trained weights.
        """
        scored = (canonical(value) for value in (float(self.sparsity), self.scoring.scores))
        recipe = [self.recipe.text] if self.criterion and self.criterion.trains else []
        ablation = [] if self.ablation in ("", "reinit") else [canonical(self.ablation)]
        return digest_listed('"pruning"', f'"{self.block}"', self._criterion, *scored, *recipe, *ablation)

    @once
    def check_key(self) -> str:
        """Key of what is found out before training: whether the criterion can score the network, whatever the seed."""
        scored = map(canonical, self.scoring.scores.values())
        return _check('"check"', *self._network, self._criterion, *scored)

    @once
    def key(self) -> str:
        """Key of the result: everything that can change it, all defaults and versions included."""
        ablation = [canonical(self.ablation)] if self.ablation else []
        degenerate = canonical(self.scoring.degenerate)
        train = [] if self.train.is_plain else [self.train.text]
        return digest_listed('"cell"', f'"{self.pruning_key}"', self.recipe.text, degenerate, *ablation, *train)

    @property
    def _network(self) -> tuple[str, str, str]:
        return canonical(self.protocol), self.dataset.text, self.model.text

    @property
    def _criterion(self) -> str:
        return self.criterion.text if self.criterion else "null"

    @property
    def title(self) -> str:
        """How progress and error lines name the cell."""
        what = f"{self.criterion.label} {self.sparsity:g}" if self.criterion else DENSE
        ablation = f" / {self.ablation}" if self.ablation else ""
        train = "" if self.train.is_plain else f" / {self.train.label}"
        return f"{self.dataset.label} / {self.model.label} / {what}{ablation}{train} / seed {self.seed}"

    def to_json(self) -> dict[str, Any]:
        """As plain data of one's own, but for its parts: they are those of all cells that share them, and nobody
        changes them."""
        data = {
            "dataset": self.dataset.plain,
            "model": self.model.plain,
            "criterion": self.criterion.plain if self.criterion else None,
            "sparsity": self.sparsity,
            "seed": self.seed,
            "recipe": self.recipe.plain,
            "scoring": self.scoring.plain,
            "protocol": self.protocol,
        }
        changed = {"ablation": self.ablation} if self.ablation else {}
        return {**data, **changed, **({} if self.train.is_plain else {"train": self.train.plain})}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cell:
        """The cell that `to_json` gave as plain data."""
        (found,) = cls.all_from_json([data])
        return found

    @classmethod
    def all_from_json(cls, listed: Iterable[Mapping[str, Any]]) -> list[Cell]:
        """Parts that are equal are one object: thousands of cells have few datasets, models, criteria and recipes."""
        made: dict[tuple[str, int], Any] = {}
        known: dict[tuple[str, str], Any] = {}
        found = []
        listed = list(listed)  # as long as all are there no two parts have one id
        for data in listed:
            parts = {}
            for name, make in PARTS.items():
                part = part_of(data, name)
                if (name, id(part)) not in made:
                    said = name, repr(part)
                    made[name, id(part)] = known[said] if said in known else known.setdefault(said, make(part))
                parts[name] = made[name, id(part)]
            where = {"sparsity": float(data["sparsity"]), "seed": int(data["seed"]), "protocol": data["protocol"]}
            found.append(cls(**parts, **where, ablation=data.get("ablation", "")))
        return found

    def dense(self) -> Cell:
        """The baseline of this cell's block under the same recipe."""
        return replace(self, criterion=None, sparsity=0.0, ablation="", train=PLAIN)

    def parent(self) -> Cell:
        """The plain cell that an ablation is compared with; a plain cell is its own."""
        return replace(self, ablation="")


@lru_cache(maxsize=4096, typed=True)
def _block(protocol: str, dataset: str, model: str, seed: int) -> str:
    """The hash of a block, from the texts of its parts: once for all of its cells."""
    return digest_listed(protocol, dataset, model, canonical(seed))


_check = lru_cache(maxsize=4096)(digest_listed)  # one for the cells of all seeds and sparsities


def _recipe(data: Mapping[str, Any]) -> Recipe:
    return Recipe(**{**data, "milestones": tuple(data["milestones"]), "augment": Augment(**data["augment"])})


def _scoring(data: Mapping[str, Any]) -> Scoring:
    return Scoring(**{**data, "include": tuple(data.get("include", ()))})


PARTS: Mapping[str, Callable[[Any], Any]] = {
    "dataset": lambda data: DatasetSpec(**data),
    "model": lambda data: ModelSpec(**data),
    "criterion": lambda data: CriterionSpec(**data) if data else None,
    "recipe": _recipe,
    "scoring": _scoring,
    "train": lambda data: TrainSpec(**data) if data else PLAIN,
}
"""What makes a part of a cell from plain data."""


def part_of(data: Mapping[str, Any], name: str) -> Any:
    """A part of a cell's plain data, in which a plain training is not told; KeyError: another part is not there."""
    return data.get(name) if name == "train" else data[name]


def facts(cell: Cell) -> dict[str, Any]:
    """What identifies a cell, flat, by dotted names: `protocol`, `dataset.fingerprint`, `recipe.lr`, `seed`, ...

    Parameters stand beside the other facts of their part. What is no part of an identity (where data lies, labels) is
    not there, and the dense baseline has no `criterion.*`, and what is trained plainly no `train.*`.

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
        "train": {} if cell.train.is_plain else cell.train.identity(),
    }
    found: dict[str, Any] = {"protocol": cell.protocol}
    for part, identity in parts.items():
        args = identity.pop("args", {})
        # a parameter never hides what a part says of itself, whatever it is called
        found |= {f"{part}.{name}": value for name, value in {**args, **identity}.items()}
    return {**found, "sparsity": cell.sparsity, "seed": cell.seed, "ablation": cell.ablation}
