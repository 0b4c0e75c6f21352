"""Parameters of a plugin are checked strictly, and all that is wrong is told at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pabench.parameters import ADDED, ParameterError, PositiveInt, create, told


@dataclass(frozen=True, kw_only=True)
class Plugin:
    steps: PositiveInt = 1
    beta: float = 0.5


def test_a_count_for_a_number_is_taken_and_text_is_not():
    assert create(Plugin, {"beta": 2, "steps": 3}, "mine") == Plugin(steps=3, beta=2)
    with pytest.raises(ParameterError, match=r"mine: steps: .*valid integer, not '3'"):
        create(Plugin, {"steps": "3"}, "mine")


def test_everything_that_is_wrong_is_told_by_its_name():
    with pytest.raises(ParameterError) as caught:
        create(Plugin, {"steps": 0, "stepz": 1, "beta": "x"}, "mine")

    assert [name for name, _ in caught.value.problems] == ["steps", "stepz", "beta"]
    assert caught.value.problems[1][1] == "unknown parameter of mine; did you mean 'steps'? known: beta, steps"


@dataclass(frozen=True, kw_only=True)
class Grown(Plugin):
    pattern: str = field(default="", metadata=ADDED)


def test_a_parameter_that_came_later_is_told_where_it_is_given_alone():
    assert told(Grown()) == told(Plugin()) == {"steps": 1, "beta": 0.5}
    assert told(Grown(pattern="2:4")) == {"steps": 1, "beta": 0.5, "pattern": "2:4"}
