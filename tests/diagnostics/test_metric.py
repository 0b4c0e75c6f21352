"""Metrics as plugins: found, validated, measured beside the records, and never a reason for a cell to fail."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from pabench import registry
from pabench.cli.main import app
from pabench.diagnostics.metric import MetricContext, checked
from pabench.errors import PluginError

CHEAP = ["effective_density", "gradient_norm", "layer_collapse", "overlap", "steps_to", "synflow_r"]
DEAR = ["jacobian", "layer_flow", "ntk", "planted"]


def test_built_in_metrics_are_found_file_by_file_and_say_what_they_cost():
    classes = registry.group("metrics").classes

    assert not registry.group("metrics").broken
    assert sorted(n for n, c in classes.items() if c.cost == "cheap") == CHEAP
    assert sorted(n for n, c in classes.items() if c.cost == "dear") == DEAR


def test_they_are_listed_with_their_cost():
    lines = CliRunner().invoke(app, ["metrics"]).stdout.splitlines()

    assert [line.split()[:2] for line in lines] == sorted([[n, "cheap"] for n in CHEAP] + [[n, "dear"] for n in DEAR])
    assert "overlap            cheap  Mask overlap of two criteria, against chance" in lines


def test_images_are_spread_evenly_over_all_batches():
    batches = ((torch.arange(6.0)[:, None], torch.zeros(6)), (torch.arange(6.0, 10.0)[:, None], torch.zeros(4)))
    ctx = MetricContext(lambda: batches)

    assert ctx.images(5).flatten().tolist() == [0, 2, 4, 6, 8]
    assert len(ctx.images(99)) == 10


def test_numbers_that_are_not_finite_become_none_and_other_things_are_refused():
    assert checked({"a": 1, "b": float("nan"), "c": float("inf"), "d": None}, "m") == {
        **{"a": 1.0, "b": None},
        **{"c": None, "d": None},
    }
    with pytest.raises(PluginError, match="m: a: Tensor, expected a number or None"):
        checked({"a": torch.ones(())}, "m")
