"""What each parameter is to its network: weights that masks may touch, and by kind what they leave alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.rnn import RNNCellBase

from pabench.errors import SuiteError, did_you_mean

INCLUDED = ("attention", "recurrent")
"""Kinds of weights that are prunable where they are asked for."""
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm)
_LAYERS = (nn.Linear, _ConvNd)
_ATTENTION = re.compile("in_proj_weight|[qkv]_proj_weight")
_RECURRENT = re.compile(r"weight_(ih|hh|hr)(_l\d+(_reverse)?)?")
_COMPUTED = re.compile(r"weight\w*_[gv]")
_PLACES = re.compile("embed|token|table|position|^pos")
"""In the names of parameters that hold a vector a word or a place each."""


def prunable_in(layer: nn.Module, include: Sequence[str] = ()) -> list[nn.Parameter]:
    """The weights of one layer that masks may touch: of convolutions and linear layers, and of kinds that are included.

    `attention`: what `nn.MultiheadAttention` makes queries, keys and values with. `recurrent`: all weight matrices of
    `nn.RNN`, `nn.LSTM`, `nn.GRU` and their cells. SuiteError: there is no such kind.
    """
    if isinstance(include, str):
        raise SuiteError(f"include: expected a list of kinds, as in include=({include!r},), not a word")
    for kind in include:
        if kind not in INCLUDED:
            raise SuiteError(f"include: no kind of weights {kind!r}; {did_you_mean(str(kind), INCLUDED)}")
    if isinstance(layer, _LAYERS):
        names = ["weight"]
    elif isinstance(layer, nn.MultiheadAttention) and "attention" in include:
        names = list(filter(_ATTENTION.fullmatch, layer._parameters))
    elif isinstance(layer, (nn.RNNBase, RNNCellBase)) and "recurrent" in include:
        names = list(filter(_RECURRENT.fullmatch, layer._parameters))
    else:
        return []
    return [weight for n in names if (weight := layer._parameters.get(n)) is not None]


def kind(module: nn.Module, name: str) -> str:
    """What a parameter without a mask is: computed weights, norms, biases, attention, recurrent, embeddings, others.

    `computed weights` belong to layers whose weight is made of other parameters (weight norm, parametrizations);
    `embeddings` are positional ones and tokens, too.
    """
    path, _, last = name.rpartition(".")
    owner = module.get_submodule(path)
    # Norms before biases: a norm's bias belongs with its scale. Biases before attention, which has some of two
    # dimensions and more (bias_k).
    if "parametrizations" in path or _COMPUTED.fullmatch(last):
        return "computed weights"
    if isinstance(owner, NORMS) or "norm" in type(owner).__name__.lower():
        return "norms"
    if last.startswith("bias") or last.endswith("bias"):
        return "biases"
    if isinstance(owner, nn.MultiheadAttention):
        return "attention"
    if isinstance(owner, (nn.RNNBase, RNNCellBase)):
        return "recurrent"
    return "embeddings" if isinstance(owner, (nn.Embedding, nn.EmbeddingBag)) or _PLACES.search(last) else "others"


def is_recurrent(name: str) -> bool:
    """Whether a weight is one of a recurrent layer, by its parameter name."""
    return bool(_RECURRENT.fullmatch(name.rpartition(".")[2]))


def dense(module: nn.Module, prunable: Collection[str]) -> dict[str, dict[str, int]]:
    """Sizes of the weight matrices that stay dense, by kind and name: all parameters that have two dimensions or more,
    are neither norms nor biases, and are not among the names of the `prunable` ones."""
    found: dict[str, dict[str, int]] = {}
    for name, parameter in module.named_parameters():
        if name not in prunable and parameter.dim() > 1 and (what := kind(module, name)) not in ("norms", "biases"):
            found.setdefault(what, {})[name] = parameter.numel()
    return found
