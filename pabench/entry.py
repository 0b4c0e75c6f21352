"""What a suite lists: datasets, models, criteria and metrics, each by a bare name or by a mapping with a name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, WithJsonSchema

from pabench.cell import NAME
from pabench.errors import SuiteError
from pabench.yamlfile import Path, Tree, shown

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


def _named(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, dict | BaseModel):
        raise ValueError(f"expected a name or a mapping with a name, not {shown(value)}")
    return value


def _text(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


PlainName = Annotated[str, AfterValidator(_plain_name), _text(f"^{NAME.pattern}$")]
VariantName = Annotated[str, AfterValidator(_variant_name), _text(f"^{NAME.pattern}(@{NAME.pattern})?$")]


class Entry(BaseModel):
    """One item of `datasets`, `models`, `criteria` or `metrics`; it knows where in the suite it stands."""

    model_config = STRICT | ConfigDict(extra="allow")

    name: PlainName
    _tree: Tree = PrivateAttr(default_factory=lambda: Tree(file="suite"))
    _path: Path = PrivateAttr(default=())

    def where(self, *path: str | int) -> str:
        """`file:line:column` of the entry, or of what is inside it: `where("steps")`."""
        return self._tree.where((*self._path, *path))

    def error(self, problem: str, *path: str | int) -> SuiteError:
        """An error about the entry, or about what is inside it, that names its place in the suite."""
        return SuiteError(self._tree.line((*self._path, *path), problem))

    def stands(self, tree: Tree, path: Path) -> None:
        """Tell the entry its place; called once, by the suite."""
        self._tree, self._path = tree, path


class DatasetEntry(Entry):
    """A data set: its name, where it lies, and further keys that are its parameters."""

    path: str = Field(default="", description="Where it lies; no part of its identity")

    @property
    def args(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class ModelEntry(Entry):
    """A timm model; `stem: cifar` adapts it to small images, `zeros: redrawn` draws layers that start at 0, `args` go
    to `timm.create_model`."""

    model_config = ConfigDict(extra="forbid")

    stem: Literal["", "cifar"] = Field(default="", description="cifar: a stem for images of about 32 pixels")
    zeros: Literal["", "redrawn"] = Field(
        default="", description="redrawn: draw weights and scales that start at 0, where nothing can be scored"
    )
    args: dict[str, Any] = Field(default={}, description="Arguments of timm.create_model")


class CriterionEntry(Entry):
    """A criterion, `name` or `name@variant`, and further keys that are its parameters."""

    name: VariantName

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class MetricEntry(Entry):
    """A metric by name, and further keys that are its parameters."""

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


Dataset = Annotated[DatasetEntry, BeforeValidator(_named, json_schema_input_type=str | DatasetEntry)]
Model = Annotated[ModelEntry, BeforeValidator(_named, json_schema_input_type=str | ModelEntry)]
Criterion = Annotated[CriterionEntry, BeforeValidator(_named, json_schema_input_type=str | CriterionEntry)]
Metric = Annotated[MetricEntry, BeforeValidator(_named, json_schema_input_type=str | MetricEntry)]
