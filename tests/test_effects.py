"""What an import changes besides defining: named as a programmer would name it."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading

import pytest
import torch

from pabench import effects
from pabench.scoring import selection


def test_nothing_happened():
    before = effects.snapshot()
    torch.zeros(3).abs().sum()
    assert effects.changes(before) == []


def test_an_import_that_only_defines_changes_nothing(tmp_path, monkeypatch):
    """New modules, and their names in the packages that they are in, are no change."""
    (tmp_path / "only_defines.py").write_text("import torch.nn.utils.prune\nx = 1\ndef f(): return x\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = effects.snapshot()
    import only_defines  # noqa: F401

    assert effects.changes(before) == []


@pytest.mark.parametrize(
    ("where", "name", "told"),
    [
        (torch, "topk", "torch.topk"),
        (torch.Tensor, "abs", "torch.Tensor.abs"),  # inherited: the new one hides it
        (torch.nn.Module, "train", "torch.nn.modules.module.Module.train"),
        (torch.nn.functional, "relu", "torch.nn.functional.relu"),
        (selection, "kept_count", "pabench.scoring.selection.kept_count"),
        (math, "floor", "math.floor"),
        (sys, "stdout", "sys.stdout"),
    ],
)
def test_a_replaced_attribute_is_named(monkeypatch, where, name, told):
    before = effects.snapshot()
    monkeypatch.setattr(where, name, lambda *args: None)
    assert effects.changes(before) == [told]


def test_a_function_whose_code_is_replaced_is_named(monkeypatch):
    before = effects.snapshot()
    monkeypatch.setattr(selection.kept_count, "__code__", (lambda density, n: n).__code__)
    assert effects.changes(before) == ["pabench.scoring.selection.kept_count"]


def test_the_state_of_the_process_is_told_in_words(tmp_path, monkeypatch):
    threads, dtype, state = torch.get_num_threads(), torch.get_default_dtype(), torch.get_rng_state()
    handler = signal.getsignal(signal.SIGTERM)
    before = effects.snapshot()
    idle = threading.Event()
    thread = threading.Thread(target=idle.wait, name="idler")
    try:
        torch.set_num_threads(threads + 1)
        torch.set_default_dtype(torch.float64)
        torch.rand(1)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PABENCH_A_NEW_ONE", "1")
        monkeypatch.setitem(sys.modules, "json", math)
        thread.start()
        found = effects.changes(before)
    finally:
        idle.set()
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.set_rng_state(state)
        signal.signal(signal.SIGTERM, handler)
    assert {
        "the number of threads",
        "the default dtype",
        "torch's random state",
        "the handler of SIGTERM",
        "the working directory",
        "the environment variable PABENCH_A_NEW_ONE",
        "sys.modules['json']",
        "the thread idler",
    } <= set(found)
    assert os.environ["PABENCH_A_NEW_ONE"] == "1"


SETTINGS = {
    "torch.set_flush_denormal(True)": "the flushing of denormal numbers",
    "torch.nn.modules.module.register_module_forward_hook(print)": "hooks of all modules",
    "torch.autograd.graph.saved_tensors_hooks(abs, abs).__enter__()": "hooks of saved tensors",
    "torch.backends.mkldnn.set_flags(False)": "torch.backends.mkldnn",
    "torch.linalg.norm = torch.linalg.cond": "torch.linalg.norm",
    "torch.set_default_device('meta')": "the default device",
    "os.umask(0o11)": "the umask",
    "multiprocessing.set_start_method('spawn', force=True)": "the start method of processes",
    "hashlib.sha256 = hashlib.md5": "hashlib.sha256",
    "torch.utils._python_dispatch.TorchDispatchMode().__enter__()": "modes of torch functions",
    "torch.overrides.TorchFunctionMode().__enter__()": "modes of torch functions",  # which raises at the next call
}


def test_so_is_what_torch_does_at_each_call():
    """In a process of its own: not all of it can be taken back."""
    code = f"""
import hashlib, multiprocessing, os, torch, torch.utils._python_dispatch
from pabench import effects
for change in {list(SETTINGS)}:
    before = effects.snapshot()
    exec(change)
    print(*effects.changes(before), sep=", ")
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    for line, (change, expected) in zip(said.splitlines(), SETTINGS.items(), strict=True):
        assert expected in line.split(", "), f"{change}: {line}"


def test_what_a_library_puts_around_its_own_function_is_that_function(monkeypatch):
    """torch does so when it first compiles: https://github.com/pytorch/pytorch, torch/_compile.py."""
    import functools

    def wrapper(*args):
        return original(*args)

    original = torch.manual_seed
    before = effects.snapshot()
    theirs = functools.wraps(original)(
        type(wrapper)(wrapper.__code__, vars(torch.random), "f", None, wrapper.__closure__)
    )
    monkeypatch.setattr(torch, "manual_seed", theirs)
    assert effects.changes(before) == []
    monkeypatch.setattr(torch, "manual_seed", functools.wraps(original)(wrapper))
    assert effects.changes(before) == ["torch.manual_seed"]
