"""All that is wrong with a suite is told once, in its order, and cannot write to a terminal."""

from __future__ import annotations

import doctest

from pabench.suite import findings as module

from .conftest import GOOD, changed, findings


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


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(module).failed == 0
    assert module._of_number("90%", whole=True) == ""  # 0.9 is no number of epochs
