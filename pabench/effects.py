"""What importing a file changes besides defining: a plugin's import may change nothing that others compute with."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import Any

WATCHED = (
    *("pabench", "torch", "torch._tensor", "torch.autograd", "torch.fft", "torch.func", "torch.linalg"),
    *("torch.random", "torch.sparse", "torch.special", "timm", "timm.models"),
)
"""Modules whose attributes are looked at, besides all below these:"""
BELOW = ("pabench.", "pabench_criteria.", "torch.nn", "torch.optim")
OTHERS = (
    *("builtins", "hashlib", "json", "math", "os", "os.path", "random", "time"),
    *("numpy", "numpy.linalg", "numpy.random"),
)
MOST = 5
"""So many changes are told by name."""
State = dict[str, dict[str, Any]]
PARTS = ("modules", "environment", "threads", "settings")
"""Parts of a state that are no namespaces."""
CODE = "code of "
GONE, INHERITED = object(), object()


def snapshot() -> State:
    """The state of this process: of each part what it has, by the words for it.

    It holds objects themselves and no addresses: that of a freed one may be given to another.
    """
    return {
        "settings": {what: read() for what, read in _SETTINGS.items()} | _signals() | _of_torch() | _of_numpy(),
        "modules": {f"sys.modules[{name!r}]": module for name, module in list(sys.modules.items())},
        "environment": {f"the environment variable {name}": value for name, value in os.environ.items()},
        "threads": {f"the thread {thread.name}": thread for thread in threading.enumerate()},
        **_namespaces(),
    }


def changes(before: State) -> list[str]:
    """What is no longer as in `before`, in words: `torch.topk`, `the default dtype`, `the environment variable HOME`.

    What is new is a change of the environment and of the threads only: any import adds modules, and their names to the
    packages that they are in.
    """
    after = snapshot()
    found: dict[str, None] = {}
    for part, old in before.items():
        new = after.get(part, {})
        if part.startswith(CODE):  # of the functions as they were: one that is replaced is told as an attribute
            names = [name for name, (function, *inside) in old.items() if not _same(inside, _inside(function))]
        else:
            names = [name for name, value in old.items() if not _same(value, new.get(name, GONE))]
        if part in ("environment", "threads"):
            names += [name for name in new if name not in old]
        # a namespace is the part of its own name: `torch.nn.functional`, `code of torch.nn.functional`
        dotted = "" if part in PARTS else f"{part.removeprefix(CODE)}."
        found |= dict.fromkeys(f"{dotted}{name}" for name in names)
    # of a class that is replaced, or of a package, its own attributes say no more
    return [what for what in found if what.rpartition(".")[0] not in found]


def told(found: list[str]) -> str:
    """Changes in one line.

    >>> told(["torch.topk", "the default dtype"]), told(list("abcdefg"))
    ('torch.topk, the default dtype', 'a, b, c, d, e and 2 more')
    """
    return ", ".join(found[:MOST]) + (f" and {len(found) - MOST} more" if len(found) > MOST else "")


def _same(old: Any, new: Any) -> bool:
    """Objects by identity, plain values by value, and what a library puts around its own function as that function."""
    if old is new or (getattr(new, "__wrapped__", GONE) is old and _of_one_library(old, new)):
        return True
    if isinstance(old, (tuple, list)) and isinstance(new, (tuple, list)):
        return len(old) == len(new) and all(map(_same, old, new))
    return type(old) is type(new) and isinstance(old, (bool, int, float, str, bytes)) and bool(old == new)


def _of_one_library(old: Any, new: Any) -> bool:
    """Whether both are code of one library: torch wraps some of its functions when it first compiles."""
    packages = [str(getattr(function, "__globals__", {}).get("__name__")).partition(".")[0] for function in (old, new)]
    return packages[0] == packages[1] != "pabench"


def _namespaces() -> State:
    """The attributes of the watched modules and of the classes that they define, and the code of functions there."""
    found: State = {}
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and (name in (*WATCHED, *OTHERS) or name.startswith(BELOW)):
            found |= _attributes(name, module)
            for attribute, value in list(vars(module).items()):
                # torch.Tensor is defined elsewhere
                if isinstance(value, type) and (value.__module__ == name or name == "torch"):
                    found |= _attributes(f"{name}.{attribute}", value)
    return found


def _attributes(name: str, namespace: Any) -> State:
    own = dict(vars(namespace))
    for base in getattr(namespace, "__mro__", ())[1:]:  # one that a class gets would hide that of its base
        for attribute in vars(base):
            own.setdefault(attribute, INHERITED)
    home = getattr(namespace, "__module__", name)  # a function is told where it is defined
    functions = {k: value for k, value in own.items() if isinstance(value, FunctionType) and value.__module__ == home}
    return {name: own, f"{CODE}{name}": {attribute: (f, *_inside(f)) for attribute, f in functions.items()}}


def _inside(function: FunctionType) -> list[Any]:
    """What of a function can be replaced while it stays the same object."""
    return [function.__code__, function.__defaults__, function.__kwdefaults__]


# --- Settings ---------------------------------------------------------------------------------------------------------

_SETTINGS: Mapping[str, Callable[[], Any]] = {
    "the working directory": os.getcwd,
    "the umask": lambda: _umask(),
    "the flushing of denormal numbers": lambda: float("5e-324") * 1.0 == 0,  # nothing else tells that it is on
    "the start method of processes": lambda: multiprocessing.get_start_method(allow_none=True),
    "Python's random state": lambda: repr(random.getstate()),
    "sys.stdout": lambda: sys.stdout,
    "sys.stderr": lambda: sys.stderr,
    "sys.excepthook": lambda: sys.excepthook,
    "the trace function": sys.gettrace,
}


def _umask() -> int:
    mask = os.umask(0o77)  # there is no way of only looking at it
    os.umask(mask)
    return mask


def _signals() -> dict[str, Any]:
    return {f"the handler of {number.name}": signal.getsignal(number) for number in signal.Signals}


def _of_torch() -> dict[str, Any]:
    """What torch computes with, where it is loaded; this module loads none."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return {}
    with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():  # a mode would hear of every call here
        return _told_by(torch)


def _told_by(torch: Any) -> dict[str, Any]:
    backends = torch.backends
    cuda, cudnn, mkldnn = backends.cuda, backends.cudnn, backends.mkldnn
    products = (cuda.matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv, mkldnn.rnn)
    return {
        "the default dtype": torch.get_default_dtype(),
        "the default device": getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None),
        "the number of threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "the gradient mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")),
        "anomaly detection": torch.is_anomaly_enabled(),
        "hooks of all modules": [list(hooks.values()) for hooks in _global_hooks(torch)],
        "hooks of saved tensors": bool(torch._C._autograd._top_saved_tensors_default_hooks(False)),
        "modes of torch functions": (torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()),
        "deterministic algorithms": (torch.are_deterministic_algorithms_enabled(), backends.cudnn.deterministic),
        "torch.backends.cudnn": (backends.cudnn.enabled, backends.cudnn.benchmark),
        "torch.backends.mkldnn": torch._C._get_mkldnn_enabled(),
        "the precision of float32": tuple(kind.fp32_precision for kind in products),
    }


def _global_hooks(torch: Any) -> list[dict[Any, Any]]:
    """What runs at each call of whatever module; the dictionaries themselves never change."""
    found = vars(torch.nn.modules.module).items()
    return [hooks for name, hooks in found if name.startswith("_global_") and isinstance(hooks, dict)]


def _of_numpy() -> dict[str, Any]:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return {}
    state = numpy.random.get_state()
    return {
        "numpy's random state": (state[1].tobytes(), *state[2:]),
        "numpy's errors": repr(numpy.geterr()),
    }
