"""Weights that were trained before: where their file is, and a network that takes them over.

A file is looked for and never fetched: what a cell was computed from must be there, and its SHA-256 is in the key.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn

from pabench.errors import DataError, MissingError, SuiteError
from pabench.networks import zoo
from pabench.suite.specs import ModelSpec
from pabench.words import size

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""What timm takes of a repository of the Hugging Face Hub, the first that is there."""
WRAPPED = ("state_dict", "model")
"""Where training scripts put the state dict among other things."""


def located(spec: ModelSpec, parameters: int) -> Path:
    """The file of a network's weights: its `checkpoint`, else timm's own, where timm or the hub would have put it.

    MissingError: it is not there, with the place, about how large a file of so many `parameters` is, and how to get it.
    SuiteError: there are no such weights.
    """
    about = f"a file of about {size(4 * parameters)}"
    if spec.checkpoint:
        path = Path(os.path.expandvars(spec.checkpoint)).expanduser()
        if not path.is_file():
            wanted = "safetensors, or a state dict that torch.save has written"
            raise MissingError(f"{spec.name}: no checkpoint {path} ({about}: {wanted})")
        return path
    if spec.name in zoo.NAMES:
        raise SuiteError(f"{spec.name}: timm has no trained weights of this network; give `checkpoint: PATH`")
    places = list(_places(spec.name))
    if not places:
        raise SuiteError(f"{spec.name}: timm has no trained weights of this network; give `checkpoint: PATH`")
    for place in places:
        if place.is_file():
            return place
    raise MissingError(
        f"{spec.name}: timm's trained weights are not in {places[0].parent} ({about}); "
        f"`python -c \"import timm; timm.create_model('{spec.name}', pretrained=True)\"` fetches them where there is "
        "internet, or give `checkpoint: PATH`"
    )


def _places(name: str) -> list[Path]:
    """Where timm's weights of a network would be: the cache of the hub, then that of torch."""
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    cfg = timm.get_pretrained_cfg(name)
    found: list[Path] = []
    if cfg is not None and cfg.hf_hub_id:
        files = (cfg.hf_hub_filename,) if cfg.hf_hub_filename else HUB_FILES
        cached = [try_to_load_from_cache(cfg.hf_hub_id, file) for file in files]
        found += [Path(path) for path in cached if isinstance(path, str)]
        folder = Path(constants.HF_HUB_CACHE) / f"models--{cfg.hf_hub_id.replace('/', '--')}"
        found += [folder / file for file in files]
    if cfg is not None and cfg.url:
        found.append(Path(torch.hub.get_dir()) / "checkpoints" / cfg.url.rpartition("/")[2])
    return found


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def take_over(model: nn.Module, spec: ModelSpec, path: Path) -> None:
    """Give a network the weights of a file, buffers included. The classifier stays as it is drawn where the number of
    classes is another.

    SuiteError: they are of another network. DataError: the file is not the one that the spec knows.
    """
    state = _read(str(path), spec.weights)
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    own = {name: tensor for name, tensor in own.items() if name in model.state_dict()}
    classifier = _classifier(spec.name)
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    apart = {
        name
        for name, tensor in own.items()
        if name.rpartition(".")[0] in classifier and name in state and shapes[name] != tuple(tensor.shape)
    }
    for name, tensor in own.items():
        if name not in state:
            raise SuiteError(f"{spec.name}: {path} has no {name}: it is of another network")
        if name not in apart and shapes[name] != tuple(tensor.shape):
            raise SuiteError(
                f"{spec.name}: {path}: {name} has the shape {shapes[name]}, expected {tuple(tensor.shape)}: it is of "
                "other images, another stem or another network"
            )
    if strange := sorted(state.keys() - own.keys()):
        raise SuiteError(f"{spec.name}: {path} has {strange[0]}, which the network has not: it is of another network")
    if apart:  # weight and bias go together
        apart = {name for name in own if name.rpartition(".")[0] in classifier}
    with torch.no_grad():
        for name, tensor in own.items():
            if name not in apart:
                tensor.copy_(state[name])


def _classifier(name: str) -> tuple[str, ...]:
    """Names of the layers that give the logits."""
    if name in zoo.NAMES:
        named: Any = zoo.NETWORKS[name].cfg["classifier"]
    else:
        import timm

        cfg = timm.get_pretrained_cfg(name)
        named = cfg.classifier if cfg is not None else None
    return (named,) if isinstance(named, str) else tuple(named or ())


@lru_cache(maxsize=2)
def _read(path: str, sha256: str) -> Mapping[str, Tensor]:
    """The tensors of a file with this SHA-256."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: the weights cannot be read ({error.strerror})") from None
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"{path}: the weights have changed since the run began; start it again")
    try:
        state: Any = (
            load(data) if path.endswith(".safetensors") else torch.load(io.BytesIO(data), "cpu", weights_only=True)
        )
    except Exception as error:  # of safetensors, torch or pickle, on bytes that may be anything
        raise SuiteError(f"{path}: no weights that can be read without running code ({type(error).__name__})") from None
    for wrapper in WRAPPED:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not state or not all(isinstance(one, Tensor) for one in state.values()):
        raise SuiteError(f"{path}: expected a state dict, tensors by the names of parameters")
    return state
