"""Parameters of a plugin are checked strictly, and all that is wrong is told at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from pabench.parameters import ADDED, ParameterError, PositiveInt, create, told, undeclared


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


@dataclass(frozen=True, kw_only=True)
class Endless:
    clip: float = float("inf")


def test_a_default_that_is_not_finite_is_told():
    """JSON has no infinity, and neither have keys and records."""
    with pytest.raises(ParameterError, match="endless: clip: expected a finite number, not inf"):
        create(Endless, {}, "endless")

    assert create(Endless, {"clip": 3.0}, "endless").clip == 3


def test_a_parameter_that_came_later_is_told_where_it_is_given_alone():
    assert told(Grown()) == told(Plugin()) == {"steps": 1, "beta": 0.5}
    assert told(Grown(pattern="2:4")) == {"steps": 1, "beta": 0.5, "pattern": "2:4"}


class Cache:
    """What a plugin takes methods from, and is no dataclass."""

    kept: int = 0


@dataclass(frozen=True, kw_only=True)
class Mixed(Cache, Plugin):
    @property
    def beta(self):
        return 0.25


@dataclass(frozen=True, kw_only=True)
class Untyped(Plugin):
    steps = 3


class Undecorated(Plugin):
    alpha: float = 2.0


def test_what_only_looks_like_a_parameter_is_told_with_the_line_to_write():
    assert Untyped().steps == 1  # what a dataclass makes of it
    assert undeclared(Untyped) == (
        "Untyped.steps changes no parameter, since it has no type: write steps: PositiveInt = 3"
    )
    assert undeclared(Undecorated) == (
        "Undecorated.alpha is no parameter yet: write @dataclass(frozen=True, kw_only=True) above class Undecorated"
    )
    assert undeclared(Grown) == undeclared(Mixed) == ""
