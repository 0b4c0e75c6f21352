"""YAML is read strictly, with the place of every value, and whatever else it is, it is refused."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import example, given, strategies as st

from pabench.errors import SuiteError
from pabench.suite import suite, yaml

from .conftest import GOOD, changed, findings


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


MALFORMED = {
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
    "many values": ("[" + "1," * 60_000 + "1]", "more than 50,000 values; a suite names things, it holds no data"),
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


@pytest.mark.parametrize("what", MALFORMED)
def test_refuses_a_bad_text_with_its_place(what):
    text, expected = MALFORMED[what]

    told = findings(text)

    assert all(line.startswith("s.yaml:") for line in told)
    assert any(expected in line for line in told), told


@given(st.text(max_size=200))
@example("\ud800")
@example("\ufeff\t")
@example('"\\ud800": 1')
def test_only_a_suite_error_escapes_for_random_text(text):
    with pytest.raises(SuiteError):
        suite.parse(text, "s.yaml")


def test_a_byte_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"protocol: pai-v1\ntitle: caf\xe9\n")

    with pytest.raises(SuiteError, match=r"s\.yaml:2:11: byte 0xe9 is not UTF-8; save the file as UTF-8"):
        suite.load(path)


def test_the_examples_of_yamlfile_hold():
    assert tuple(doctest.testmod(yaml)) == (0, 3)  # failed, tried


def test_of_very_many_findings_the_first_are_told():
    """40,000 lines of errors were printed, of a file that one list too long had made."""
    with pytest.raises(SuiteError) as found:
        suite.parse(changed("seeds: 3", "seeds: 3\n" + "".join(f"k{n}: 1\n" for n in range(2000))), "s.yaml")

    lines = str(found.value).splitlines()
    assert lines[0].startswith("s.yaml:12:1: k0: unknown key")
    assert len(lines) == yaml.SHOWN_FINDINGS + 1
    assert lines[-1] == f"and {yaml.MAX_FINDINGS - yaml.SHOWN_FINDINGS} more"
