"""What training computes in: `precision: auto` by a table of measurements, and how a record names it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Measured:
    """Where bfloat16 trains faster than float32: on a kind of device with a feature, from a side of the images on.

    `times` is how much faster an epoch was, by network; `docs/performance.md` has the command and the machine.
    """

    device: str
    feature: str
    pixels: int
    times: str


TABLE = (
    # with AVX512-BF16 alone, AMX switched off on the same machine, it was 1.03: not worth other digits
    Measured("cpu", "amx_bf16", 32, "1.9 (ResNet-20), 1.8 (VGG-16)"),
    # Counted and not timed: on small images a step waits for its launches, and casts add more than half of them again
    # (ResNet-20: 196 in float32, 336 in bfloat16).
    Measured("cuda", "bf16", 65, ""),
)


def automatic(device: torch.device, pixels: int) -> str:
    """What `precision: auto` means on a device, for images of `pixels` a side."""
    offered = set(_features(device))
    fits = (m.device == device.type and m.feature in offered and pixels >= m.pixels for m in TABLE)
    return "bfloat16" if any(fits) else "float32"


def slow(precision: str, device: torch.device) -> str:
    """What a user should know of a precision that a device only emulates; "" where it has products for it.

    A machine with another processor may have them: a study is not always run where its recipe was written.
    """
    if precision != "bfloat16" or not _emulates(device):
        return ""
    return (
        "precision bfloat16: this device has no instructions for it: training takes several times as long as in float32"
    )


def told(precision: str, device: torch.device) -> str:
    """The name of a precision in a record: where convolutions in float32 use TensorFloat-32, it says so."""
    if precision == "float32" and device.type == "cuda" and torch.backends.cudnn.allow_tf32 and _has_tf32(device):
        return "float32, TF32 in convolutions"
    return precision


def _emulates(device: torch.device) -> bool:
    if device.type == "cuda":  # of a cluster's GPUs a machine without one can say nothing
        return torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False)
    # only x86 processors have these two; of others nothing is said
    asked = [_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16")] if device.type == "cpu" else []
    return bool(asked) and all(there is False for there in asked)


def _capabilities() -> Mapping[str, object]:
    """What a CPU has, by torch's names; nothing from a torch that cannot say."""
    return getattr(torch.cpu, "get_capabilities", dict)()


def _features(device: torch.device) -> Iterator[str]:
    """What the arithmetic of a device offers, by the names of the table."""
    if device.type == "cpu":
        yield from (name for name, there in _capabilities().items() if there is True)
    # without emulation: on older cards every product is made of several
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        yield "bf16"


def _has_tf32(device: torch.device) -> bool:
    return torch.version.hip is None and torch.cuda.get_device_capability(device) >= (8, 0)
