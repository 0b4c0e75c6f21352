"""What a suite names, with all its parameters: data set, model, criterion, recipe, scoring, metric. Plain data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from pabench.suite.digest import canonical, digest
from pabench.suite.provenance import KNOWN, claimed, spoken

LOSSY = ("AVIF", "JPEG", "JPEG 2000", "WebP")
"""Codings in which a picture loses something, or may have."""


class Identified(ABC):
    """What is part of a key: as text and as plain data it is made once, and thousands of cells share it."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What of it is in a cell's key, as plain data."""

    @cached_property
    def text(self) -> str:
        """The identity as canonical JSON."""
        return canonical(self.identity())

    @cached_property
    def plain(self) -> dict[str, Any]:
        """As records hold it; not to be changed, since it is every cell's."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True)
class DatasetSpec(Identified):
    """A dataset by name, with all parameters. `fingerprint` is its content.

    `path` (where it lies), `title` (what reports call it) and `coding` (in what its pictures are encoded, as `JPEG and
    PNG`; "" where they are not, or nobody looked) are no part of its identity: the content says as much.
    """

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    fingerprint: str = ""
    coding: str = ""

    @cached_property
    def label(self) -> str:
        """What reports call it: its title, and what it must not be taken without.

        >>> DatasetSpec("parquet", {"title": "cifar10", "held_out_per_class": 9}, coding="JPEG").label
        'cifar10, JPEG-coded, held-out training images'
        """
        tested = "held-out training images" if self.args.get("held_out_per_class") else ""
        return ", ".join(filter(None, (self.title, self.remark, tested)))

    @property
    def title(self) -> str:
        """What its suite calls it."""
        return str(self.args.get("title") or self.name)

    @property
    def public(self) -> str:
        """The name of the public dataset that it is, or that its title says it is; "" for any other."""
        return self.name if self.name in KNOWN else claimed(self.title)

    @property
    def remark(self) -> str:
        """What is missing in a title that names a dataset whose own pictures are whole, where these lost something."""
        codings = self.coding.split(" and ")
        lossy = [coding for coding in codings if coding in LOSSY]
        if not self.public or KNOWN[self.public].lossy or all(spoken(coding) in spoken(self.title) for coding in lossy):
            return ""
        return f"{'' if lossy == codings else 'partly '}{' and '.join(lossy)}-coded"

    @cached_property
    def plain(self) -> dict[str, Any]:
        told = asdict(self)
        return {key: value for key, value in told.items() if value or key != "coding"}

    def identity(self) -> dict[str, Any]:
        # what nobody gave changes nothing: studies made before there was such a parameter keep their keys
        unsaid = {"title"} | {name for name in ("bits", "held_out_per_class") if not self.args.get(name)}
        args = {k: v for k, v in self.args.items() if k not in unsaid}
        return {"name": self.name, "args": args, "fingerprint": self.fingerprint}


@dataclass(frozen=True)
class ModelSpec(Identified):
    """A timm model by name; `args` are passed to `timm.create_model`, `stem="cifar"` adapts it to small images,
    `zeros="redrawn"` draws what starts at 0 and blocks the flow.

    `init="pretrained"`: its weights are those of a file, `checkpoint` or else timm's own, whose SHA-256 is `weights`
    (`pabench.networks.pretrained`). Where the file lies is no part of its identity; without it nothing of this is.
    """

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    stem: str = ""
    zeros: str = ""
    init: str = ""
    checkpoint: str = ""
    weights: str = ""

    @cached_property
    def label(self) -> str:
        named = ("stem", self.stem), ("zeros", self.zeros), ("init", self.init)
        shown = {key: value for key, value in named if value}
        return labelled(self.name, {**shown, **{k: v for k, v in sorted(self.args.items()) if k != "zero_init_last"}})

    def identity(self) -> dict[str, Any]:
        zeros = {"zeros": self.zeros} if self.zeros else {}
        init = {"init": self.init, "weights": self.weights} if self.init else {}
        return {"name": self.name, "args": dict(self.args), "stem": self.stem, **zeros, **init}

    @cached_property
    def plain(self) -> dict[str, Any]:
        told = asdict(self)
        return {key: value for key, value in told.items() if value or key not in ("init", "checkpoint", "weights")}

    @property
    def drawn(self) -> ModelSpec:
        """The same network with weights from the seed alone."""
        return replace(self, init="", checkpoint="", weights="")


@dataclass(frozen=True)
class CriterionSpec(Identified):
    """A criterion by name (`grasp` or `grasp@official`).

    `given` is what the suite says and makes the label, in alphabetical order, as records are stored; `args` are all
    parameters, defaults included. From the class come `version`, `source` and `sha256` (hashes of what its code
    says and of the bytes that it stands in: `pabench.source`), `trains` (its masks depend on the recipe) and
    `reference_line` (why reports show it beside the criteria and do not rank it; "" for a criterion). `donor` is
    the same of the criterion whose layer densities it takes over (`allocation: as:NAME`); empty, and no part of the
    key, where it takes none. `precision` is what it is scored in where a suite leaves that open.
    """

    name: str
    given: Mapping[str, Any] = field(default_factory=dict)
    args: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0
    source: str = ""
    sha256: str = ""
    trains: bool = False
    reference_line: str = ""
    precision: str = "float64"
    donor: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def label(self) -> str:
        return labelled(self.name, dict(sorted(self.given.items())))

    def identity(self) -> dict[str, Any]:
        known = {
            "name": self.name.partition("@")[0],
            "args": dict(self.args),
            "version": self.version,
            "source": self.source,
        }
        # the same code in another layout is the same criterion: bytes are no part of a key
        donor = {key: value for key, value in self.donor.items() if key != "sha256"}
        return {**known, "donor": donor} if donor else known


@dataclass(frozen=True)
class Augment:
    """Training-time augmentation: random crop after zero padding by `crop` pixels, horizontal flip, a square of
    `cutout` pixels set to 0 (DeVries & Taylor 2017, arXiv:1708.04552)."""

    crop: int = 0
    flip: bool = False
    cutout: int = 0


@dataclass(frozen=True)
class Recipe(Identified):
    """How a masked network is trained. All defaults are part of the cell key.

    `milestones` are epochs (schedule `step`); `warmup` is a number of epochs of linear warm-up; `precision` is what
    the forward and backward pass compute in (`auto` is resolved before the key is taken). `compact`: masked networks
    are trained without the channels that their masks leave without use (`pabench.networks.compact`). `cuda_graphs`:
    steps are recorded (`pabench.training.graphs`). Where these two are false they are in no hash: studies of a time
    before them keep their keys.
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
    compact: bool = False
    cuda_graphs: bool = False

    def identity(self) -> dict[str, Any]:
        told = {**{one.name: getattr(self, one.name) for one in fields(self)}, "augment": vars(self.augment)}
        return {key: value for key, value in told.items() if value or key not in ("compact", "cuda_graphs")}

    @cached_property
    def plain(self) -> dict[str, Any]:
        return self.identity()


@dataclass(frozen=True)
class TrainSpec(Identified):
    """How a masked network is trained, by the name of the method (`pabench.training.sparse`).

    `given` is what the suite says and makes the label; `args` are all parameters, defaults included, and `version` is
    that of the method. `plain` trains under the mask as it is, and is in no hash and in no record.
    """

    name: str = "plain"
    given: Mapping[str, Any] = field(default_factory=dict)
    args: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0

    @property
    def is_plain(self) -> bool:
        return self.name == "plain"

    @cached_property
    def label(self) -> str:
        return labelled(self.name, dict(sorted(self.given.items())))

    def identity(self) -> dict[str, Any]:
        return {"name": self.name, "args": dict(self.args), "version": self.version}


PLAIN = TrainSpec()
AUTO = "auto"
"""Each criterion is scored in the type that it needs."""


@dataclass(frozen=True)
class Scoring(Identified):
    """How scores are computed: `dtype` float64 or float32, and what happens to a degenerate ranking (mark | refuse).

    `because` says who chose the type: "" the suite; `criterion`: it leaves the choice open, and the need of the
    criterion decides; `network`: float32 does for the criterion, and the check found that it does not hold its scores
    on this network; `dense`: nothing is scored. It is in no hash.
    `include` names in alphabetical order what is prunable besides convolutions and linear layers (attention,
    recurrent). `batch`: so many images are in one graph at most; with BatchNorm in train mode they are normalised by
    their own statistics, and losses are added up (0: a whole scoring batch). Where nothing is included, or no such
    number is given, it is in no hash and in no record.
    """

    dtype: str = "float64"
    degenerate: str = "mark"
    include: tuple[str, ...] = ()
    batch: int = 0
    because: str = ""

    @property
    def asked(self) -> str:
        """What the suite says of the type: one that every cell has, whatever each criterion needs."""
        return AUTO if self.because else self.dtype

    @property
    def scores(self) -> dict[str, Any]:
        """What of it can change a score."""
        told = {"include": list(self.include), "batch": self.batch}
        return {"dtype": self.dtype, **{key: value for key, value in told.items() if value}}

    def identity(self) -> dict[str, Any]:
        return {**self.scores, "degenerate": self.degenerate}

    @cached_property
    def plain(self) -> dict[str, Any]:
        return {**self.identity(), **({"because": self.because} if self.because else {})}


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


@dataclass(frozen=True)
class MetricSpec:
    """A metric by name with all parameters; `version` and `source` (SHA-256 of the defining file) come from the class.

    `stage` (mask, pair, training), `title` and `unit` say what it is about and are no part of its identity.
    """

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    source: str = ""
    stage: str = "mask"
    title: str = ""
    unit: str = ""

    @property
    def identity(self) -> str:
        """Hash of everything that can change a number."""
        return digest(["metric", self.name, dict(self.args), self.version, self.source])

    def column(self, number: str) -> str:
        """What tables call one of its numbers: `ntk.trace`; the number that bears the metric's name, by that name.

        >>> MetricSpec("ntk").column("trace"), MetricSpec("effective_density").column("effective_density")
        ('ntk.trace', 'effective_density')
        """
        return self.name if number == self.name else f"{self.name}.{number}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
