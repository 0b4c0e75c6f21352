"""The papers' own networks: LeNet, the ResNets and VGGs for 32 x 32 images. Everything else comes from timm.

They are built without timm, which takes seconds to import; where it is there, or is needed, it knows them, too.
How a network is made to fit a data set is said in `networks.models`.
"""

import sys

from pabench.networks.zoo import (
    lenet as lenet,
    planted as planted,
    resnet_cifar as resnet_cifar,
    vgg_cifar as vgg_cifar,
)
from pabench.networks.zoo.classifier import NETWORKS

NAMES = tuple(sorted(NETWORKS))
if "timm" in sys.modules:
    from pabench.networks.zoo import registered as registered
