"""Running a network with some of its operations replaced: relu by identity, BatchNorm by its scale, and the like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode

Operation = Callable[..., Any]


class Rewired(TorchFunctionMode):
    """Within it, every torch operation of a name in `table` is computed by the function given for it.

    Names are those of the functions that end up being called: `relu`, `hardtanh` (ReLU6 as well), `gelu`, `silu`,
    `hardswish`, `hardsigmoid`, `sigmoid`, `softmax`, `batch_norm`, `layer_norm`, `group_norm`, `conv2d`, `linear`,
    `matmul`, `mul`, `scaled_dot_product_attention`, whether a network calls them as modules, functions or methods
    (an in-place method `relu_` goes by `relu`). A replacement gets the arguments of the call; operations inside it are
    not replaced again. It works under autograd and under torch.func, and leaves the network as it is.

    >>> import torch
    >>> with Rewired({"relu": lambda x, inplace=False: x}):
    ...     torch.nn.ReLU()(torch.tensor([-1.0, 2.0])).tolist()
    [-1.0, 2.0]
    """

    def __init__(self, table: Mapping[str, Operation]) -> None:
        super().__init__()
        self.table = dict(table)

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        replacement = self.table.get(name if name.endswith("__") else name.rstrip("_"))
        return (replacement or func)(*args, **(kwargs or {}))
