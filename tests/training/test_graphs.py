"""Recorded steps: the same training as step by step, whatever the shape of the batch, the learning rate and the masks.

There is no CUDA where these tests usually run. The stand-in below keeps to what a CUDA graph does: it records
operations with the tensors they work on, leaves no trace of the recording, and plays them on the same tensors, without
Python.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from pabench.data.split import Images
from pabench.suite.specs import Augment, Recipe
from pabench.training import graphs
from pabench.training.graphs import WARM, Recorded, declines
from pabench.training.loop import Source, train

CPU = torch.device("cpu")
RECIPE = Recipe(
    epochs=6,
    batch_size=8,
    lr=0.125,
    weight_decay=0.0625,
    schedule="step",
    milestones=(2, 5),
    gamma=0.5,
    precision="float32",
    augment=Augment(crop=1, flip=True),
)


class Tape(TorchDispatchMode):
    """Operations as they are dispatched; what the recording writes to is put back when it ends."""

    def __init__(self):
        super().__init__()
        self.operations, self._before, self._random = [], {}, torch.get_rng_state()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing\n(a number was read)")
        for argument, given in zip(function._schema.arguments, args, strict=False):
            if _written(function, argument):
                for tensor in tree_flatten(given)[0]:
                    if isinstance(tensor, torch.Tensor):
                        self._before.setdefault(id(tensor), (tensor, tensor.clone()))
        results = function(*args, **kwargs)
        self.operations.append((function, args, kwargs, results))
        return results

    def __exit__(self, *error):
        super().__exit__(*error)
        with torch.no_grad():
            for tensor, before in reversed(self._before.values()):  # a view of what was written to before is later
                tensor.copy_(before)
        torch.set_rng_state(self._random)

    @torch.no_grad()
    def play(self):
        for function, args, kwargs, results in self.operations:
            again = function(*args, **kwargs)
            for there, new in zip(tree_flatten(results)[0], tree_flatten(again)[0], strict=True):
                if isinstance(there, torch.Tensor) and there is not new:
                    there.detach().copy_(new)


def _written(function, argument) -> bool:
    """Whether an operation writes to an argument; of its statistics BatchNorm's schema does not say it."""
    unsaid = function is torch.ops.aten.native_batch_norm.default and argument.name.startswith("running")
    return unsaid or (argument.alias_info is not None and argument.alias_info.is_write)


@pytest.fixture
def tapes(monkeypatch):
    """Recording on the CPU: every tape that was made."""
    made = []

    def capture(take):
        with Tape() as tape:
            results = take()
        made.append(tape)
        return tape.play, results

    monkeypatch.setattr(graphs, "capture", capture)
    monkeypatch.setattr(graphs, "aside", lambda step, x, y: step(x, y))
    monkeypatch.setattr(graphs, "declines", lambda recipe, device: "")
    return made


@pytest.fixture
def source():
    """45 images of 3x4x4 in two classes: five batches of 8 and one of 5."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (45, 3, 4, 4), generator=generator, dtype=torch.uint8)
    return Source(Images(pixels, torch.arange(45) % 2), (0.5,) * 3, (0.25,) * 3)


def network(*more) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), *more, nn.Flatten(), nn.Linear(32, 2))


def run(source, recipe, *more, masked=True, device=CPU, **how):
    """Curve, state and news of a training; `more` are layers within the network."""
    module, news = network(*more), []
    head = f"{len(module) - 1}.weight"
    generator = torch.Generator().manual_seed(1)
    kept = {n: torch.rand(module.get_parameter(n).shape, generator=generator) < 0.5 for n in ("0.weight", head)}
    torch.manual_seed(7)
    seeds = {"order_seed": 0, "augment_seed": 0}
    curve = train(module, kept if masked else {}, source, recipe, device=device, report=news.append, **seeds, **how)
    return curve, {n: t.cpu() for n, t in module.state_dict().items()}, news


def same(one, other) -> bool:
    return one[0] == other[0] and all(torch.equal(one[1][n], other[1][n]) for n in one[1])


@pytest.mark.parametrize("change", [{}, {"nesterov": True}, {"momentum": 0.0}, {"optimizer": "adamw"}, {"epochs": 2}])
def test_a_recorded_training_is_equal_to_the_bit(tapes, source, change):
    """Both shapes are recorded once each has been seen three times; weights, statistics and curves are the same."""
    milestones = (1,) if change.get("epochs") == 2 else RECIPE.milestones
    recipe = replace(RECIPE, milestones=milestones, **change)

    plain, recorded = (run(source, replace(recipe, cuda_graphs=graph)) for graph in (False, True))

    assert same(plain, recorded)
    shapes = sorted(tape.operations[0][1][0].shape[0] for tape in tapes)
    assert len(tapes) == (1 if recipe.epochs <= WARM else 2), shapes
    assert recorded[2][-1] == {"cuda_graphs": {"shapes": len(tapes)}}


def test_it_is_the_tape_that_trains(tapes, source, monkeypatch):
    """With tapes that play nothing the network stays as the first three steps of each shape left it."""
    plain = run(source, RECIPE)
    monkeypatch.setattr(Tape, "play", lambda self: None)

    assert not same(plain, run(source, replace(RECIPE, cuda_graphs=True)))


def test_masks_that_take_hold_later_are_recorded_anew(tapes, source):
    plain, recorded = (run(source, replace(RECIPE, cuda_graphs=g), dense_epochs=4) for g in (False, True))

    assert same(plain, recorded)
    assert len(tapes) == 3  # both shapes without masks, the whole batch with them: the short one came but twice
    weight = recorded[1]["0.weight"]
    assert 0.3 < (weight == 0).double().mean() < 0.7


def test_what_dropout_draws_goes_on_from_step_to_step(tapes, source):
    plain, recorded = (run(source, replace(RECIPE, cuda_graphs=g), nn.Dropout(0.5)) for g in (False, True))

    assert same(plain, recorded)


def test_a_learning_rate_that_changes_with_every_step_reaches_the_tape(tapes, source):
    """0.1 on half a cosine is no number of float32, and kernels of float32 weights round it as the tensor does."""
    recipe = replace(RECIPE, lr=0.1, schedule="cosine", milestones=(), epochs=4)
    plain, recorded = (run(source, replace(recipe, cuda_graphs=graph)) for graph in (False, True))

    assert same(plain, recorded)


class Reading(nn.Module):
    def forward(self, x):
        return x * (1.0 if float(x.detach().abs().max()) >= 0 else 2.0)


def test_a_network_that_reads_numbers_is_trained_step_by_step_and_says_why(tapes, source):
    plain, recorded = (run(source, replace(RECIPE, cuda_graphs=graph), Reading()) for graph in (False, True))

    assert same(plain, recorded)
    assert recorded[2][-1] == {
        "cuda_graphs": {"declined": "RuntimeError: operation not permitted when stream is capturing"}
    }


def test_results_of_a_play_are_not_overwritten_by_the_next(tapes):
    step = Recorded(lambda x, y: (x * 2, x + y))
    batches = [(torch.full((2,), float(n)), torch.ones(2)) for n in range(6)]
    results = [step(x, y) for x, y in batches]

    assert [float(double[0]) for double, _ in results] == [0, 2, 4, 6, 8, 10]
    assert [float(more[1]) for _, more in results] == [1, 2, 3, 4, 5, 6]
    assert (step.recorded, len(tapes)) == (1, 1)


def test_without_cuda_and_with_compile_steps_are_not_recorded(source):
    cuda = torch.device("cuda")

    assert declines(RECIPE, CPU) == "there are no CUDA graphs on cpu"
    assert declines(replace(RECIPE, compile=True), cuda) == "compile: true makes graphs of its own"
    assert declines(RECIPE, cuda) == ""
    plain, asked = (run(source, replace(RECIPE, cuda_graphs=graph)) for graph in (False, True))
    assert same(plain, asked)
    assert asked[2][-1] == {"cuda_graphs": {"declined": "there are no CUDA graphs on cpu"}}
    assert all("cuda_graphs" not in event for event in plain[2])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("more", [(), (nn.Dropout(0.5),)], ids=["plain", "dropout"])
def test_on_cuda_graphs_train_as_steps_do(source, precision, optimizer, more):
    """Losses and weights of six epochs, with kernels that repeat themselves."""
    recipe = replace(RECIPE, precision=precision, optimizer=optimizer)
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        plain, recorded = (
            run(source, replace(recipe, cuda_graphs=graph), *more, device=torch.device("cuda"))
            for graph in (False, True)
        )

    assert recorded[2][-1] == {"cuda_graphs": {"shapes": 2}}
    assert recorded[0]["loss"] == pytest.approx(plain[0]["loss"], rel=1e-6)
    for name, tensor in plain[1].items():
        assert torch.allclose(recorded[1][name].double(), tensor.double(), rtol=1e-5, atol=1e-6), name
