"""Steps of training as CUDA graphs: recorded once for each shape of batch, and launched as a whole from then on.

A small network's step is some 200 kernels, each of which takes the CPU longer to launch than the GPU to run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from pabench.suite.specs import Recipe

Step = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""What is done with a batch; its results are new tensors."""
WARM = 3
"""Steps of a shape that are taken before one is recorded: libraries choose and set up their kernels in the first, the
optimizer makes its state."""


def declines(recipe: Recipe, device: torch.device) -> str:
    """Why steps are not recorded though the recipe asks for it; "" where they are."""
    if device.type != "cuda":
        return f"there are no CUDA graphs on {device.type}"
    return "compile: true makes graphs of its own" if recipe.compile else ""


class Recorded:
    """A step that is recorded for each shape of batch and played for later ones of that shape.

    What a step changes (weights, the optimizer's state, statistics of BatchNorm, the state of the GPU's generator) is
    changed in place by every play; numbers of Python are those of the recording, so that a learning rate must be a
    tensor. A step that cannot be recorded is taken as it is, and `declined` says why.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._taken = Counter[tuple[torch.Size, torch.dtype]]()
        self._records: dict[tuple[torch.Size, torch.dtype], Record] = {}
        self.declined = ""

    @property
    def recorded(self) -> int:
        """Shapes that there is a recording of."""
        return len(self._records)

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        kind = (x.shape, x.dtype)
        if kind in self._records:
            return self._records[kind].play(x, y)
        if self.declined:
            return self._step(x, y)
        if self._taken[kind] < WARM:
            self._taken[kind] += 1
            return aside(self._step, x, y)
        try:
            made = Record(self._step, x, y)
        except Exception as error:  # of a network whose forward reads a number, or of a library that cannot
            self.declined = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            return self._step(x, y)
        self._records[kind] = made
        return made.play(x, y)


class Record:
    """One recording, with the tensors that it reads its batch from and leaves its results in."""

    def __init__(self, step: Step, x: Tensor, y: Tensor) -> None:
        self._batch = x.clone(), y.clone()
        self._play, self._results = capture(lambda: step(*self._batch))

    def play(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        for there, given in zip(self._batch, (x, y), strict=True):
            there.copy_(given)
        self._play()
        return tuple(result.clone() for result in self._results)  # the next play overwrites them


def aside(step: Step, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """A step on a stream of its own, as the one before a recording must be: what autograd sets up there is recorded."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        results = step(x, y)
    torch.cuda.current_stream().wait_stream(stream)
    return results


def capture(take: Callable[[], tuple[Tensor, ...]]) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
    """A recording of what `take` launches, which is not run, and the tensors that its plays leave results in."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = take()
    return graph.replay, results
