"""What all sparse trainings promise: the exact count after every step, the same bits again, and going on from any."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
import torch
from torch import nn

from pabench.errors import Interrupted, SuiteError
from pabench.parameters import ParameterError
from pabench.training.checkpoint import Checkpoints
from pabench.training.loop import train
from pabench.training.sparse import METHODS, Held, method

from ..conftest import CPU, RECIPE, STEPS

ADAMW = replace(RECIPE, optimizer="adamw", lr=0.01)
ALL = [
    ("signin", {}),
    ("signin", {"beta": 0.2, "every": 2}),
    ("rigl", {"every": 2}),
    ("rigl", {"every": 1, "drop": 1.0, "until": 1.0, "layers": "free"}),
    ("set", {}),
    ("set", {"drop": 0.6, "layers": "free"}),
]
IDS = [" ".join([name, *map(str, given.values())]) for name, given in ALL]


class Training:
    """A network with all that a checkpoint keeps, masked to 40 % by chance; `counts` are of each layer at every step's
    beginning, and `signs` whether any pruned weight was anything but 0."""

    def __init__(self, source, name, given, recipe=RECIPE, seed=3):
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(32, 2)
        self.module = nn.Sequential(*layers)
        generator = torch.Generator().manual_seed(1)
        self.weights = {n: self.module.get_parameter(n) for n in ("0.weight", "5.weight")}
        self.masks = {n: torch.rand(w.shape, generator=generator) < 0.4 for n, w in self.weights.items()}
        self.held = Held(method(name, given), seed)
        self.source, self.recipe, self.steps = source, recipe, 0
        self.counts: list[dict[str, int]] = []

    def look(self):
        self.counts.append({n: int(m.sum()) for n, m in self.held.masks.items()})
        for name, mask in self.held.masks.items():
            weights = self.weights[name].detach()
            assert (weights[mask == 0].view(torch.int32) == 0).all(), "a pruned weight is not exactly 0"

    def run(self, checkpoints=None, *, ended_in=0):
        def count(*_):
            self.look()
            self.steps += 1
            if self.steps == ended_in:
                os.kill(os.getpid(), signal.SIGTERM)

        self.module.register_forward_hook(count)
        torch.manual_seed(7)
        more = {"order_seed": 1, "augment_seed": 2, "sparse": self.held, "checkpoints": checkpoints}
        curve = train(self.module, self.masks, self.source, self.recipe, device=CPU, **more)
        self.look()
        return curve

    @property
    def state(self):
        tensors = {**self.module.state_dict(), **self.held.final}
        return {name: tensor.tolist() for name, tensor in tensors.items()}


@pytest.mark.parametrize("recipe", [RECIPE, ADAMW], ids=["sgd", "adamw"])
@pytest.mark.parametrize(("name", "given"), ALL, ids=IDS)
def test_the_count_is_exact_and_what_is_pruned_is_0_after_every_single_step(source, name, given, recipe):
    training = Training(source, name, given, recipe)
    begin = {n: int(m.sum()) for n, m in training.masks.items()}

    training.run()

    assert len(training.counts) == STEPS + 1
    if given.get("layers") == "free":
        assert {sum(counts.values()) for counts in training.counts} == {sum(begin.values())}
        assert any(counts != begin for counts in training.counts)
    else:
        assert all(counts == begin for counts in training.counts)


@pytest.mark.parametrize(("name", "given"), ALL, ids=IDS)
def test_masks_move_if_the_method_says_so(source, name, given):
    training = Training(source, name, given)
    training.run()
    same = all(torch.equal(mask, training.masks[n]) for n, mask in training.held.final.items())
    assert same is not METHODS[name].moves


@pytest.mark.parametrize(("name", "given"), ALL, ids=IDS)
def test_a_training_that_ends_in_any_step_goes_on_to_the_numbers_of_one_that_does_not(
    source, tmp_path, heard, name, given
):
    whole = Training(source, name, given)
    curve = whole.run()

    for ended_in in range(1, STEPS + 1):
        folder = tmp_path / str(ended_in)
        with pytest.raises(Interrupted):
            Training(source, name, given).run(Checkpoints(folder, {}), ended_in=ended_in)
        rest = Training(source, name, given)
        assert rest.run(Checkpoints(folder, {})) == curve
        assert rest.state == whole.state
        assert rest.steps == STEPS - ended_in


@pytest.mark.parametrize(("name", "given"), ALL, ids=IDS)
def test_equal_seeds_give_equal_bits(source, name, given):
    one, other = (Training(source, name, given) for _ in range(2))
    assert one.run() == other.run()
    assert one.state == other.state


def test_only_what_is_drawn_depends_on_the_seed(source):
    def states(name):
        found = []
        for seed in (3, 4):
            training = Training(source, name, {"every": 1} if name == "rigl" else {}, seed=seed)
            training.run()
            found.append(training.state)
        return found

    assert [one == other for one, other in map(states, ("signin", "rigl", "set"))] == [True, True, False]


def test_a_method_that_never_acts_is_plain_training(source):
    """RigL that ends before it begins, to the bit."""
    sparse = Training(source, "rigl", {"until": 0.0})
    curve = sparse.run()

    plain = Training(source, "rigl", {})
    torch.manual_seed(7)
    seeds = {"order_seed": 1, "augment_seed": 2}
    assert train(plain.module, plain.masks, source, RECIPE, device=CPU, **seeds) == curve
    assert all(torch.equal(a, b) for a, b in zip(plain.module.parameters(), sparse.module.parameters(), strict=True))


def test_what_is_no_method_or_no_parameter_is_refused_with_what_was_meant():
    with pytest.raises(SuiteError, match=r"no training named 'rigel'; did you mean 'rigl'\?"):
        method("rigel", {})
    with pytest.raises(SuiteError, match="plain has no parameters"):
        method("plain", {"drop": 0.3})
    with pytest.raises(ParameterError, match=r"evry: unknown parameter of rigl; did you mean 'every'\?"):
        method("rigl", {"evry": 3})
    with pytest.raises(ParameterError, match="drop"):
        method("set", {"drop": 1.5})
    with pytest.raises(ParameterError, match="beta"):
        method("signin", {"beta": 0.0})
