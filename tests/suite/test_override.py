"""`--set KEY=VALUE`: what it replaces, makes and opens, and how a bad one is named."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from pabench.suite import suite

from .conftest import GOOD, changed, findings, findings_if_any


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
        ("recipe.epochs=x", '--set recipe.epochs: expected a whole number, not "x"'),
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


def test_a_plus_puts_one_at_the_end_of_a_list():
    """In the order of the overrides: after those of others, whatever they left there."""
    read = suite.parse(GOOD, "s.yaml", ["criteria=[random]", "criteria.+=snip", "criteria.+={name: synflow, steps: 9}"])

    assert [entry.name for entry in read.criteria] == ["random", "snip", "synflow"]
    assert read.criteria[2].params == {"steps": 9}


def test_what_is_put_at_the_end_is_judged_as_what_stood_there():
    assert findings(GOOD, "criteria.+=[1]")[0].startswith("--set criteria.")
    (told,) = findings(GOOD, "recipe.+=1")
    assert told.startswith("--set recipe.+: unknown key")


def test_an_override_mends_what_it_replaces():
    assert suite.parse(changed("seeds: 3", "seeds: [1, 1]"), "s.yaml", ["seeds=1"]).seeds == 1


@given(st.text("abcdefghijklmnoprst.0123456789=[]{}:,&*! \t\n'\"", max_size=40))
def test_only_a_suite_error_escapes_for_a_random_override(text):
    told = findings_if_any(GOOD, text)

    assert not told or any(line.startswith("--set") for line in told)
