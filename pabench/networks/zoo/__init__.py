"""The papers' own networks, registered with timm on import: LeNet, the ResNets and VGGs for 32 x 32 images.

Everything else comes from timm; how a network is made to fit a data set is said in `networks.models`.
"""

from pabench.networks.zoo import lenet, resnet_cifar, vgg_cifar

NAMES = tuple(sorted([*resnet_cifar.default_cfgs, *vgg_cifar.default_cfgs, *lenet.default_cfgs]))
