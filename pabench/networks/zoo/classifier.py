"""What the papers' networks share: the interface timm expects of a network, and two initialisations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

CIFAR_CFG: dict[str, Any] = {"input_size": (3, 32, 32), "num_classes": 10, "classifier": "fc"}


class Classifier(nn.Module):
    """Features (N, C, H, W) or (N, C), averaged over the pixels, then one linear layer `fc`.

    A network calls `reset_classifier` after its other layers, so that `fc` is also the last in module order.
    """

    pretrained_cfg: dict[str, Any]

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = self.head_hidden_size = num_features

    def forward_features(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        # A mean, not adaptive pooling: the backward pass of the latter is not deterministic on CUDA.
        x = x.mean((2, 3)) if x.ndim == 4 else x
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        return self.fc

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.fc = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()


@dataclass(frozen=True)
class Known:
    """A network of a paper: a class with arguments that are `fixed` and `defaults` that a caller may change.

    `cfg` is what timm wants to know of it.
    """

    cls: type[Classifier]
    cfg: Mapping[str, Any]
    fixed: Mapping[str, Any]
    defaults: Mapping[str, Any]

    def build(self, **arguments: Any) -> Classifier:
        """As `timm.create_model` does."""
        channels, *size = self.cfg["input_size"]
        usual = {"num_classes": self.cfg["num_classes"], "in_chans": channels}
        usual |= {"img_size": tuple(size)} if self.cfg.get("fixed_input_size") else {}
        given = {name: value for name, value in arguments.items() if value is not None}
        model = self.cls(**self.fixed, **{**usual, **self.defaults, **given})
        model.pretrained_cfg = dict(self.cfg)
        return model


NETWORKS: dict[str, Known] = {}
"""The networks of the papers by name."""


def register(
    cls: type[Classifier], name: str, fixed: Mapping[str, Any], cfg: Mapping[str, Any], **defaults: Any
) -> None:
    """Make a network known by a name."""
    NETWORKS[name] = Known(cls, cfg, fixed, defaults)


def initialise(module: nn.Module, init: str) -> None:
    """Draw all weights of a new network anew; biases are 0, BatchNorm stays as PyTorch makes it: 1 and 0.

    `lottery`: convolutions and linear layers Kaiming normal by fan in, as the code of Frankle et al. (2021,
    arXiv:2009.08576) and SynFlow (Tanaka et al. 2020, arXiv:2006.05467). `grasp`: convolutions Kaiming normal by fan
    out, linear layers N(0, 0.01), as the code of GraSP (Wang et al. 2020, arXiv:2002.07376).
    """
    if init not in ("lottery", "grasp"):
        raise ValueError(f"init: {init!r} is unknown; expected 'lottery' or 'grasp'")
    drawn = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in drawn:
        if isinstance(layer, nn.Linear) and init == "grasp":
            nn.init.normal_(layer.weight, 0.0, 0.01)
        else:
            nn.init.kaiming_normal_(
                layer.weight, mode="fan_in" if init == "lottery" else "fan_out", nonlinearity="relu"
            )
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
