"""What callers of the library give besides their batch: of the right kind, or told in one line with what would be."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from pabench.errors import SuiteError


def refuse_wrong(
    model: Any,
    *,
    sparsity: Any = 0.0,
    seed: Any = 0,
    input_shape: Any = None,
    dtype: Any = None,
    include: Any = (),
    at_once: Any = None,
) -> None:
    """SuiteError: an argument is none of its kind."""
    if not isinstance(model, nn.Module):
        made = "; make one: model = " + model.__name__ + "(...)" if inspect.isclass(model) else ""
        raise SuiteError(f"model: expected a torch.nn.Module, not {shown(model)}{made}")
    if isinstance(sparsity, bool) or not isinstance(sparsity, Real) or not 0 <= float(sparsity) < 1:
        raise SuiteError(f"sparsity: {shown(sparsity)} is not in [0, 1); 0.9 removes 90 % of the weights")
    refuse_seed(seed)
    if input_shape is not None and not _are_sizes(input_shape):
        raise SuiteError(f"input_shape: expected sizes, as in (3, 32, 32), not {shown(input_shape)}")
    if dtype not in (None, torch.float32, torch.float64):
        raise SuiteError(f"dtype: expected torch.float32 or torch.float64, not {shown(dtype)}")
    if include is None:
        raise SuiteError("include: expected a list of kinds, as in include=('attention',), not None")
    if at_once is not None and not (_is_whole(at_once) and at_once >= 1):
        raise SuiteError(f"at_once: {shown(at_once)} images; expected 1 or more, or None for all of a batch")


def refuse_seed(seed: Any) -> None:
    """SuiteError: it is no whole number."""
    if not _is_whole(seed):
        raise SuiteError(f"seed: expected a whole number, not {shown(seed)}")


def refuse_no_masks(masks: Any) -> None:
    """SuiteError: what should be masks is no mapping."""
    if not isinstance(masks, Mapping):
        raise SuiteError(f"masks are a dict of tensors by parameter name, not a {type(masks).__name__}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(_is_whole(n) and n > 0 for n in value)


def shown(value: Any) -> str:
    """As a message has it, in few letters."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if inspect.isclass(value):
        return f"the class {value.__name__}"
    if isinstance(value, (str, int, float, tuple, list, type(None), torch.dtype)):
        return repr(value)
    return f"a {type(value).__name__}"
