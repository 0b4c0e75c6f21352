"""What the documentation shows works."""

from __future__ import annotations

import doctest
import json
import re
import runpy
import shlex
import tomllib
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image
from ruamel.yaml import YAML
from typer.main import get_command

import pabench
import pabench.plugins
from pabench import registry
from pabench.cli.main import app
from pabench.diagnostics.conformance import names
from pabench.errors import DataError
from pabench.scoring.allocation import Named
from pabench.suite.specs import ModelSpec
from pabench.suite.suite import find, load, parse

from .pageless import undrawn

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
make = runpy.run_path(str(ROOT / "docs" / "make.py"))  # beside the pages, and in no package


MOST_SHOWN = 25
SHOWN = "# not run here"
"""How a block begins that is shown and not run, and then says why."""


@pytest.mark.usefixtures("fresh_registry")  # pages have plugins, and forget them
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_block_runs(page, tmp_path, monkeypatch):
    """The blocks of a page run one after another in an empty folder, those of Python in one namespace.

    A block whose first line is `# NAME.yaml` or `# FOLDER/NAME.py` is that file. Of a console every command runs, and
    where it shows output, that is what came; `...` stands for anything. Studies run in this process (`--engine inline`)
    and write no page, which spares most of their time.
    """
    monkeypatch.chdir(tmp_path)
    # dataclasses look their module up by name
    namespace = {"__name__": "builtins"}
    for line, language, block in blocks(page):
        if block.startswith(SHOWN) or language == "text":
            continue
        if (name := re.match(r"# (\S+\.(?:yaml|py))\n", block)) is not None:
            Path(name[1]).parent.mkdir(parents=True, exist_ok=True)
            Path(name[1]).write_text(block)
        if language == "python":
            # its lines are those of the page, so that an error is told with the right one
            exec(compile("\n" * line + block, str(page), "exec", dont_inherit=True), namespace)
        elif language in ("sh", "console"):
            for command, output in commands(block, language):
                told = ran(command)
                assert doctest.OutputChecker().check_output(output or "...\n", told, doctest.ELLIPSIS), told
        elif language == "yaml":
            parse(completed(block), page.name)
        else:
            tomllib.loads(block)


def blocks(page: Path) -> list[tuple[int, str, str]]:
    """How many lines are before it, language and text of each block."""
    text = page.read_text()
    found = re.finditer(r"^```(\w*)\n(.*?)^```", text, re.S | re.M)
    return [(text[: match.start(2)].count("\n"), match[1], match[2]) for match in found]


def commands(block: str, language: str) -> list[tuple[str, str]]:
    """Each command with the output shown of it; in a console commands begin with $, elsewhere all lines are some."""
    block = block.replace("\\\n", " ")
    if language == "sh":
        return [(line, "") for line in block.splitlines() if line and not line.startswith("#")]
    return [tuple((part + "\n").split("\n", 1)) for part in re.split(r"^\$ ", block, flags=re.M)[1:]]


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda p: p.name)
def test_commands_that_are_only_shown_exist_with_their_options(page):
    for _, language, block in blocks(page):
        for command, _ in commands(block, language) if language in ("sh", "console") else ():
            _, found, words = " ".join(shlex.split(command, comments=True)).partition("pabench ")
            assert not found or unknown(words.split()) == [], command


def unknown(words: list[str]) -> list[str]:
    """Which of the options of a command of pabench it has not; the command itself where there is none."""
    command = get_command(app)
    while hasattr(command, "commands"):
        if words[0] not in command.commands:
            return words[:1]
        command, words = command.commands[words[0]], words[1:]
    options = {option for parameter in command.params for option in parameter.opts}
    return [word for word in words if word.startswith("-") and word.partition("=")[0] not in options]


def ran(command: str) -> str:
    """What a command of pabench prints; one that fails is a failure of the test."""
    program, *arguments = shlex.split(command, comments=True)
    assert program == "pabench", f"{command}: no command of ours; begin the block with {SHOWN}: WHY"
    if arguments[0] == "run":
        arguments += ["--engine", "inline", "--device", "cpu", "--yes"]
    with redirect_stdout(StringIO()) as said, undrawn(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("pabench.report.page.write_study", lambda study, page: page)  # the half of a short study's time
        code = app(arguments, standalone_mode=False)
    assert not code, f"{command}: exit code {code}: {said.getvalue()}"
    return said.getvalue()


def completed(block: str) -> str:
    """A part of a suite with what makes it a whole one."""
    given = YAML(typ="safe").load(block)
    rest = {"protocol": "pai-v1", "datasets": ["digits"], "models": ["resnet8"], "criteria": ["random"], "seeds": 1}
    rest |= {"sparsities": [0.9], "recipe": {"epochs": 160}}
    return block + "".join(f"{key}: {json.dumps(value)}\n" for key, value in rest.items() if key not in given)


@pytest.mark.slow
def test_the_doctor_says_what_its_page_shows():
    (block,) = [block for _, language, block in blocks(ROOT / "docs" / "doctor.md") if language == "console"]
    ((command, shown),) = commands(block, "console")

    with redirect_stdout(StringIO()) as said:
        app(shlex.split(command)[1:], standalone_mode=False)

    assert [line.split() for line in said.getvalue().splitlines()] == [
        line.split() for line in shown.rstrip().splitlines()
    ]


@pytest.mark.slow
def test_the_notebook_runs_and_gives_what_it_shows():
    """In a kernel of its own; masks and densities to the digit. Accuracies may differ by machine."""
    file = ROOT / "docs" / "notebook.ipynb"
    shown, made = (printed(json.loads(text)) for text in (file.read_text(), make["notebook"]()))

    assert "snip: 9.1 % of the weights are on a live path" in shown
    assert [line for line in made if "test images" not in line and "shuffled" not in line] == [
        line for line in shown if "test images" not in line and "shuffled" not in line
    ]
    assert len(made) == len(shown)


def printed(notebook: dict[str, Any]) -> list[str]:
    """The lines that the cells of a notebook have printed."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    return "".join(line for output in outputs for line in output.get("text", ())).splitlines()


def test_every_block_has_a_language_and_what_is_not_run_says_why():
    """And these are few. `text` is for what no program reads."""
    found = [(page.name, language, block) for page in PAGES for _, language, block in blocks(page)]
    shown = [(page, block) for page, _, block in found if block.startswith(SHOWN)]

    assert {language for _, language, _ in found} == {"python", "sh", "console", "yaml", "toml", "text"}
    assert all(re.match(SHOWN + r": \w.{10,}\n", block) for _, block in shown), shown
    assert len(shown) <= MOST_SHOWN


def generated(name: str) -> str:
    """What stands between the marks of a page."""
    return make["path"](name).read_text().partition(make["BEGIN"])[2].partition(make["END"])[0].strip()


def test_the_picture_of_the_house_is_drawn_from_its_imports_and_all_lead_downward():
    """Where it fails: `python docs/make.py architecture`."""
    house = runpy.run_path(str(ROOT / "docs" / "house.py"))
    floors = [name for name, _ in house["FLOORS"]]
    drawn = (ROOT / "docs" / "architecture.svg").read_text()

    assert drawn == make["architecture"]()
    assert [pair for pair in house["imports"]() if floors.index(pair[0]) > floors.index(pair[1])] == []
    assert house["DOWN"] in drawn
    assert house["UP"] not in drawn
    assert all((ROOT / place).exists() for place in places((ROOT / "docs" / "architecture.md").read_text()))


def places(text: str) -> set[str]:
    """The folders and modules of ours that a page names."""
    named = re.findall(r"`((?:pabench|criteria|reports|suites)/[^`]*)`", text)
    return {re.split("NAME|ROOM", name)[0] for name in named}


def test_the_tables_of_criteria_are_those_of_the_registry():
    """Where it fails: `python docs/make.py criteria`."""
    table = generated("criteria")

    assert table == make["criteria"]()
    assert all(f"| `{name}` |" in table for name in registry.group("criteria").classes)
    assert all(f"| `{name}` |" in table for name in get_args(Named))


def test_the_page_of_suites_has_every_key_of_the_schema():
    """Where it fails: `python docs/make.py suites`. A key without a description is an error, and says which."""
    table = generated("suites")
    keys = re.findall(r"^\| `(\w+)` \|", table, re.M)
    schema = json.loads((ROOT / "pabench.schema.json").read_text())

    assert table == make["suites"]()
    assert sorted(keys) == sorted(key for part in [schema, *schema["$defs"].values()] for key in part["properties"])


def test_the_page_of_the_protocol_has_the_text_of_the_sites_and_names_tests_that_exist():
    """Where it fails: change `reports/templates/site/pai-v1.md`, then `python docs/make.py protocol`."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "protocol.md").read_text())

    assert generated("protocol") == make["protocol"]()
    assert len(named) > 15
    assert [test for file, test in named if f"def {test}(" not in (ROOT / file).read_text()] == []


def test_the_readme_says_what_each_criterion_was_compared_with():
    """Where it fails: `python docs/make.py README`."""
    assert generated("README") == make["readme"]()


def test_the_table_of_claims_is_made_of_the_values_that_are_published_and_they_still_say_so():
    """Where it fails: `python docs/make.py claims`, or run the claims again."""
    told = {one["name"]: one["state"] for one in json.loads(make["CLAIMS"].read_text())}

    assert generated("claims") == make["claims"]()
    assert {one.claim.name: one.state for one in make["published"]()} == told


def test_the_note_and_the_tables_of_studies_are_made_of_the_records_that_are_published():
    """Where it fails: `python docs/make.py paper studies`."""
    assert (ROOT / "docs" / "paper.md").read_text() == make["paper"]()
    assert generated("studies") == make["studies"]()


def test_the_table_of_conformance_has_all_criteria_and_no_failure():
    """Where it fails: `python docs/make.py conformance`."""
    assert re.findall(r"^\| `([^`]+)` \| \d+ \| 0 \|", generated("conformance"), re.M) == names()


def test_what_float32_moves_is_said_of_all_criteria_and_is_little_for_those_scored_in_it():
    """Where it fails: `python docs/make.py precision`. At most 0.2 % of the kept weights, on two networks."""
    rows = re.findall(r"^\| `([^`]+)` \| (float\d\d) \| \d* \| (.*) \|$", generated("precision"), re.M)

    every = [name for name in names() if "@" not in name]
    fast = [name for name in every if registry.plugin("criteria", name).precision == "float32"]
    assert [name for name, _, _ in rows] == [*every, *fast]
    for name, needed, shares in rows:
        assert needed == registry.plugin("criteria", name).precision
        if needed == "float32":
            assert all(float(share.removesuffix(" %")) <= 0.2 for share in shares.split(" | ")), name


def test_the_zoo_has_every_network_of_its_suite():
    """Where it fails: `python docs/make.py zoo`."""
    models = [entry.name for entry in load(find("timm_zoo")).models]

    assert re.findall(r"^\| (\w+) \|", generated("zoo"), re.M) == ["model", *models]


@pytest.mark.parametrize("model", ["densenet121", "mobilenetv2_035"])
def test_rows_of_the_zoo_are_what_the_doctor_finds(model):
    """One healthy network, and one with a remedy; the others take half an hour."""
    suite = load(find("timm_zoo"))
    (entry,) = [entry for entry in suite.models if entry.name == model]

    names = list(dict.fromkeys(criterion.name for criterion in suite.criteria))
    row = make["zoo_row"](ModelSpec(model, entry.args), names)

    assert make["markdown"]([row]).splitlines()[0] in generated("zoo").splitlines()


def test_a_text_goes_between_the_marks_of_a_page_and_nowhere_else():
    begin, end = make["BEGIN"], make["END"]

    assert make["inserted"](f"before\n{begin}\nold\n{end}\nafter\n", "new") == (
        f"before\n{begin}\n\nnew\n\n{end}\nafter\n"
    )
    with pytest.raises(DataError, match="between which the text goes"):
        make["inserted"]("no marks", "new")


def test_the_readme_names_the_suites_that_ship():
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), re.M)

    assert sorted(listed) == sorted(p.stem for p in (ROOT / "suites").glob("*.yaml"))
    assert all(find(name).is_file() for name in listed)


def test_links_between_pages_lead_somewhere():
    """To a page that is there, and to a heading of it; `tox -e docs` fails on the same."""
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]:
        for target, heading in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", page.read_text()):
            place = page.parent / target if target else page
            assert place.exists(), f"{page.name}: {target}"
            assert page not in PAGES or (ROOT / "docs") in place.resolve().parents, f"{page.name}: {target} is no page"
            assert not heading or heading in headings(place), f"{page.name}: {target}#{heading}"


def headings(page: Path) -> set[str]:
    """The headings of a page as addresses have them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\s-]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_page_is_in_the_navigation():
    docs = ROOT / "docs"
    nav = tomllib.loads((docs / "zensical.toml").read_text())["project"]["nav"]
    listed = [page for part in nav for page in ([part] if isinstance(part, str) else next(iter(part.values())))]

    assert sorted(listed) == sorted(page.relative_to(docs).as_posix() for page in docs.rglob("*.md"))


@pytest.mark.parametrize(("name", "height"), [("report", 900), ("board", 1500)])
def test_the_pictures_of_pages_are_small_and_as_wide_as_they_say(name, height):
    """Where one is old: `python docs/make.py picture board`."""
    with Image.open(ROOT / "docs" / f"{name}.png") as picture:
        assert picture.size == (1400, height)
    assert (ROOT / "docs" / f"{name}.png").stat().st_size < 400_000


@pytest.mark.parametrize(("page", "module"), [("api", pabench), ("api-plugins", pabench.plugins)])
def test_the_reference_has_every_public_name(page, module):
    listed = re.findall(rf"^::: {module.__name__}\.(\w+)$", (ROOT / "docs" / f"{page}.md").read_text(), re.M)

    assert sorted(listed) == sorted(set(module.__all__) - {"__version__"})


def test_the_site_is_built_by_what_the_extra_names():
    """The environment of tox reads the sources, so it installs these without pabench."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["docs"]

    assert all(f"    {need}\n" in (ROOT / "tox.ini").read_text() for need in extra)
