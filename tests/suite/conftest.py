"""A suite in which nothing is wrong, and what is told of one that was changed."""

from __future__ import annotations

import pytest

from pabench.errors import SuiteError
from pabench.suite import suite

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
