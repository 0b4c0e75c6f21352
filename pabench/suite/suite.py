"""YAML to a validated `Suite`: every error at once, each one line with file, line and column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationError,
    WithJsonSchema,
)

from pabench import catalogue
from pabench.errors import SuiteError, did_you_mean
from pabench.suite.entries import (
    STRICT,
    AugmentEntry,
    Criterion,
    CriterionEntry,
    Dataset,
    DatasetEntry,
    Entry,
    Metric,
    MetricEntry,
    Model,
    ModelEntry,
    PathText,
    PlainName,
    RecipeEntry,
    StepSchedule,
    Train,
    TrainEntry,
    is_path,
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


MAX_ENTRIES = 1_000
"""Of datasets, models, criteria or metrics: each is made and looked at before anything runs."""
Some = Field(strict=False, min_length=1)  # a list of YAML is no tuple, so not strict; its items are
Few = Field(strict=False, min_length=1, max_length=MAX_ENTRIES)
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


def _listed(value: Any) -> Any:
    """A single entry is a list of one."""
    return [value] if isinstance(value, str | dict) else value


def _each_once(kinds: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"a kind a second time in {', '.join(kinds)}; name each once")
    return kinds


class ScoringEntry(BaseModel):
    """How scores are computed, and what becomes of a ranking that says nothing."""

    model_config = STRICT

    dtype: Literal["auto", "float64", "float32"] = Field(
        default="auto",
        description="What scores are computed in; auto: float32 where it gives the masks of float64, by criterion and "
        "network",
        examples=["float64"],
    )
    degenerate: Literal["mark", "refuse"] = Field(
        default="mark",
        description="What becomes of a ranking that says nothing; mark: train and flag; refuse: skip the cell",
        examples=["refuse"],
    )
    include: Annotated[tuple[Kind, ...], Field(strict=False), AfterValidator(_each_once)] = Field(
        default=(),
        description="Weights that are prunable besides those of convolutions and linear layers",
        examples=[["attention"]],
    )
    batch: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Images in one graph at most, which bounds the memory; 0: all images of a scoring batch",
        examples=[16],
    )


class Suite(BaseModel):
    """A benchmark: every dataset with every model, criterion, sparsity and seed, trained by one recipe.

    A sparsity of 0 stands for the dense baseline, trained once a block; without it there is no baseline.
    """

    model_config = STRICT

    protocol: Literal["pai-v1"] = Field(description="The rules that results are comparable under", examples=["pai-v1"])
    title: str = Field(default="", description="Heading of the report", examples=["My first study"])
    datasets: Annotated[tuple[Dataset, ...], Few] = Field(
        description="What is trained on: names, or mappings with a name", examples=[["digits"]]
    )
    models: Annotated[tuple[Model, ...], Few] = Field(
        description="What is pruned: names, or mappings with a name", examples=[["resnet20"]]
    )
    criteria: Annotated[tuple[Criterion, ...], Few] = Field(
        description="What chooses the weights: names, or mappings with a name and parameters", examples=[["random"]]
    )
    sparsities: Annotated[tuple[Sparsity, ...], Some] = Field(
        description="Removed fractions; 0: the dense baseline", examples=[[0, 0.9]]
    )
    ablations: Annotated[tuple[Ablation, ...], Field(strict=False)] = Field(
        default=(),
        description="Sanity checks: cells beside those of every criterion that differ in one thing",
        examples=[["shuffle"]],
    )
    train: Annotated[
        tuple[Train, ...], BeforeValidator(_listed, json_schema_input_type=Train | tuple[Train, ...]), Few
    ] = Field(
        default=(TrainEntry(name="plain"),),
        description="How masked networks are trained: plain, signin, rigl or set, one or a list; the dense one plainly",
        examples=[["plain", "rigl"]],
    )
    seeds: Seeds = Field(description="3 means 0, 1 and 2; a list names them", examples=[3])
    recipe: RecipeEntry = Field(description="How every network is trained", examples=[{"epochs": 160}])
    scoring: ScoringEntry = Field(
        default=ScoringEntry(), description="How scores are computed", examples=[{"dtype": "float64"}]
    )
    metrics: Annotated[tuple[Metric, ...], Field(strict=False, max_length=MAX_ENTRIES)] = Field(
        default=(),
        description="Dear metrics to compute, or other parameters of cheap ones, which are always computed",
        examples=[["ntk"]],
    )
    skip_metrics: Annotated[tuple[PlainName, ...], Field(strict=False)] = Field(
        default=(), description="Metrics that are not computed, cheap ones included", examples=[["gradient_norm"]]
    )
    timeout: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Seconds that a training, a scoring or a measurement may take before it is ended; without it ten "
        "times the estimate, at least ten minutes",
        examples=[7200],
    )
    plugins: Annotated[tuple[PathText, ...], Field(strict=False)] = Field(
        default=(),
        description="Files with criteria, datasets or metrics of your own, from the folder of the suite",
        examples=[["mine.py"]],
    )
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

    @property
    def findings(self) -> bool:
        """Whether anything is known to be wrong with it."""
        return bool(self._tree.findings)

    def where(self, *path: str | int) -> str:
        """`file:line:column` of a part of the suite, e.g. `where("criteria", 5, "steps")`; `--set a.b` if set there."""
        return self._tree.where(path)

    def find(self, problem: str, *path: str | int) -> None:
        """Add a finding about a part of the suite."""
        self._tree.add(path, problem)

    def raise_findings(self) -> None:
        """A `SuiteError` of all that was found wrong, one line each, in the order of the file."""
        self._tree.raise_findings()


_ENTRIES: dict[str, type[Entry]] = {
    "datasets": DatasetEntry,
    "models": ModelEntry,
    "criteria": CriterionEntry,
    "metrics": MetricEntry,
    "train": TrainEntry,
}
_MODELS: dict[str, type[BaseModel]] = {
    "": Suite,
    **_ENTRIES,
    "recipe": RecipeEntry,
    "recipe.augment": AugmentEntry,
    "recipe.schedule": StepSchedule,
    "scoring": ScoringEntry,
}


def load(path: str | Path, overrides: Sequence[str] = ()) -> Suite:
    """The suite in a file, after `--set` overrides; a `SuiteError` holds all findings."""
    suite = draft(path, overrides)
    suite.raise_findings()
    return suite


def draft(path: str | Path, overrides: Sequence[str] = ()) -> Suite:
    """As `load`, but where something is wrong with it, what stands of it: `grid.cells` checks that, and tells all at
    once. SuiteError where nothing of it can be read."""
    tree = Tree(file=str(path))
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SuiteError(printable(f"{path}: cannot be read: {reason}; expected a suite in YAML")) from None
    text = decode(data, tree)
    tree.raise_findings()
    return _drafted(text, tree, overrides)


def parse(text: str, file: str, overrides: Sequence[str] = ()) -> Suite:
    """The suite in a text; `file` is what messages call it."""
    suite = _drafted(text, Tree(file=file), overrides)
    suite.raise_findings()
    return suite


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a suite, for editors; ranges and names are in it, rules between two keys are not."""
    schema = Suite.model_json_schema()
    return {"$schema": SCHEMA_URI, **schema, "title": "A pabench suite"}


def find(name_or_path: str) -> Path:
    """The file of a suite: a path, or the name of a suite that comes with pabench.

    The file of a claim (`pabench.leaderboard.claims`) is one, too: that of the suite inside.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = catalogue.suites()
    if name_or_path in shipped:
        return shipped[name_or_path]
    if kind := catalogue.kind_of(name_or_path):
        raise SuiteError(printable(f"no suite {name_or_path!r}: it is a {kind}; {_MEANT[kind].format(name_or_path)}"))
    what = "file" if path.suffix in (".yaml", ".yml") or len(path.parts) > 1 else "suite"
    raise SuiteError(printable(f"no {what} {name_or_path!r}; {did_you_mean(path.stem, shipped)}"))


_MEANT = {
    "model": "a study of it: pabench run quickstart --set 'models=[{0}]'; to score it: pabench score {0} -c snip",
    "criterion": "a study of it: pabench run quickstart -c random -c {0}",
    "dataset": "a study on it: pabench run quickstart --set 'datasets=[{0}]'",
    "metric": "a study with it: pabench run quickstart --set 'metrics=[{0}]'",
}
"""What was probably meant by a name that is no suite's."""


def _drafted(text: str, tree: Tree, overrides: Sequence[str]) -> Suite:
    read(text, tree)
    if isinstance(tree.value, dict) and isinstance(tree.value.get("suite"), dict) and "claim" in tree.value:
        tree = tree.within("suite")
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
        suite = _standing(tree.value)
    for kind in ("datasets", "models", "criteria", "sparsities", "ablations", "seeds", "metrics", "train"):
        add_duplicates(tree, kind)
    for kind in _ENTRIES:
        valid = iter(getattr(suite, kind))
        for i, item in enumerate(_items(tree.value, kind)):
            if _entry(kind, item):
                next(valid).stands(tree, (kind, i))
    suite._tree, suite._text = tree, text
    return suite


def _standing(value: dict[str, Any]) -> Suite:
    """What is valid of an invalid suite: the entries one by one, the recipe, the plugins; the rest is empty."""
    try:
        recipe = RecipeEntry.model_validate(value.get("recipe"))
    except ValidationError:
        recipe = None
    entries: dict[str, Any] = {
        kind: tuple(filter(None, (_entry(kind, item) for item in _items(value, kind)))) for kind in _ENTRIES
    }
    plugins = tuple(text for text in _items(value, "plugins") if isinstance(text, str) and is_path(text))
    return Suite.model_construct(**entries, recipe=recipe, plugins=plugins, sparsities=(), seeds=())


def _items(value: dict[str, Any], kind: str) -> list[Any]:
    found = _listed(value.get(kind)) if kind == "train" else value.get(kind)
    return found[:MAX_ENTRIES] if isinstance(found, list) else []


def _entry(kind: str, item: Any) -> Entry | None:
    """The entry of a list, None where it is invalid."""
    try:
        return _ENTRIES[kind].model_validate({"name": item} if isinstance(item, str) else item)
    except ValidationError:
        return None
