"""Claims of papers: a sentence, the suite that tests it, and what its results must show, fixed before it runs.

A claim is a YAML file; its tests are statements (`statements`) on numbers of a study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from markupsafe import Markup
from pydantic import BaseModel, Field, PrivateAttr, ValidationError, model_validator

from pabench.errors import MissingError, SuiteError, did_you_mean
from pabench.leaderboard.statements import (
    ACCURACY,
    CONFIRMED,
    CONTRADICTED,
    NOT_RUN,
    NOT_SEPARABLE,
    Bound,
    Finding,
    Near,
    Order,
    Statement,
    Who,
    finding,
)
from pabench.report.folders import read
from pabench.report.page import TEMPLATES, Rendered, page
from pabench.report.section import templates
from pabench.report.study import Study
from pabench.statistics.outcomes import DECLINED, FAILED, MISSING, TRAINED
from pabench.store.store import Store
from pabench.suite import suite as suites
from pabench.suite.entries import STRICT
from pabench.suite.findings import add_findings
from pabench.suite.specs import CriterionSpec, MetricSpec, ordered
from pabench.suite.suite import Some, Suite
from pabench.suite.yaml import MAX_BYTES, Tree, decode, printable, read as read_yaml, shown
from pabench.words import plain

NO_DATA, NO_GPU = "data missing", "needs a GPU"
RESULTS = Path("results/claims")
"""The folder of results folders, one a suite."""
SHARES = {"ties": ("tied_at_threshold", "total"), "zero_scores": ("zero_scores", "total")}
"""Quantities of receipts: weights that share the lowest kept score, and scores of the dense network that are 0, in
parts of all prunable weights."""


# --- The file ---------------------------------------------------------------------------------------------------------


class Test(BaseModel):
    """One statement."""

    __test__ = False  # not a test class of pytest

    model_config = STRICT

    order: Order | None = None
    near: Near | None = None
    bound: Bound | None = None

    @model_validator(mode="after")
    def _one(self) -> Test:
        if len(self.model_fields_set) != 1:
            raise ValueError("expected one statement: order, near or bound")
        return self

    @property
    def kind(self) -> str:
        return next(iter(self.model_fields_set))

    @property
    def statement(self) -> Order | Near | Bound:
        found: Order | Near | Bound = getattr(self, self.kind)
        return found


class Claim(BaseModel):
    """A claim as its file states it; its `tests` must all hold."""

    model_config = STRICT

    claim: str = Field(description="One plain sentence", examples=["SNIP is better than random pruning."])
    source: str = Field(description="arXiv number and place; ours: nobody published it", examples=["ours"])
    note: str = Field(default="", description="Where what is tested is not what the paper did")
    needs: Literal["nothing", "training", "gpu"] = Field(
        description="nothing: masks alone, on a CPU", examples=["nothing"]
    )
    suite: dict[str, Any] | str = Field(
        description="A suite written out, or the name of one, or of a claim whose suite and results it shares",
        examples=["quickstart"],
    )
    tests: Annotated[tuple[Test, ...], Some] = Field(
        examples=[[{"order": {"of": "accuracy", "higher": "random (allocation=erk)", "lower": "random"}}]]
    )
    _tree: Tree = PrivateAttr(default_factory=lambda: Tree(file="claim"))
    _suite: Suite | None = PrivateAttr(default=None)

    @property
    def file(self) -> Path:
        return Path(self._tree.file)

    @property
    def name(self) -> str:
        return self.file.stem

    @property
    def tested_by(self) -> Suite:
        """The suite that tests it. Its file is what `pabench run` takes."""
        assert self._suite is not None
        return self._suite

    def folder(self, results: Path = RESULTS) -> Path:
        """Its results folder: claims that share a suite share it."""
        return results / Path(self.tested_by.file).stem

    def check_quantities(self, metrics: Sequence[MetricSpec]) -> None:
        """SuiteError where a test is about a quantity that a study with these metrics cannot have."""
        stages = {spec.name: spec.stage for spec in metrics}
        known = (ACCURACY, *SHARES, *stages)
        for number, test in enumerate(self.tests):
            place = ("tests", number, test.kind, "of")
            name = test.statement.of.partition(".")[0]
            pair = isinstance(test.statement, Bound) and test.statement.beside is not None
            if name not in known:
                self._tree.add(place, f"no quantity {shown(name)}; {did_you_mean(name, known)}")
            elif (stages.get(name) == "pair") != pair:
                remedy = "one mask: leave out beside" if pair else "two masks: use bound, with who and beside"
                self._tree.add(place, f"{name} is of {remedy}")
            elif pair and any(who.ablation for who in test.statement.cells):
                self._tree.add(place, f"{name} is measured of plain cells alone: leave out the ablation")
        self._tree.raise_findings()


_SIDES: dict[str, type[Statement]] = {"order": Order, "near": Near, "bound": Bound}
_MODELS: dict[str, type[BaseModel]] = {
    "": Claim,
    "tests": Test,
    **{f"tests.{kind}": model for kind, model in _SIDES.items()},
    **{f"tests.{kind}.{side}": Who for kind, model in _SIDES.items() for side in model.sides},
}


def shipped() -> dict[str, Path]:
    """The claims that come with pabench, by name."""
    folder = Path(str(resources.files("pabench_suites"))) / "claims"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def find(name_or_path: str) -> Path:
    """The file of a claim: a path, or the name of one that comes with pabench."""
    path, known = Path(name_or_path), shipped()
    if path.is_file():
        return path
    if name_or_path not in known:
        raise SuiteError(printable(f"no claim {name_or_path!r}; {did_you_mean(path.stem, known)}"))
    return known[name_or_path]


def load(path: Path) -> Claim:
    """The claim in a file. SuiteError: all that is wrong with it, or with the suite written out in it, a line each."""
    tree = Tree(file=str(path))
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SuiteError(printable(f"{path}: cannot be read: {error.strerror}; expected a claim in YAML")) from None
    read_yaml(decode(data, tree), tree)
    tree.raise_findings()
    if not isinstance(tree.value, dict):
        tree.find((), f"expected a mapping, not {shown(tree.value)}; a claim starts with `claim: SENTENCE`")
        tree.raise_findings()
    try:
        claim = Claim.model_validate(tree.value)
    except ValidationError as error:
        add_findings(tree, error, _MODELS)
        tree.raise_findings()
        raise
    claim._tree = tree
    claim._suite = suites.load(path if isinstance(claim.suite, dict) else _suite_named(claim.suite, tree))
    _check_names(claim)
    tree.raise_findings()
    return claim


def _suite_named(name: str, tree: Tree) -> Path:
    """The file of a suite, or of the claim that has it."""
    try:
        return suites.find(name)
    except SuiteError as error:
        if name in (known := shipped()):
            return known[name]
        tree.find(("suite",), str(error))
        tree.raise_findings()
        raise


def _check_names(claim: Claim) -> None:
    """Findings where a test names what its suite has not."""
    suite, tree = claim.tested_by, claim._tree
    if len(suite.train) > 1:
        tree.add(("suite",), f"trained in {len(suite.train)} ways; a claim is about one: name it alone under train")
    labels = {ordered(CriterionSpec(entry.name, entry.params).label) for entry in suite.criteria}
    for number, test in enumerate(claim.tests):
        statement, place = test.statement, ("tests", number, test.kind)
        for side in statement.sides:
            who: Who | None = getattr(statement, side)
            if who and ordered(who.criterion) not in labels:
                wrong = f"no criterion {shown(who.criterion)} in its suite; {did_you_mean(who.criterion, labels)}"
                tree.add((*place, side), wrong)
            if who and who.ablation and who.ablation not in suite.ablations:
                tree.add((*place, side), f"no ablation {who.ablation} in its suite")
        for i, sparsity in enumerate(statement.sparsities or ()):
            if sparsity == 0 or sparsity not in suite.sparsities:
                pruned = ", ".join(f"{s:g}" for s in suite.sparsities if s)
                tree.add((*place, "sparsities", i), f"{sparsity:g} is no sparsity of its suite; known: {pruned}")


# --- What results say of it -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """A claim with its state, a finding for each test with the `values` that it rests on, and where these were
    computed; `why` says what a claim that was not run waits for."""

    claim: Claim
    state: str
    findings: Sequence[Finding] = ()
    values: Sequence[pd.DataFrame] = ()
    ran: str = ""
    why: str = ""

    @property
    def command(self) -> str:
        """What runs it."""
        known = shipped().get(self.claim.name) == self.claim.file
        return f"pabench claims {self.claim.name if known else self.claim.file} --run"

    def to_json(self) -> dict[str, Any]:
        """For programs, and for the table of docs/claims.md."""
        told = {key: getattr(self.claim, key) for key in ("name", "claim", "source", "note", "needs")}
        tests = [
            {
                "verdict": one.verdict,
                "said": one.said,
                "values": rows.astype(object).where(rows.notna(), None).to_dict("list"),
            }
            for one, rows in zip(self.findings, self.values, strict=True)
        ]
        return {**told, "state": self.state, "why": self.why, "ran": self.ran, "command": self.command, "tests": tests}


def judged(claim: Claim, results: Path = RESULTS) -> Judged:
    """What the results folder of a claim says of it. SuiteError: a test is about a quantity that nobody measures."""
    folder = claim.folder(results)
    try:
        study = read(folder)
    except MissingError:
        return Judged(claim, NOT_RUN)
    claim.check_quantities(study.metrics)
    store = Store(folder)
    values = [gathered(test.statement, study, lambda key: store.get("receipts", key)) for test in claim.tests]
    return by_values(claim, values, _ran(study))


def by_values(claim: Claim, values: Sequence[pd.DataFrame], ran: str) -> Judged:
    """What these values of each test say of it."""
    findings = [finding(test.statement, rows) for test, rows in zip(claim.tests, values, strict=True)]
    verdicts = [one.verdict for one in findings]
    state = CONFIRMED
    if set(verdicts) != {CONFIRMED}:
        state = next(one for one in (CONTRADICTED, NOT_RUN, NOT_SEPARABLE) if one in verdicts)
    return Judged(claim, state, findings, values, ran)


def waiting(one: Judged, gap: Callable[[Suite], str]) -> Judged:
    """A claim that was not run, with what it waits for: a GPU, or data of which `gap` says why they are not there."""
    if one.state != NOT_RUN:
        return one
    if one.claim.needs == "gpu" and not one.findings:
        return replace(one, state=NO_GPU)
    why = gap(one.claim.tested_by)
    return replace(one, state=NO_DATA, why=why) if why else one


def gathered(
    statement: Order | Near | Bound, study: Study, receipt: Callable[[str], Mapping[str, Any] | None]
) -> pd.DataFrame:
    """The values that a statement is about, a row each: where, of which of its `names`, the value, and what became of
    it (`statistics.outcomes`). `receipt` gives that of a pruning key."""
    frame, wanted = study.frame, statement.sparsities
    rows: list[tuple[Any, ...]] = []
    spec = next((one for one in study.metrics if one.name == statement.of.partition(".")[0]), None)
    cells = [list(_of(frame, who, wanted)) for who in statement.cells]
    if spec is not None and spec.stage == "pair":
        others = {(row.block, row.sparsity): row for row in cells[1]}
        number = statement.of.removeprefix(f"{spec.name}.")
        for row in cells[0]:
            other = others.get((row.block, row.sparsity))
            keys = [study.cells[one.key].pruning_key for one in (row, other) if one is not None]
            value = study.measured.numbers(sorted(keys), spec).get(number)
            rows.append((row, statement.names[0], value, _outcome(value, map(receipt, keys))))
    else:
        for name, found in zip(statement.names, cells, strict=True):
            rows += [(row, name, *_value(statement.of, row, study, receipt)) for row in found]
    columns = ["dataset", "model", "block", "seed", "sparsity", "of", "value", "outcome"]
    told = [(r.dataset, r.model, r.block[:16], r.seed, r.sparsity, *rest) for r, *rest in rows]
    return pd.DataFrame(told, columns=columns).astype({"value": float})


def _of(frame: pd.DataFrame, who: Who, sparsities: Sequence[float] | None) -> Iterator[Any]:
    """The rows of the study's frame that are meant."""
    meant = (frame["criterion"].map(ordered) == ordered(who.criterion)) & (frame["ablation"] == who.ablation)
    at_them = frame["sparsity"].isin(list(sparsities)) if sparsities else frame["sparsity"] > 0
    # columns of metrics have a point in their names
    chosen = frame[meant & at_them]
    return chosen[["dataset", "model", "block", "seed", "sparsity", "key", "top1", "outcome"]].itertuples(index=False)


def _value(
    of: str, row: Any, study: Study, receipt: Callable[[str], Mapping[str, Any] | None]
) -> tuple[float | None, str]:
    """A quantity of a cell, and what became of it."""
    if of == ACCURACY:
        return row.top1, row.outcome
    key = study.cells[row.key].pruning_key
    found = receipt(key)
    if of in SHARES:
        part, whole = SHARES[of]
        made = (found or {}).get("receipt") or {}
        value = made[part] / made[whole] if part in made else None
    else:
        spec = next(one for one in study.metrics if one.name == of.partition(".")[0])
        about = row.key if spec.stage == "training" else key
        numbers = {spec.column(name): value for name, value in study.measured.numbers((about,), spec).items()}
        if numbers and of not in numbers:
            raise SuiteError(f"{study.folder}: no quantity {shown(of)}; {did_you_mean(of, numbers)}")
        value = numbers.get(of)
        if numbers and value is None:
            return None, UNDEFINED
    return value, _outcome(value, [found])


UNDEFINED = "undefined"
"""What became of a quantity that was measured, and has no value: R where there is no path."""


def _outcome(value: float | None, receipts: Any) -> str:
    if value is not None:
        return TRAINED
    ended = [str(found["status"]) if found else "missing" for found in receipts]
    return next((own for status, own in (("failed", FAILED), ("skipped", DECLINED)) if status in ended), MISSING)


def _ran(study: Study) -> str:
    """Where the results were computed."""
    keys = ("pabench", "torch", "device")
    told = {", ".join(f"{k} {plain(one.get(k, '?'))}" for k in keys) for one in study.environments}
    return "; ".join(sorted(told))


# --- The page ---------------------------------------------------------------------------------------------------------


def rendered(found: Sequence[Judged]) -> str:
    """The table of claims as a page of its own."""
    html = templates(TEMPLATES).get_template("claims.html.j2").render(claims=found)
    return page("Claims of papers", [Rendered("claims", "Claims", Markup(html))])
