"""What a suite says: the datasets, models, criteria and metrics that it lists, and its recipe.

Each item is a bare name or a mapping with a name; `RecipeEntry.build` gives the plain `pabench.suite.specs.Recipe`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from pabench.suite.cell import NAME
from pabench.suite.specs import Augment, Recipe
from pabench.suite.yaml import Path, Tree, shown

STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)


def _plain_name(name: str) -> str:
    if "@" in name:
        raise ValueError(f"{shown(name)} has a variant, which only a criterion can have; remove the part from @ on")
    return _variant_name(name)


def _variant_name(name: str) -> str:
    parts = name.split("@")
    if len(parts) > 2 or not all(NAME.fullmatch(part) for part in parts):
        raise ValueError(
            f"{shown(name)} is no name; expected a letter or digit, then up to 63 of letters, digits, ._+-"
        )
    return name


def is_path(text: str) -> bool:
    """Whether a file could be called so: 255 bytes a name, 4,095 in all, and no NUL, as Linux has it."""
    names = [len(name.encode("utf-8", "surrogatepass")) for name in text.split("/")]
    return "\0" not in text and max(names) <= 255 and sum(names) + len(names) <= 4_096


def _path(text: str) -> str:
    if not is_path(text):
        raise ValueError(f"{shown(text)} can be no path: a name has up to 255 bytes, all of it 4,095, and no NUL")
    return text


def _named(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, dict | BaseModel):
        raise ValueError(f"expected a name or a mapping with a name, not {shown(value)}")
    if isinstance(value, dict) and "name" not in value and len(value) == 1:
        ((name, inner),) = value.items()
        if isinstance(inner, dict | None):
            beside = "".join(f", {key}: ..." for key in list(inner or ())[:1])
            raise ValueError(f"expected the name beside its parameters: {{name: {shown(name)}{beside}}}")
    return value


def _text(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


PlainName = Annotated[str, AfterValidator(_plain_name), _text(f"^{NAME.pattern}$")]
PathText = Annotated[str, AfterValidator(_path)]
VariantName = Annotated[str, AfterValidator(_variant_name), _text(f"^{NAME.pattern}(@{NAME.pattern})?$")]


class Entry(BaseModel):
    """One item of `datasets`, `models`, `criteria` or `metrics`; it knows where in the suite it stands."""

    model_config = STRICT | ConfigDict(extra="allow")

    name: PlainName
    _tree: Tree = PrivateAttr(default_factory=lambda: Tree(file="suite"))
    _path: Path = PrivateAttr(default=())

    @property
    def params(self) -> dict[str, Any]:
        """What the suite says of it besides the keys that all entries of its kind have."""
        return dict(self.model_extra or {})

    def find(self, problem: str, *path: str | int) -> None:
        """Add a finding about the entry, or about what is inside it, to those of its suite."""
        self._tree.add((*self._path, *path), problem)

    def stands(self, tree: Tree, path: Path) -> None:
        """Tell the entry its place; called once, by the suite."""
        self._tree, self._path = tree, path


class DatasetEntry(Entry):
    """A data set: its name, where it lies, and further keys that are its parameters."""

    name: PlainName = Field(description="As `pabench list datasets` has it", examples=["digits"])
    path: PathText = Field(
        default="",
        description="Where it lies, from the folder that pabench is started in; without it $PABENCH_DATA/NAME, or "
        "~/.cache/pabench/data/NAME. No part of its identity: that is its content",
        examples=["~/data/cifar10"],
    )


class ModelEntry(Entry):
    """A timm model; `stem: cifar` adapts it to small images, `zeros: redrawn` draws layers that start at 0,
    `init: pretrained` begins with trained weights, `args` go to `timm.create_model`."""

    model_config = ConfigDict(extra="forbid")

    name: PlainName = Field(description="Any classification model of timm", examples=["resnet20"])
    stem: Literal["", "cifar"] = Field(
        default="", description="cifar: a stem for images of about 32 pixels", examples=["cifar"]
    )
    zeros: Literal["", "redrawn"] = Field(
        default="",
        description="redrawn: draw weights and scales that start at 0, where nothing can be scored",
        examples=["redrawn"],
    )
    args: dict[str, Any] = Field(
        default={}, description="Arguments of timm.create_model", examples=[{"zero_init_last": False}]
    )
    init: Literal["", "pretrained"] = Field(
        default="",
        description="pretrained: weights of `checkpoint`, else timm's own, which must be on this machine",
        examples=["pretrained"],
    )
    checkpoint: PathText = Field(
        default="",
        description="With init: pretrained, a file of safetensors or a state dict that torch.save wrote",
        examples=["trained.safetensors"],
    )

    @field_validator("checkpoint")
    @classmethod
    def _of_pretrained(cls, checkpoint: str, info: ValidationInfo) -> str:
        if checkpoint and info.data.get("init") != "pretrained":
            raise ValueError("only a model with init: pretrained has a checkpoint; add that, or leave the file out")
        return checkpoint


class CriterionEntry(Entry):
    """A criterion, `name` or `name@variant`, and further keys that are its parameters."""

    name: VariantName = Field(description="As `pabench list criteria` has it", examples=["random"])


class MetricEntry(Entry):
    """A metric by name, and further keys that are its parameters."""

    name: PlainName = Field(description="As `pabench list metrics` has it", examples=["ntk"])


class TrainEntry(Entry):
    """A way to train masked networks by name, and further keys that are its parameters."""

    name: PlainName = Field(description="plain, signin, rigl or set", examples=["plain"])


Dataset = Annotated[DatasetEntry, BeforeValidator(_named, json_schema_input_type=str | DatasetEntry)]
Model = Annotated[ModelEntry, BeforeValidator(_named, json_schema_input_type=str | ModelEntry)]
Criterion = Annotated[CriterionEntry, BeforeValidator(_named, json_schema_input_type=str | CriterionEntry)]
Metric = Annotated[MetricEntry, BeforeValidator(_named, json_schema_input_type=str | MetricEntry)]
Train = Annotated[TrainEntry, BeforeValidator(_named, json_schema_input_type=str | TrainEntry)]


# --- The recipe -------------------------------------------------------------------------------------------------------

_DEFAULT = Recipe()


def _mapping_or_word(value: Any) -> str:
    """The branch of a field that takes a word or a mapping (`pabench.suite.findings.BRANCHES`)."""
    return "<mapping>" if isinstance(value, dict | BaseModel) else "<word>"


class StepSchedule(BaseModel):
    """The learning rate is multiplied by `gamma` at each of these epochs."""

    model_config = STRICT

    step: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1)] = Field(
        description="Epochs, increasing, e.g. [80, 120]", examples=[[80, 120]]
    )

    @field_validator("step")
    @classmethod
    def _increasing(cls, step: tuple[int, ...]) -> tuple[int, ...]:
        if any(a >= b for a, b in pairwise(step)):
            raise ValueError(f"the epochs {list(step)} do not increase; sort them and name each once")
        return step


class AugmentEntry(BaseModel):
    """Training-time augmentation; what is not named is off."""

    model_config = STRICT

    crop: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Pixels of zero padding before a random crop", examples=[4]
    )
    flip: bool = Field(default=False, description="Horizontal flip with probability 1/2", examples=[True])
    cutout: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Side in pixels of a square set to 0", examples=[16]
    )


class RecipeEntry(BaseModel):
    """How every masked network, and the dense one, is trained."""

    model_config = STRICT

    epochs: Annotated[int, Field(ge=1)] = Field(description="Passes over the training data", examples=[160])
    batch_size: Annotated[int, Field(ge=2)] = Field(
        default=_DEFAULT.batch_size, description="Images in a step; BatchNorm needs at least 2", examples=[128]
    )
    optimizer: Literal["sgd", "adamw"] = Field(
        default="sgd", description="sgd (momentum, nesterov) or adamw", examples=["adamw"]
    )
    lr: Annotated[float, Field(gt=0)] = Field(
        default=_DEFAULT.lr, description="Learning rate at its highest", examples=[0.1]
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=_DEFAULT.momentum, description="Of sgd", examples=[0.9]
    )
    nesterov: bool = Field(default=_DEFAULT.nesterov, description="Of sgd with momentum", examples=[True])
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        default=_DEFAULT.weight_decay, description="Pulls every parameter towards 0 in each step", examples=[5e-4]
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=_DEFAULT.label_smoothing, description="Share of each label spread over all classes", examples=[0.1]
    )
    schedule: Annotated[
        Annotated[Literal["constant", "cosine"], Tag("<word>")] | Annotated[StepSchedule, Tag("<mapping>")],
        Discriminator(_mapping_or_word),
    ] = Field(
        default="constant",
        description="constant, cosine (to 0 at the last step), or {step: [80, 120]}",
        examples=[{"step": [80, 120]}],
    )
    gamma: Annotated[float, Field(gt=0, le=1)] = Field(
        default=_DEFAULT.gamma, description="Factor of {step: ...}", examples=[0.1]
    )
    warmup: Annotated[float, Field(ge=0)] = Field(
        default=_DEFAULT.warmup, description="Epochs of linear warm-up", examples=[5]
    )
    augment: Annotated[
        Annotated[Literal["auto", "none"], Tag("<word>")] | Annotated[AugmentEntry, Tag("<mapping>")],
        Discriminator(_mapping_or_word),
    ] = Field(
        default="auto",
        description="auto (the data set's own), none, or {crop: 4, flip: true, cutout: 0}",
        examples=[{"crop": 4, "flip": True}],
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="What training computes in; auto depends on the device", examples=["float32"]
    )
    channels_last: bool = Field(
        default=_DEFAULT.channels_last, description="Lay images and weights out as NHWC", examples=[False]
    )
    compile: bool = Field(
        default=_DEFAULT.compile, description="torch.compile the network before it is trained", examples=[True]
    )
    compact: bool = Field(
        default=True, description="Train without the channels that a mask leaves without use", examples=[False]
    )
    cuda_graphs: bool = Field(
        default=False, description="On a GPU record a step and replay it: not timed yet", examples=[True]
    )

    @field_validator("momentum")
    @classmethod
    def _of_sgd(cls, momentum: float, info: ValidationInfo) -> float:
        if info.data.get("optimizer") == "adamw":
            raise ValueError("adamw has no momentum; remove it, or use optimizer: sgd")
        return momentum

    @field_validator("nesterov")
    @classmethod
    def _with_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and (info.data.get("optimizer") == "adamw" or info.data.get("momentum") == 0):
            raise ValueError("nesterov needs optimizer: sgd and a momentum above 0")
        return nesterov

    @field_validator("schedule")
    @classmethod
    def _before_the_end(cls, schedule: str | StepSchedule, info: ValidationInfo) -> str | StepSchedule:
        epochs = info.data.get("epochs")
        if epochs and isinstance(schedule, StepSchedule) and schedule.step[-1] >= epochs:
            raise ValueError(f"the step at epoch {schedule.step[-1]} is never reached in {epochs} epochs; lower it")
        return schedule

    @field_validator("gamma")
    @classmethod
    def _of_steps(cls, gamma: float, info: ValidationInfo) -> float:
        if isinstance(info.data.get("schedule"), str):
            raise ValueError("only schedule: {step: [...]} has a gamma; remove it")
        return gamma

    @field_validator("warmup")
    @classmethod
    def _shorter_than_training(cls, warmup: float, info: ValidationInfo) -> float:
        if warmup >= info.data.get("epochs", float("inf")):
            raise ValueError(f"{warmup:g} epochs of warm-up in {info.data['epochs']} epochs; make it shorter")
        return warmup

    def build(self, *, augment: Augment, precision: str) -> Recipe:
        """The recipe of one dataset: `augment` replaces `augment: auto`, `precision` replaces `precision: auto`."""
        steps = self.schedule.step if isinstance(self.schedule, StepSchedule) else None
        if isinstance(self.augment, AugmentEntry):
            augment = Augment(**self.augment.model_dump())
        elif self.augment == "none":
            augment = Augment()
        recipe = Recipe(**self.model_dump(exclude={"schedule", "augment", "precision"}))
        return replace(
            recipe,
            schedule="step" if steps else str(self.schedule),
            milestones=steps or (),
            augment=augment,
            precision=precision if self.precision == "auto" else self.precision,
        )
