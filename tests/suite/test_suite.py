"""A suite is read strictly, and everything wrong with it is told at once, with its place."""

import doctest
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, strategies as st

from pabench.errors import SuiteError
from pabench.suite import suite, yaml
from pabench.suite.specs import Augment, Recipe

ROOT = Path(__file__).parents[2]

GOOD = """\
protocol: pai-v1
datasets: [digits, {name: parquet, path: /data, per_class: 5}]
models:
  - resnet20
  - {name: resnet18, stem: cifar, args: {zero_init_last: false}}
criteria:
  - random
  - {name: synflow, steps: 100}
  - grasp@official
sparsities: [0, 0.9]
seeds: 3
recipe: {epochs: 160, lr: 1e-3, schedule: {step: [80, 120]}}
"""


def findings(text: str, *overrides: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        suite.parse(text, "s.yaml", overrides)
    return str(caught.value).split("\n")


def findings_if_any(text: str, *overrides: str) -> list[str]:
    try:
        suite.parse(text, "s.yaml", overrides)
    except SuiteError as error:
        return str(error).split("\n")
    return []


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_reads_names_and_mappings_alike():
    read = suite.parse(GOOD, "s.yaml")

    assert [(d.name, d.path, d.params) for d in read.datasets] == [
        ("digits", "", {}),
        ("parquet", "/data", {"per_class": 5}),
    ]
    assert [(m.name, m.stem, m.args) for m in read.models] == [
        ("resnet20", "", {}),
        ("resnet18", "cifar", {"zero_init_last": False}),
    ]
    assert [(c.name, c.params) for c in read.criteria] == [
        ("random", {}),
        ("synflow", {"steps": 100}),
        ("grasp@official", {}),
    ]
    assert read.sparsities == (0.0, 0.9)
    assert list(read.seed_values) == [0, 1, 2]


def test_reads_yaml_1_2_where_1e_3_is_a_number_and_no_is_text():
    read = suite.parse(changed("resnet20", "no") + "title: on\n", "s.yaml")

    assert (read.recipe.lr, read.models[0].name, read.title) == (0.001, "no", "on")


def test_dates_and_underscores_stay_text_in_parameters():
    read = suite.parse(changed("steps: 100", "a: 2020-01-01, b: 1_000, c: 0x10, d: 010, e: ~"), "s.yaml")

    assert read.criteria[1].params == {"a": "2020-01-01", "b": "1_000", "c": 16, "d": 10, "e": None}


def test_knows_where_every_value_stands():
    read = suite.parse(GOOD, "s.yaml", ["recipe.epochs=200"])

    assert read.where("criteria", 1, "steps") == "s.yaml:8:21"
    assert read.where("criteria", 2, "temperature") == "s.yaml:9:5"  # not there: the entry
    assert read.where("recipe", "epochs") == "--set recipe.epochs"
    read.criteria[1].find("must be odd", "steps")
    with pytest.raises(SuiteError, match=r"^s.yaml:8:21: criteria.1.steps: must be odd$"):
        read.raise_findings()


def test_builds_the_recipe_of_a_cell():
    read = suite.parse(changed("epochs: 160", "epochs: 160, momentum: 0.8, gamma: 0.5"), "s.yaml")

    assert read.recipe.build(augment=Augment(crop=4, flip=True), precision="bfloat16") == Recipe(
        epochs=160,
        lr=0.001,
        momentum=0.8,
        schedule="step",
        milestones=(80, 120),
        gamma=0.5,
        augment=Augment(crop=4, flip=True),
        precision="bfloat16",
    )


@pytest.mark.parametrize(
    ("written", "built"),
    [
        ("auto", Augment(crop=4, flip=True)),
        ("none", Augment()),
        ("{crop: 2, cutout: 8}", Augment(crop=2, cutout=8)),
    ],
)
def test_augment_of_the_recipe_wins_over_that_of_the_dataset(written, built):
    read = suite.parse(changed("epochs: 160", f"epochs: 160, augment: {written}, precision: float32"), "s.yaml")

    recipe = read.recipe.build(augment=Augment(crop=4, flip=True), precision="bfloat16")

    assert (recipe.augment, recipe.precision) == (built, "float32")


BAD = {
    # what pydantic finds
    "unknown key": (
        changed("lr:", "momentun: 1, lr:"),
        '12:23: recipe.momentun: unknown key; did you mean "momentum"?',
    ),
    "unknown section": (GOOD + "recipes: 1\n", '13:1: recipes: unknown key; did you mean "recipe"?'),
    "unknown key of a model": (changed("stem: cifar", "stm: cifar"), "5:22: models.1.stm: unknown key; did you mean"),
    "missing section": (changed("seeds: 3\n", ""), "1:1: seeds: missing; add `seeds: 3`"),
    "missing key": (changed("epochs: 160, ", ""), "12:1: recipe.epochs: missing"),
    "entry without name": (changed("name: synflow, ", ""), "8:5: criteria.1.name: missing"),
    "entry that is a number": (changed("- random", "- 7"), "7:5: criteria.0: expected a name or a mapping with a name"),
    "name": (changed("- random", "- ../x"), '7:5: criteria.0.name: "../x" is no name'),
    "two variants": (changed("grasp@official", "a@b@c"), '9:5: criteria.2.name: "a@b@c" is no name'),
    "variant of a model": (changed("resnet20", "resnet20@x"), '4:5: models.0.name: "resnet20@x" has a variant'),
    "protocol": (changed("pai-v1", "pai-v2"), '1:1: protocol: expected pai-v1, not "pai-v2"; did you mean "pai-v1"?'),
    "quoted number": (changed("160", '"3"'), '12:10: recipe.epochs: expected an integer, not "3"; remove the quotes'),
    "fraction of an epoch": (changed("160", "1.5"), "12:10: recipe.epochs: expected an integer, not 1.5; round it"),
    "true epochs": (changed("160", "true"), "12:10: recipe.epochs: expected an integer, not true"),
    "no epochs": (changed("160", "0"), "12:10: recipe.epochs: must be at least 1, not 0"),
    "learning rate": (changed("1e-3", "-1"), "12:23: recipe.lr: must be more than 0, not -1"),
    "true number": (changed("1e-3", "yes"), '12:23: recipe.lr: expected a number, not "yes"'),
    "nothing": (changed(" [0, 0.9]", ""), "10:1: sparsities: expected a list, not nothing"),
    "no list": (changed("[0, 0.9]", "0.9"), "10:1: sparsities: expected a list, not 0.9; put it in [ ]"),
    "empty list": (changed("[0, 0.9]", "[]"), "10:1: sparsities: an empty list; name at least one"),
    "per cent": (changed("0.9]", "90]"), "10:17: sparsities.1: must be at least 0 and less than 1, not 90"),
    "no seed": (changed("seeds: 3", "seeds: 0"), "11:1: seeds: must be at least 1, not 0"),
    "seed below 0": (changed("seeds: 3", "seeds: [-1]"), "11:9: seeds.0: must be at least 0, not -1"),
    "unreached step": (changed("160", "100"), "12:33: recipe.schedule: the step at epoch 120 is never reached in 100"),
    "step order": (changed("[80, 120]", "[120, 80]"), "recipe.schedule.step: the epochs [120, 80] do not increase"),
    "schedule": (
        changed("{step: [80, 120]}", "cosin"),
        "recipe.schedule: expected constant or cosine or a mapping, not ",
    ),
    "gamma of cosine": (changed("{step: [80, 120]}", "cosine, gamma: 0.1"), "recipe.gamma: only schedule: {step"),
    "nesterov": (changed("lr:", "momentum: 0, nesterov: true, lr:"), "recipe.nesterov: nesterov needs optimizer: sgd"),
    "momentum of adamw": (changed("lr:", "optimizer: adamw, momentum: 0.9, lr:"), "recipe.momentum: adamw has no"),
    "warm-up": (changed("lr:", "warmup: 160, lr:"), "recipe.warmup: 160 epochs of warm-up in 160 epochs"),
    "augment": (changed("lr:", "augment: {crp: 4}, lr:"), 'recipe.augment.crp: unknown key; did you mean "crop"?'),
    "batch of 1": (changed("lr:", "batch_size: 1, lr:"), "recipe.batch_size: must be at least 2, not 1"),
    "scoring": (GOOD + "scoring: {dtype: float16}\n", "scoring.dtype: expected float64 or float32"),
    "duplicate criterion": (
        changed("- random", "- random\n  - {name: random}"),
        "8:5: criteria.1: the same as criteria.0",
    ),
    "duplicate sparsity": (changed("[0,", "[0, 0.0,"), "10:17: sparsities.1: the same as sparsities.0"),
    "ablation": (GOOD + "ablations: [shufle]\n", "13:13: ablations.0: expected shuffle or reinit or invert or "),
    "ablation meant": (GOOD + "ablations: [shufle]\n", 'not "shufle"; did you mean "shuffle"?'),
    "duplicate ablation": (GOOD + "ablations: [invert, invert]\n", "13:21: ablations.1: the same as ablations.0"),
    "one ablation": (GOOD + "ablations: shuffle\n", 'ablations: expected a list, not "shuffle"; put it in [ ]'),
    # what the text is refused for
    "duplicate key": (changed("seeds: 3", "seeds: 3\nseeds: 4"), "12:1: seeds: duplicate key; it stands in line 11"),
    "indented by a tab": (changed("  - random", "\t- random"), "7:1: a tab in the indentation; use spaces"),
    "tab after a colon": (
        changed("seeds: 3", "seeds:\t3"),
        "11:7: not YAML: found character '\\t'",
    ),
    "tag": (changed("seeds: 3", "seeds: !!python/object/apply:os.system [x]"), "11:8: seeds: the tag "),
    "anchor": (changed("seeds: 3", "seeds: &a 3"), "11:8: seeds: the anchor &a; remove it"),
    "alias bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "2:8: b.0: the alias *a; write the value out"),
    "undefined alias": (changed("seeds: 3", "seeds: *x"), "11:8: seeds: the alias *x"),
    "two documents": (GOOD + "---\na: 1\n", "13:1: a second document; keep one document in a file"),
    "directive": ("%YAML 1.1\n---\n" + GOOD, "2:1: a % directive; remove it"),
    "33 levels": (changed("100", "[" * 33 + "]" * 33), "nested deeper than 32 levels"),
    "5,000 levels": ("a: " + "[" * 5000 + "]" * 5000, "nested deeper than 32 levels"),
    "large": ("# " + "x" * (1 << 20), "1:1: larger than 1 MiB"),
    "empty": ("", "1:1: the file is empty"),
    "only a comment": ("# nothing\n", "1:1: the file is empty"),
    "a list": ("- a\n", "1:1: expected a mapping, not a list"),
    "text": ("hello", '1:1: expected a mapping, not "hello"'),
    "key that is a number": (GOOD + "1: x\n", "13:1: the key 1 is not text"),
    "key that is a list": (GOOD + "? [a]\n: x\n", "13:3: the key a list is not text"),
    "not a number": (changed("1e-3", ".nan"), '12:27: recipe.lr: ".nan" is not a finite number'),
    "overflow": (changed("1e-3", "1e999"), '12:27: recipe.lr: "1e999" is not a finite number'),
    "5,000 digits": (changed("160", "9" * 5000), "12:18: recipe.epochs: a number of more than 18 digits"),
    "open quote": (GOOD + "title: 'x\n", "not YAML: found unexpected end of stream; close the quote"),
    "open bracket": (changed("[0, 0.9]", "[0, 0.9"), "not YAML: expected ',' or ']'"),
    "colon in text": (
        GOOD + "title: a: b\n",
        '13:9: not YAML: mapping values are not allowed here; put text that contains ": "',
    ),
    "control character": (GOOD + "title: \x00\n", "13:8: character U+0000 is not allowed; remove it"),
    "escape beyond Unicode": (GOOD + 'title: "\\UFFFFFFFF"\n', "not YAML: an escape names no character"),
}


@pytest.mark.parametrize("what", BAD)
def test_refuses_a_bad_file_with_its_place(what):
    text, expected = BAD[what]

    told = findings(text)

    assert all(line.startswith("s.yaml:") for line in told)
    assert any(expected in line for line in told), told


def test_tells_every_error_once_in_the_order_of_the_file():
    text = changed("1e-3", "-1").replace("seeds: 3", "seeds: &s x").replace("- random", "- random\n  - random")

    assert findings(text + "recipes: *s\n", "recipe.epochz=1") == [
        "s.yaml:8:5: criteria.1: the same as criteria.0; remove one",
        "s.yaml:12:8: seeds: the anchor &s; remove it, suites have no aliases",
        "s.yaml:13:23: recipe.lr: must be more than 0, not -1",
        "s.yaml:14:10: recipes: the alias *s; write the value out",
        '--set recipe.epochz: unknown key; did you mean "epochs"?',
    ]


def test_messages_hold_no_terminal_escapes():
    assert findings(GOOD + '"\\e[31m\\nred": 1\n')[0].startswith("s.yaml:13:1: \\x1b[31m\\nred: unknown key")


def test_overrides_replace_make_and_open_what_they_name():
    read = suite.parse(
        GOOD,
        "s.yaml",
        ["recipe.epochs=200", "datasets.0.path=/x", "seeds=[7]", "sparsities=[0,0.5]", "scoring.dtype=float32"],
    )

    assert read.recipe.epochs == 200
    assert (read.datasets[0].name, read.datasets[0].path) == ("digits", "/x")
    assert (list(read.seed_values), read.sparsities, read.scoring.dtype) == ([7], (0.0, 0.5), "float32")
    assert read.text == GOOD


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("recipe.epochz=2", '--set recipe.epochz: unknown key; did you mean "epochs"?'),
        ("recipe.epochs=x", '--set recipe.epochs: expected an integer, not "x"'),
        ("recipe.epochs", "--set recipe.epochs: expected KEY=VALUE, as in --set recipe.epochs=2"),
        ("recipe..epochs=1", "--set recipe..epochs: expected KEY=VALUE"),
        ("models.2.stem=cifar", "--set models.2.stem: models is a list of 2; expected an index from 0 to 1"),
        ("recipe.lr.x=1", "--set recipe.lr.x: recipe.lr is 0.001, which has no 'x' inside"),
        ("seeds=[1", "--set seeds: value:1:3: not YAML: expected ',' or ']'"),
        ("seeds=!!int 3", "--set seeds: value:1:1: the tag tag:yaml.org,2002:int; remove it"),
    ],
)
def test_a_bad_override_is_named(assignment, expected):
    (told,) = findings(GOOD, assignment)

    assert told.startswith(expected)


def test_an_override_mends_what_it_replaces():
    assert suite.parse(changed("seeds: 3", "seeds: [1, 1]"), "s.yaml", ["seeds=1"]).seeds == 1


@given(st.text(max_size=200))
@example("\ud800")
@example("\ufeff\t")
@example('"\\ud800": 1')
def test_only_a_suite_error_escapes_for_random_text(text):
    with pytest.raises(SuiteError):
        suite.parse(text, "s.yaml")


@given(st.data())
def test_only_a_suite_error_escapes_for_a_damaged_suite(data):
    at = data.draw(st.integers(0, len(GOOD)))
    inserted = data.draw(st.text("{}[]&*!|>%@`'\",:?-#~\\ \n\t01.eE<x", min_size=1, max_size=12))

    told = findings_if_any(GOOD[:at] + inserted + GOOD[at + data.draw(st.integers(0, 5)) :])

    assert all(line.startswith("s.yaml:") for line in told)


@given(st.text("abcdefghijklmnoprst.0123456789=[]{}:,&*! \t\n'\"", max_size=40))
def test_only_a_suite_error_escapes_for_a_random_override(text):
    told = findings_if_any(GOOD, text)

    assert not told or any(line.startswith("--set") for line in told)


def test_a_byte_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"protocol: pai-v1\ntitle: caf\xe9\n")

    with pytest.raises(SuiteError, match=r"s\.yaml:2:11: byte 0xe9 is not UTF-8; save the file as UTF-8"):
        suite.load(path)


@pytest.mark.parametrize("name", [".", "absent.yaml", "nul\0.yaml"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(SuiteError, match=r"cannot be read: .*; expected a suite in YAML"):
        suite.load(f"{tmp_path}/{name}")


def test_finds_a_shipped_suite_by_name_and_a_file_by_path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)

    assert suite.find(str(path)) == path
    assert suite.find("quickstart").read_bytes() == (ROOT / "suites/quickstart.yaml").read_bytes()


def test_an_unknown_suite_is_told_with_those_that_exist():
    with pytest.raises(SuiteError, match=r"no suite 'quikstart'; did you mean 'quickstart'\? known: cifar, cifar_cpu,"):
        suite.find("quikstart")


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_suites_are_valid_and_name_the_schema(path):
    assert path.read_text().startswith("# yaml-language-server: $schema=../pabench.schema.json\n")
    assert suite.load(path).protocol == "pai-v1"


def test_the_schema_in_the_repository_is_current():
    written = json.loads((ROOT / "pabench.schema.json").read_text())

    assert written == suite.json_schema(), "write pabench.schema.json again: pabench schema > pabench.store.schema.json"


def test_the_examples_of_yamlfile_hold():
    assert tuple(doctest.testmod(yaml)) == (0, 3)  # failed, tried


def test_importing_suite_and_study_loads_no_torch_and_no_timm():
    code = "import sys, pabench.suite.suite, pabench.suite.grid; print({'torch', 'timm'} & set(sys.modules))"

    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "set()\n"
