"""Engines by name, with options from the command line."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from pabench import registry
from pabench.errors import PluginError, SuiteError
from pabench.run.engine import Inline
from pabench.run.engines import choice
from pabench.run.engines.ray import Ray
from pabench.run.engines.slurm import Slurm
from pabench.run.processes import Processes


def test_options_become_the_fields_of_the_engine():
    assert choice.create("inline").__class__ is Inline
    assert choice.create("processes", ["grace=2.5", "attempts=1"]) == Processes(grace=2.5, attempts=1)
    assert choice.create("ray", ["address=head:6379", "gpus=0.25"]) == Ray(address="head:6379", gpus=0.25)
    made = choice.create("slurm", ["partition=gpu", "time=2:00:00", "cells=4", "gres=gpu:a100:2"])
    assert made == Slurm(partition="gpu", time="2:00:00", cells=4, gres="gpu:a100:2")


@pytest.mark.parametrize(
    ("name", "option", "said"),
    [
        ("rya", "", "--engine rya: no such engine; did you mean 'ray'? known: inline, processes, ray, slurm"),
        ("slurm", "partitoin=gpu", "--engine-arg partitoin: no option of the engine slurm; did you mean 'partition'?"),
        ("slurm", "partition", "--engine-arg partition: expected KEY=VALUE"),
        ("slurm", "cells=0", "--engine-arg cells: input should be greater than or equal to 1, not '0'"),
        ("slurm", "grace=300", "--engine slurm: warning=120: expected at least grace=300 and 15 s more"),
        ("ray", "gpus=half", "--engine-arg gpus: input should be a valid number"),
        ("ray", "preload=torch", "--engine-arg preload: no option of the engine ray"),
        ("inline", "jobs=2", "--engine-arg jobs: no option of the engine inline; it has none"),
    ],
)
def test_what_is_wrong_is_one_line_with_what_was_meant(name, option, said):
    with pytest.raises(SuiteError) as error:
        choice.create(name, [option] if option else [])
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_an_engine_of_another_distribution_is_found_by_its_entry_point(monkeypatch):
    theirs = [EntryPoint("theirs", "pabench.run.processes:Processes", choice.GROUP)]
    monkeypatch.setattr(registry, "installed", lambda: EntryPoints(theirs))
    assert choice.create("theirs", ["attempts=2"]) == Processes(attempts=2)


def test_two_engines_of_one_name_are_refused_with_both_places(monkeypatch):
    both = [EntryPoint("fast", "one:Engine", choice.GROUP), EntryPoint("fast", "two:Engine", choice.GROUP)]
    monkeypatch.setattr(registry, "installed", lambda: EntryPoints(both))
    with pytest.raises(PluginError, match="fast: offered as one:Engine and as two:Engine"):
        choice.create("fast")
