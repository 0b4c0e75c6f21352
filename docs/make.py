"""Writes the generated parts of these pages anew: `python docs/make.py [page...]`, all of them where none is named.

`architecture` (a picture), `precedents` (the table that `pabench plan` reads), `README`, `criteria`, `claims`,
`protocol`, `suites`, `studies`, `paper` (all of it, from `paper.md.j2`) and `board` take seconds, `notebook`,
`picture`, `conformance` and `reliability` minutes, `precision` a quarter of an hour and `zoo` half an hour. `board`
and `picture` need Chromium. A generated part stands between two marks; what is around it is written by hand.
"""

from __future__ import annotations

import importlib
import inspect
import json
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pabench import registry
from pabench.cli.conformance import matrix
from pabench.cli.plugins import reference
from pabench.diagnostics.checkup import Checkup, Row, check_up
from pabench.diagnostics.conformance import NETWORKS, Examination, MaskOverlap, examine, names, overlaps
from pabench.diagnostics.precision import SETTINGS, SPARSITIES, Setting, moved
from pabench.diagnostics.remedy import Treatment, criterion_entry, flow
from pabench.errors import DataError
from pabench.leaderboard.claims import Judged, load as load_claim, shipped
from pabench.leaderboard.rejudged import rejudged
from pabench.leaderboard.site import rules
from pabench.leaderboard.statements import NOT_RUN
from pabench.scoring.allocation import ALLOCATIONS, AS, lamp
from pabench.scoring.donor import precision as needed
from pabench.statistics.precedents import FILE
from pabench.store.verdict import HEALTHY
from pabench.suite.specs import ModelSpec
from pabench.suite.suite import find, json_schema, load
from pabench.words import NOTHING, percentage, plain

DOCS = Path(__file__).parent
TESTS = DOCS.parent / "tests"
REFERENCE = TESTS / "reference"
CLAIMS = DOCS.parent / "reports" / "published" / "claims.json"
BEGIN, END = "<!-- made by docs/make.py -->", "<!-- end of what is made -->"
FIGURES = ("finite differences", "removal", "conservation", "batch order", "channels", "precision", "reference")
"""Checks whose figures the table of conformance shows."""

Table = Sequence[Sequence[str]]


def inserted(page: str, text: str) -> str:
    """The page with `text` between its two marks; DataError where it lacks them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DataError(f"expected the lines {BEGIN} and {END}, between which the text goes")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def markdown(table: Table) -> str:
    """A table whose first row is its head."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])


# --- criteria.md ------------------------------------------------------------------------------------------------------


def criteria() -> str:
    """Tables of the criteria and of the layer allocations."""
    head = ("criterion", "what it scores", "images per class", "BatchNorm", "rounds", "source", "variants", "reference")
    rows = [_criterion(cls) for _, cls in sorted(registry.group("criteria").classes.items())]
    rules: dict[str, Any] = {**ALLOCATIONS, "lamp": lamp}
    kept = {"global": "One ranking of all weights."}
    kept |= {name: _summary(rule) for name, rule in rules.items()}
    kept[f"{AS}NAME"] = "As many weights as the criterion NAME (or NAME@variant) keeps in it."
    allocations = [(f"`{name}`", text) for name, text in kept.items()]
    return f"{markdown([head, *rows])}\n\n{markdown([('allocation', 'what each layer keeps'), *allocations])}"


def _criterion(cls: Any) -> tuple[str, ...]:
    rule = cls.create({})
    images = str(rule.examples_per_class or "none")
    if rule.batch_count() > 1:
        images = f"{rule.batch_count()} x {images}"
    variants = []
    for name, changes in rule.variants.items():
        variants.append(f"`@{name}` {', '.join(f'{key}={value}' for key, value in changes.items())}")
    rounds = str(getattr(rule, "steps", ""))
    return f"`{rule.name}`", _summary(cls), images, rule.bn, rounds, rule.paper, "; ".join(variants), reference(cls)


def readme() -> str:
    """What the results of each criterion were compared with."""
    rows = [(name, reference(cls)) for name, cls in sorted(registry.group("criteria").classes.items())]
    return markdown([("criterion", "compared with"), *rows])


def _summary(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


# --- claims.md --------------------------------------------------------------------------------------------------------


def claims() -> str:
    """Every claim that ships, with what the published values say of it."""
    return markdown([("claim", "source", "state", "what was found"), *map(_claim, published())])


def published() -> list[Judged]:
    """The claims that ship, judged again from the values that are published; those that were not run as they stand."""
    told = {one.claim.name: one for one in rejudged(CLAIMS)[0]}
    return [told.get(name) or Judged(load_claim(file), NOT_RUN) for name, file in shipped().items()]


def _claim(one: Judged) -> tuple[str, ...]:
    found = "<br>".join(plain(finding.said) for finding in one.findings)
    note = f"<br><small>{one.claim.note}</small>" if one.claim.note else ""
    return f"{one.claim.claim} (`{one.claim.name}`){note}", one.claim.source, one.state, found or NOTHING


# --- suites.md --------------------------------------------------------------------------------------------------------

PARTS_OF_A_SUITE = (
    ("", "The suite itself", ""),
    ("datasets", "An item of `datasets`", "DatasetEntry"),
    ("models", "An item of `models`", "ModelEntry"),
    ("criteria", "An item of `criteria`", "CriterionEntry"),
    ("train", "An item of `train`", "TrainEntry"),
    ("metrics", "An item of `metrics`", "MetricEntry"),
    ("recipe", "`recipe`", "RecipeEntry"),
    ("recipe.schedule", "`recipe.schedule`, where it is a mapping", "StepSchedule"),
    ("recipe.augment", "`recipe.augment`, where it is a mapping", "AugmentEntry"),
    ("scoring", "`scoring`", "ScoringEntry"),
)
"""The mappings of a suite: where each stands, its heading and its name in the schema."""


def suites() -> str:
    """Every key of a suite, from its schema: what it may be, its default, what it means, an example."""
    whole = json_schema()
    known = {name for _, _, name in PARTS_OF_A_SUITE if name}
    if left_out := set(whole["$defs"]) - known:
        raise DataError(f"{', '.join(sorted(left_out))}: in the schema, and on no page; add it to PARTS_OF_A_SUITE")
    parts = []
    for path, heading, name in PARTS_OF_A_SUITE:
        part = whole["$defs"][name] if name else whole
        head = ("key", "what it may be", "default", "meaning", "example")
        rows = [_key(key, value, key in part.get("required", ())) for key, value in part["properties"].items()]
        told = f" (`{path}:`)" if path and "`" not in heading else ""
        parts += [f"### {heading}{told}", " ".join(part["description"].split()), markdown([head, *rows])]
    return "\n\n".join(parts)


def _key(name: str, value: Mapping[str, Any], required: bool) -> tuple[str, ...]:
    if not value.get("description"):
        raise DataError(f"{name}: has no description in the schema; add one where the key is defined")
    if required:
        default = "**needed**"
    elif "$ref" in value:
        default = "that of each key"
    elif value["default"] is None:
        default = NOTHING
    else:
        default = f"`{_yaml(value['default'])}`"
    example = f"`{name}: {_yaml(value['examples'][0])}`" if "examples" in value else ""
    return f"`{name}`", _allowed(value), default, value["description"], example


def _allowed(value: Mapping[str, Any]) -> str:
    """What the schema allows, in words."""
    if "$ref" in value:
        return f"a mapping ({_linked(value['$ref'])})"
    if several := value.get("oneOf") or value.get("anyOf"):
        return " or ".join(_allowed(one) for one in several if one.get("type") != "null")
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{_yaml(word)}`" for word in value["enum"])
    if value["type"] == "array":
        return f"a list: each {_allowed(value['items'])}"
    kinds = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    text = kinds.get(value["type"], "a mapping")
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {value[key]:,}" for key, sign in bounds.items() if key in value]
    return f"{text} {' and '.join(limits)}".rstrip()


def _linked(reference: str) -> str:
    name = reference.rpartition("/")[2]
    (path,) = [path for path, _, known in PARTS_OF_A_SUITE if known == name]
    return f"`{path}` below" if path in ("recipe", "scoring") or "." in path else f"an item of `{path}`"


def _yaml(value: Any) -> str:
    """The value in one line as a suite writes it; JSON is YAML, but for a bare word, which needs no quotes."""
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


# --- reliability.md ---------------------------------------------------------------------------------------------------


def reliability() -> str:
    """How often the tests inject each fault (`tests/faults.py`), how often it was survived, and what was lost."""
    faults = runpy.run_path(str(TESTS / "faults.py"))["FAULTS"]
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.xml"
        names = sorted({f"{TESTS}/{name}" for fault in faults for name in fault.tests})
        # of what is named all is run, the slow ones, too; one that fails is counted, and not a reason to stop
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "", f"--junitxml={found}", *names], check=False)
        cases = list(ElementTree.parse(found).iter("testcase"))
    rows = [(fault.what, fault.becomes, *map(str, _survived(fault.tests, cases))) for fault in faults]
    return markdown([("what goes wrong", "what becomes of it", "times injected", "survived", "lost"), *rows])


def _survived(tests: Sequence[str], cases: Sequence[ElementTree.Element]) -> tuple[int, int, int]:
    """How often tests injected a fault, in how many of these it was survived, and in how many not. A test that was not
    run injected none."""
    injected = survived = 0
    for case in cases:
        place = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        if any(place.endswith(f"/{name}") or f"/{name}[" in place for name in tests) and case.find("skipped") is None:
            told = case.find("properties/property[@name='injected']")
            times = 1 if told is None else int(told.get("value", "1"))
            injected += times
            survived += times if case.find("failure") is None and case.find("error") is None else 0
    return injected, survived, injected - survived


# --- leaderboard.md ---------------------------------------------------------------------------------------------------


def forgeries() -> str:
    """Of each kind of forgery that the tests try how many, and how many of them each level finds."""
    sys.path.insert(0, str(DOCS.parent))
    lies = importlib.import_module("tests.leaderboard.verification.forgeries").LIES
    rows = []
    for kind in dict.fromkeys(lie.kind for lie in lies):
        found = Counter(lie.level for lie in lies if lie.kind == kind)
        rows.append((kind, str(found.total()), *(str(found[level] or NOTHING) for level in (1, 2, 3, 4))))
    found = Counter(lie.level for lie in lies)
    rows.append(("all", str(found.total()), *(str(found[level]) for level in (1, 2, 3, 4))))
    return markdown([("what is forged", "forgeries", *(f"fall at level {level}" for level in (1, 2, 3, 4))), *rows])


# --- conformance.md ---------------------------------------------------------------------------------------------------


def conformance() -> str:
    """The checks of all criteria, why some do not apply, and the overlaps of masks on each network."""
    criteria = names()
    found = [examine(name, reference=REFERENCE) for name in criteria]
    table = [("criterion", "passed", "failed", *FIGURES), *map(_examined, found)]
    parts = [markdown(table), "Failed:", _failures(found), "Checks that do not apply:", _reasons(found)]
    for network in NETWORKS:
        shared: Mapping[tuple[str, str], MaskOverlap | None] = overlaps(criteria, network)
        parts += [f"Overlap on the network {network.name}:", markdown(matrix(criteria, shared))]
    return "\n\n".join(parts)


def _examined(found: Examination) -> tuple[str, ...]:
    verdicts = Counter(outcome.verdict for outcome in found.outcomes.values())
    figures = (found.outcomes[check].figure or NOTHING for check in FIGURES)
    return f"`{found.criterion}`", str(verdicts["pass"]), str(verdicts["FAIL"]), *figures


def _failures(examinations: Sequence[Examination]) -> str:
    lines = []
    for found in examinations:
        for check in found.failed:
            outcome = found.outcomes[check]
            lines.append(f"- `{found.criterion}`: {check}: {outcome.figure}; {plain(outcome.reason)}")
    return "\n".join(lines) or "nothing."


def _reasons(examinations: Sequence[Examination]) -> str:
    """One line for each check and reason, with the criteria it is true of."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for found in examinations:
        for check, outcome in found.outcomes.items():
            if outcome.verdict == "does not apply":
                grouped.setdefault((check, outcome.reason), []).append(f"`{found.criterion}`")
    return "\n".join(f"- {check}: {reason}: {', '.join(who)}" for (check, reason), who in sorted(grouped.items()))


# --- precision.md -----------------------------------------------------------------------------------------------------

Moved = Mapping[tuple[str, str], list[float] | str]
"""By criterion and model what float32 moves."""


def precision() -> str:
    """What float32 moves, of all criteria that give masks."""
    rules = [registry.criterion(name) for name in names() if "@" not in name]
    found: dict[tuple[str, str], list[float] | str] = {}
    for setting in SETTINGS:
        for rule in rules:
            if setting.confirming and rule.precision != "float32":
                continue
            print(rule.name, setting.model, file=sys.stderr)
            found[rule.name, setting.model] = moved(rule, setting)
    return moved_table(found)


def moved_table(found: Moved) -> str:
    """A table for each network: a row a criterion, a column a sparsity."""
    parts = []
    for setting in SETTINGS:
        head = ("criterion", "scored in", "rounds", *(f"{sparsity:g}" for sparsity in SPARSITIES))
        rows = [
            _moved(registry.criterion(name), setting, there)
            for (name, model), there in found.items()
            if model == setting.model
        ]
        parts += [f"{setting.model}, {setting.images} a class:", markdown([head, *rows])]
    return "\n\n".join(parts)


def _moved(rule: Any, setting: Setting, found: list[float] | str) -> tuple[str, ...]:
    rounds = str(min(rule.steps, setting.rounds)) if hasattr(rule, "steps") else ""
    shares = [found] + [NOTHING] * (len(SPARSITIES) - 1) if isinstance(found, str) else list(map(_share, found))
    return f"`{rule.name}`", needed(rule), rounds, *shares


def _share(moved: float) -> str:
    return f"{100 * moved:.2g} %" if moved else "0"


# --- zoo.md -----------------------------------------------------------------------------------------------------------


def zoo() -> str:
    """A row a model of `timm_zoo`, a column a criterion, before and after remedies."""
    chosen = load(find("timm_zoo"))
    names = list(dict.fromkeys(entry.name.partition("@")[0] for entry in chosen.criteria))
    head = ("model", "family", "weights", *names, "remedy")
    rows = [zoo_row(ModelSpec(entry.name, entry.args), names) for entry in chosen.models]
    return markdown([head, *rows])


def zoo_row(spec: ModelSpec, criteria: Sequence[str]) -> tuple[str, ...]:
    """Before: as timm builds it, without the suite's `stem`, `zeros` and `zero_init_last`; its other arguments stay."""
    print(spec.name, file=sys.stderr)  # half an hour without a sign of life is too long
    args = {key: value for key, value in spec.args.items() if key != "zero_init_last"}
    found = check_up(ModelSpec(spec.name, args), (3, 32, 32), [(name, {}) for name in criteria])
    weights = f"{sum(found.weights.values()) / 1e6:.2f} M"
    return spec.name, found.family, weights, *map(_change, found.rows), _prescription(found)


def _change(row: Row) -> str:
    """The share of zero scores and the verdict, before and, where it is better, after."""
    return f"{_short(row.before)} → {_short(row.after)}" if row.better else _short(row.before)


def _short(treatment: Treatment) -> str:
    found = treatment.finding
    if found.reason:
        return "unsupported"
    share = "not finite" if found.non_finite else percentage(found.zeros, found.total)
    return share if found.verdict == HEALTHY else f"{share}, {found.verdict}"


def _prescription(found: Checkup) -> str:
    """The changes of model and criteria, in the words of a suite."""
    args = {key: value for key, value in found.prescribed.args.items() if found.model.args.get(key) != value}
    keys = {"stem": found.prescribed.stem, "zeros": found.prescribed.zeros, "args": args}
    parts = [f"{key}: {flow(value)}" for key, value in keys.items() if value]
    parts += [criterion_entry(row.name, row.after.given) for row in found.improved if row.after.given]
    return ", ".join(f"`{part}`" for part in parts)


def protocol() -> str:
    """The definition that sites bear, without its heading."""
    return rules().partition("\n")[2].strip()


# --- studies.md and paper.md -----------------------------------------------------------------------------------------


def paper() -> str:
    """The technical note."""
    return str(published_studies()["paper"](published()))


def studies() -> str:
    """Tables of the published studies, and of the recipes that were tried."""
    return "\n\n".join(map(markdown, published_studies()["studies"]()))


def published_studies() -> dict[str, Any]:
    """What reads the published studies."""
    return runpy.run_path(str(DOCS / "published.py"))


PAGES: Mapping[str, Callable[[], str]] = {
    "README": readme,
    "criteria": criteria,
    "claims": claims,
    "conformance": conformance,
    "precision": precision,
    "protocol": protocol,
    "leaderboard": forgeries,
    "reliability": reliability,
    "suites": suites,
    "studies": studies,
    "zoo": zoo,
}


def architecture() -> str:
    """The picture of the house, whose measuring needs nothing of pabench."""
    return str(runpy.run_path(str(DOCS / "house.py"))["picture"]())


def precedents() -> str:
    """How much differences varied in published studies, as `pabench.statistics.precedents` reads it."""
    return str(runpy.run_path(str(DOCS / "precedents.py"))["text"]())


def picture() -> bytes:
    """The first screen of the quickstart's report as PNG; runs it first, and takes two minutes."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pabench", "run", "quickstart", "-o", folder], check=True)
        return screen(Path(folder) / "report.html", 900)


def board() -> bytes:
    """The table of the first board of the published site as PNG."""
    site = DOCS.parent / "reports" / "published" / "site"
    (first, *_) = json.loads((site / "data/v1/boards.json").read_text())
    return screen(site / "boards" / f"{first['slug']}.html", 1500)


def screen(page: Path, height: int) -> bytes:
    """The first so many pixels of a page that is 1,400 pixels wide."""
    from playwright.sync_api import sync_playwright  # not needed for any other page

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1400, "height": height}, color_scheme="light")
        tab.goto(page.as_uri())
        return tab.screenshot()


def notebook() -> str:
    """The notebook with what its cells give: the same bytes for the same numbers. Neither times nor warnings, which
    depend on what else is installed, are kept."""
    import nbformat  # not needed for any other page
    from nbclient import NotebookClient

    read = nbformat.read(DOCS / "notebook.ipynb", as_version=4)
    NotebookClient(read, timeout=600, record_timing=False, coalesce_streams=True).execute()
    for cell in [cell for cell in read.cells if cell.cell_type == "code"]:
        cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    read.metadata.language_info = {"name": "python"}
    return str(nbformat.writes(read)) + "\n"


FILES: Mapping[str, tuple[Path, Callable[[], str | bytes]]] = {
    "architecture": (DOCS / "architecture.svg", architecture),
    "board": (DOCS / "board.png", board),
    "notebook": (DOCS / "notebook.ipynb", notebook),
    "paper": (DOCS / "paper.md", paper),
    "picture": (DOCS / "report.png", picture),
    "precedents": (FILE, precedents),
}
"""What is made as a whole."""


def path(name: str) -> Path:
    """Where a page lies: README in front, the others here."""
    return (DOCS.parent if name == "README" else DOCS) / f"{name}.md"


def main(chosen: Sequence[str]) -> None:
    """Write the pages of these names, each as soon as it is made."""
    known = (*FILES, *PAGES)
    if unknown := [name for name in chosen if name not in known]:
        sys.exit(f"{unknown[0]}: no page of this name is made; expected {', '.join(known)}")
    for name in chosen or known:
        if name in FILES:
            file, make = FILES[name]
            made = make()
            file.write_bytes(made if isinstance(made, bytes) else made.encode())
        else:
            page = path(name)
            page.write_text(inserted(page.read_text(), PAGES[name]()))


if __name__ == "__main__":
    main(sys.argv[1:])
