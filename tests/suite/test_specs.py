"""What a suite names, as plain data with a label and an identity."""

from __future__ import annotations

import doctest

from pabench.suite import specs


def test_the_examples_hold():
    assert doctest.testmod(specs) == (0, 3)
