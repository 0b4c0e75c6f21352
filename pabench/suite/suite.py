"""YAML to a validated `Suite`: every error at once, each one line with file, line and column."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Discriminator, Field, PrivateAttr, Tag, ValidationError, WithJsonSchema

from pabench.errors import SuiteError, did_you_mean
from pabench.suite.entries import (
    STRICT,
    AugmentEntry,
    Criterion,
    Dataset,
    Metric,
    Model,
    ModelEntry,
    RecipeEntry,
    StepSchedule,
)
from pabench.suite.findings import add_duplicates, add_findings
from pabench.suite.override import override
from pabench.suite.yaml import MAX_BYTES, Tree, decode, printable, read, shown

SCHEMA_URI = "https://json-schema.org/draft/2020-12/schema"


def _fraction(sparsity: float) -> float:
    if not 0 <= sparsity < 1:
        raise ValueError(f"must be at least 0 and less than 1, not {sparsity:g}; 0.9 removes 90 % of the weights")
    return sparsity + 0.0  # -0.0 is 0.0


def _list_or_count(value: Any) -> str:
    return "<list>" if isinstance(value, list | tuple) else "<count>"


Some = Field(strict=False, min_length=1)  # a list of YAML is no tuple, so not strict; its items are
Sparsity = Annotated[
    float, AfterValidator(_fraction), WithJsonSchema({"type": "number", "minimum": 0, "exclusiveMaximum": 1})
]
Ablation = Literal["shuffle", "reinit", "invert", "random_labels", "shuffled_pixels"]
Kind = Literal["attention", "recurrent"]
Seeds = Annotated[
    Annotated[Annotated[int, Field(ge=1, le=10**9)], Tag("<count>")]
    | Annotated[Annotated[tuple[Annotated[int, Field(ge=0)], ...], Some], Tag("<list>")],
    Discriminator(_list_or_count),
]


def _each_once(kinds: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"a kind a second time in {', '.join(kinds)}; name each once")
    return kinds


class ScoringEntry(BaseModel):
    """How scores are computed, and what becomes of a ranking that says nothing."""

    model_config = STRICT

    dtype: Literal["float64", "float32"] = Field(
        default="float64", description="float32 halves memory, and masks depend on it"
    )
    degenerate: Literal["mark", "refuse"] = Field(
        default="mark", description="mark: train and flag; refuse: skip the cell"
    )
    include: Annotated[tuple[Kind, ...], Field(strict=False), AfterValidator(_each_once)] = Field(
        default=(), description="Weights that are prunable besides those of convolutions and linear layers"
    )


class Suite(BaseModel):
    """A benchmark: every dataset with every model, criterion, sparsity and seed, trained by one recipe.

    A sparsity of 0 stands for the dense baseline, trained once a block; without it there is no baseline.
    """

    model_config = STRICT

    protocol: Literal["pai-v1"] = Field(description="The rules that results are comparable under")
    title: str = Field(default="", description="Heading of the report")
    datasets: Annotated[tuple[Dataset, ...], Some]
    models: Annotated[tuple[Model, ...], Some]
    criteria: Annotated[tuple[Criterion, ...], Some]
    sparsities: Annotated[tuple[Sparsity, ...], Some] = Field(description="Removed fractions; 0: the dense baseline")
    ablations: Annotated[tuple[Ablation, ...], Field(strict=False)] = Field(
        default=(), description="Sanity checks: cells beside those of every criterion that differ in one thing"
    )
    seeds: Seeds = Field(description="3 means 0, 1 and 2; a list names them")
    recipe: RecipeEntry
    scoring: ScoringEntry = ScoringEntry()
    metrics: Annotated[tuple[Metric, ...], Field(strict=False)] = Field(
        default=(), description="Dear metrics to compute, or other parameters of cheap ones, which are always computed"
    )
    plugins: Annotated[tuple[str, ...], Field(strict=False)] = Field(default=(), description="Files beside the suite")
    _tree: Tree = PrivateAttr(default_factory=lambda: Tree(file="suite"))
    _text: str = PrivateAttr(default="")

    @property
    def file(self) -> str:
        """The file as it was named to `load` or `parse`."""
        return self._tree.file

    @property
    def text(self) -> str:
        """The YAML as it was read, without overrides."""
        return self._text

    @property
    def seed_values(self) -> Sequence[int]:
        """The seeds themselves; a range where the suite gives their number."""
        return range(self.seeds) if isinstance(self.seeds, int) else self.seeds

    def where(self, *path: str | int) -> str:
        """`file:line:column` of a part of the suite, e.g. `where("criteria", 5, "steps")`; `--set a.b` if set there."""
        return self._tree.where(path)


_MODELS: dict[str, type[BaseModel]] = {
    "": Suite,
    "models": ModelEntry,
    "recipe": RecipeEntry,
    "recipe.augment": AugmentEntry,
    "recipe.schedule": StepSchedule,
    "scoring": ScoringEntry,
}


def load(path: str | Path, overrides: Sequence[str] = ()) -> Suite:
    """The suite in a file, after `--set` overrides; a `SuiteError` holds all findings."""
    tree = Tree(file=str(path))
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SuiteError(printable(f"{path}: cannot be read: {reason}; expected a suite in YAML")) from None
    text = decode(data, tree)
    tree.raise_findings()
    return _validated(text, tree, overrides)


def parse(text: str, file: str, overrides: Sequence[str] = ()) -> Suite:
    """The suite in a text; `file` is what messages call it."""
    return _validated(text, Tree(file=file), overrides)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a suite, for editors; ranges and names are in it, rules between two keys are not."""
    schema = Suite.model_json_schema()
    return {"$schema": SCHEMA_URI, **schema, "title": "A pabench suite"}


def find(name_or_path: str) -> Path:
    """The file of a suite: a path, or the name of a suite that comes with pabench."""
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = {file.stem: file for file in Path(str(resources.files("pabench_suites"))).glob("*.yaml")}
    if name_or_path in shipped:
        return shipped[name_or_path]
    what = "file" if path.suffix in (".yaml", ".yml") or len(path.parts) > 1 else "suite"
    raise SuiteError(printable(f"no {what} {name_or_path!r}; {did_you_mean(path.stem, shipped)}"))


def _validated(text: str, tree: Tree, overrides: Sequence[str]) -> Suite:
    read(text, tree)
    if not isinstance(tree.value, dict):
        if not tree.findings:
            tree.find((), f"expected a mapping, not {shown(tree.value)}; a suite starts with `protocol: pai-v1`")
        tree.raise_findings()
    for number, assignment in enumerate(overrides, 1):
        override(tree, assignment, number)
    try:
        suite = Suite.model_validate(tree.value)
    except ValidationError as error:
        add_findings(tree, error, _MODELS)
    for kind in ("datasets", "models", "criteria", "sparsities", "ablations", "seeds", "metrics"):
        add_duplicates(tree, kind)
    tree.raise_findings()
    for kind in ("datasets", "models", "criteria", "metrics"):
        for i, entry in enumerate(getattr(suite, kind)):
            entry.stands(tree, (kind, i))
    suite._tree, suite._text = tree, text
    return suite
