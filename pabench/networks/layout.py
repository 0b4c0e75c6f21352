"""Where images lie channels last (NHWC) in memory: on CPUs it makes small convolutional networks faster."""

from __future__ import annotations

from torch import nn

FEW = 2**21
"""Up to so many weights scoring is faster channels last (ResNet-20: 1.4 times); the 15 million of VGG-16 are put into
another order in each pass, and it is slower."""


def overruns(model: nn.Module) -> bool:
    """Whether a CPU would write past its buffers channels last.

    oneDNN's kernel for AVX2 does, in a 1 x 1 convolution with a stride whose input channels are no multiple of 8 (seen
    with torch 2.14): the heap is corrupted, and results change from run to run before the process dies.
    """
    return any(map(_overruns, model.modules()))


def _overruns(module: nn.Module) -> bool:
    if not isinstance(module, nn.Conv2d) or module.in_channels == 1 or module.in_channels % 8 == 0:
        return False
    return module.kernel_size == (1, 1) and max(module.stride) > 1
