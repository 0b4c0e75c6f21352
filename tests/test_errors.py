"""The remedy of an unknown name."""

from __future__ import annotations

import doctest

from pabench import errors
from pabench.errors import did_you_mean


def test_the_examples_hold():
    assert doctest.testmod(errors) == (0, 1)


def test_a_name_that_is_like_none_gets_no_guess():
    assert did_you_mean("qqq", ["snip", "grasp"]) == "known: grasp, snip"
