"""Checkpoints: a training that was ended between any two steps gives the numbers of one that was not."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pabench.errors import Interrupted, RefusedError
from pabench.scoring.gradual import Gradual
from pabench.training import checkpoint
from pabench.training.checkpoint import KEPT, SHARE, Checkpoints, as_many_threads
from pabench.training.loop import train

from .conftest import CPU, RECIPE, STEPS


class Training:
    """A network with everything that a checkpoint has to keep: statistics, momentum, dropout."""

    def __init__(self, source, recipe=RECIPE):
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(32, 2)
        self.module = nn.Sequential(*layers)
        generator = torch.Generator().manual_seed(1)
        weights = {name: self.module.get_parameter(name) for name in ("0.weight", "5.weight")}
        self.masks = {name: torch.rand(w.shape, generator=generator) < 0.5 for name, w in weights.items()}
        self.source, self.recipe, self.steps = source, recipe, 0

    def run(self, checkpoints=None, *, ended_in=0, **more):
        """Its curve. The process is told to end while the step with the number `ended_in` is taken."""

        def count(*_):
            self.steps += 1
            if self.steps == ended_in:
                os.kill(os.getpid(), signal.SIGTERM)

        self.module.register_forward_hook(count)
        torch.manual_seed(7)
        seeds = {"order_seed": 1, "augment_seed": 2}
        return train(
            self.module, self.masks, self.source, self.recipe, device=CPU, checkpoints=checkpoints, **seeds, **more
        )

    @property
    def state(self):
        return {name: tensor.tolist() for name, tensor in self.module.state_dict().items()}


def interrupted(source, folder, ended_in, recipe=RECIPE, **more):
    with pytest.raises(Interrupted):
        Training(source, recipe).run(Checkpoints(folder, {}), ended_in=ended_in, **more)


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        replace(RECIPE, optimizer="adamw", lr=0.01),
        replace(RECIPE, precision="bfloat16", momentum=0.0),
        replace(RECIPE, nesterov=True, batch_size=7, schedule="step", milestones=(1,)),
    ],
    ids=["sgd", "adamw", "bfloat16", "nesterov"],
)
def test_a_training_that_ends_in_any_step_goes_on_to_the_numbers_of_one_that_does_not(
    source, tmp_path, heard, recipe, record_property
):
    whole = Training(source, recipe)
    curve = whole.run()

    for ended_in in range(1, whole.steps + 1):
        folder = tmp_path / str(ended_in)
        interrupted(source, folder, ended_in, recipe)
        rest = Training(source, recipe)
        assert rest.run(Checkpoints(folder, {})) == curve
        assert rest.state == whole.state
        assert rest.steps == whole.steps - ended_in
    record_property("injected", whole.steps)


def test_a_network_that_is_pruned_while_it_trains_goes_on_from_any_step_without_its_masks(source, tmp_path, heard):
    """Four prunings between step 2 and 7 of 9: masks follow from a step's number and the weights."""
    gradual = Gradual(0.2, 0.2, 0.8, 4, "uniform")
    whole = Training(source)
    curve = whole.run(gradual=gradual)

    for ended_in in range(1, STEPS + 1):
        interrupted(source, tmp_path / str(ended_in), ended_in, gradual=gradual)
        rest = Training(source)
        assert rest.run(Checkpoints(tmp_path / str(ended_in), {}), gradual=gradual) == curve
        assert rest.state == whole.state
    assert (whole.module[5].weight == 0).float().mean() == pytest.approx(0.8, abs=0.02)
    assert heard == [signal.SIGTERM] * whole.steps  # who waited for the signal before is told, too


def test_one_that_is_ended_in_every_step_gets_there_too(source, tmp_path, heard, record_property):
    whole = Training(source)
    curve = whole.run()

    for _ in range(STEPS):
        interrupted(source, tmp_path, ended_in=1)

    last = Training(source)
    assert last.run(Checkpoints(tmp_path, {})) == curve
    assert (last.state, last.steps) == (whole.state, 0)
    record_property("injected", STEPS)


def test_masks_that_take_hold_later_do_so_in_what_goes_on(source, tmp_path, heard):
    whole = Training(source)
    curve = whole.run(dense_epochs=1)

    for ended_in in (2, 3, 4):  # before, at and after the end of the epoch without masks
        interrupted(source, tmp_path / str(ended_in), ended_in, dense_epochs=1)
        rest = Training(source)
        assert rest.run(Checkpoints(tmp_path / str(ended_in), {}), dense_epochs=1) == curve
        assert rest.state == whole.state


@pytest.mark.parametrize("damage", ["empty", "a byte", "half", "all but one", "flipped"])
def test_of_two_the_one_before_counts_where_the_newest_is_broken(source, tmp_path, heard, damage):
    whole = Training(source)
    curve = whole.run()
    for ended_in in (2, 3, 1):  # after steps 2, 5 and 6
        interrupted(source, tmp_path, ended_in)
    before, newest = sorted(tmp_path.iterdir())
    assert (int(before.name[:12]), int(newest.name[:12]), KEPT) == (5, 6, 2)
    data = newest.read_bytes()
    broken = {"empty": b"", "a byte": data[:1], "half": data[: len(data) // 2], "all but one": data[:-1]}
    newest.write_bytes(broken.get(damage, data[:-1] + bytes([data[-1] ^ 1])))

    rest = Training(source)

    assert rest.run(Checkpoints(tmp_path, {})) == curve
    assert (rest.state, rest.steps) == (whole.state, STEPS - 5)


def test_where_both_are_broken_it_begins_anew(source, tmp_path, heard):
    curve = Training(source).run()
    interrupted(source, tmp_path, ended_in=4)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1])

    rest = Training(source)

    assert rest.run(Checkpoints(tmp_path, {})) == curve
    assert (rest.steps, list(tmp_path.iterdir())) == (STEPS, [])


def test_what_another_version_has_left_is_of_no_use_and_in_nobodys_way(source, tmp_path, heard):
    """Its steps are further than those of the training that begins anew: they must not push that one's out."""
    with pytest.raises(Interrupted):
        Training(source).run(Checkpoints(tmp_path, {"torch": "2.11"}), ended_in=8)
    with pytest.raises(Interrupted):
        Training(source).run(Checkpoints(tmp_path, {"torch": "2.12"}), ended_in=2)

    assert [path.name[:12] for path in tmp_path.iterdir()] == ["000000000002"]


def test_they_take_no_more_of_the_time_than_their_share(tmp_path, monkeypatch):
    """On a clock of its own: a step takes a second, a checkpoint three; the first is put off by what it may take."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(checkpoint.files, "write_once", lambda *_: setattr(clock, "now", clock.now + 3))
    kept = Checkpoints(tmp_path, {})
    written = []
    while clock.now < 2000:
        if kept.due(200_000_000):  # two seconds on a slow disk
            began = clock.now
            kept.write(checkpoint.Snapshot(1, {"w": torch.zeros(1)}, {}), began)
            written.append(began)
        clock.now += 1

    # 2 s are 2 % of 100; then it is known that they take 3, of 150
    assert written[:3] == [100, 253, 406]
    assert len(written) * 3 <= SHARE * 2000


def test_short_trainings_keep_none(source, tmp_path):
    Training(source).run(Checkpoints(tmp_path, {}))

    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_stops_no_training(source, tmp_path, heard, monkeypatch):
    def full(*_):
        raise RefusedError("disk full")

    monkeypatch.setattr(checkpoint, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 1e9)
    monkeypatch.setattr(checkpoint.files, "write_once", full)
    one, other = Training(source), Training(source)

    assert one.run(Checkpoints(tmp_path, {})) == other.run()


def test_the_time_of_ended_processes_is_counted(source, tmp_path, heard, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=lambda: clock.now))
    kept = Checkpoints(tmp_path, {})
    clock.now = 5.0
    kept.write(checkpoint.Snapshot(3, {}, {}), 4.0)

    again = Checkpoints(tmp_path, {})
    again.newest()
    clock.now = 12.0
    again.write(checkpoint.Snapshot(4, {}, {}), 12.0)

    last = Checkpoints(tmp_path, {})
    assert last.newest().steps == 4
    assert last.seconds == 12.0  # five of the first process, seven of the second


def test_a_task_goes_on_with_the_threads_that_it_began_with(tmp_path):
    before = torch.get_num_threads()
    Checkpoints(tmp_path / "masked", {"threads": before + 1}).write(checkpoint.Snapshot(1, {}, {}), 0.0)

    with as_many_threads(tmp_path, most=before + 1):
        assert torch.get_num_threads() == before + 1
    with as_many_threads(tmp_path, most=before):  # of a larger machine: it would crawl here
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before
