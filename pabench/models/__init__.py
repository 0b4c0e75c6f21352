"""The papers' own networks, registered with timm: after `import pabench.models`, `timm.create_model("resnet20")` works.

A name stands for one architecture with one set of defaults; a default that changes gets a new name, since the name is
what a cell key holds.
"""

from pabench.models import lenet, resnet_cifar, vgg_cifar

NAMES = tuple(sorted([*resnet_cifar.default_cfgs, *vgg_cifar.default_cfgs, *lenet.default_cfgs]))

__all__ = ["NAMES"]
