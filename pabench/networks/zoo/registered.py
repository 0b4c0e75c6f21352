"""The papers' own networks as timm knows them: importing this lets `timm.create_model` build them."""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

from pabench.networks.zoo.classifier import NETWORKS, Classifier, Known

default_cfgs = generate_default_cfgs({name: dict(known.cfg) for name, known in NETWORKS.items()})


def _register(name: str, known: Known) -> None:
    def entrypoint(pretrained: bool = False, **kwargs: Any) -> Classifier:
        return build_model_with_cfg(known.cls, name, pretrained, **known.fixed, **{**known.defaults, **kwargs})

    entrypoint.__name__, entrypoint.__module__ = name, __name__
    register_model(entrypoint)


for _name, _known in NETWORKS.items():
    _register(_name, _known)
