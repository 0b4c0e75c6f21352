"""Ablations by their names."""

from __future__ import annotations

import doctest
from typing import get_args

from pabench.suite import ablations, suite as suites
from pabench.suite.ablations import ABLATIONS


def test_a_suite_may_name_exactly_these():
    assert get_args(suites.Ablation) == tuple(ABLATIONS)
    assert doctest.testmod(ablations).failed == 0
