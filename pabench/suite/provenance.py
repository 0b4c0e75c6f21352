"""Where public datasets come from, under which licence and how they are cited; and which of them a title claims.

Licences are what those who give a dataset out say of it, as far as it is known here: look at `source` before you rely
on one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

NONE_STATED = "none stated"


@dataclass(frozen=True)
class Provenance:
    """A public dataset: its `title`, its `licence`, the page that it is from, and how a text cites it.

    `lossy`: its own pictures are JPEG-coded, as photographs are.
    """

    title: str
    licence: str
    source: str
    cited: str
    lossy: bool = False


_DIGITS = Provenance(
    "Optical recognition of handwritten digits",
    "CC BY 4.0",
    "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
    "Alpaydin & Kaynak 1998, UCI Machine Learning Repository",
)
_PLANTED = Provenance(
    "Planted tickets",
    "made by pabench",
    "https://arxiv.org/abs/2111.11153",
    "Fischer & Burkholz 2022, arXiv:2111.11153",
)
_CIFAR = "https://www.cs.toronto.edu/~kriz/cifar.html", "Krizhevsky 2009, Learning multiple layers of features"
KNOWN: Mapping[str, Provenance] = {
    "digits": _DIGITS,
    "digits32": _DIGITS,
    "cifar10": Provenance("CIFAR-10", NONE_STATED, *_CIFAR),
    "cifar100": Provenance("CIFAR-100", NONE_STATED, *_CIFAR),
    "mnist": Provenance(
        "MNIST",
        "none stated by its page; CC BY-SA 3.0 as Keras tells it",
        "http://yann.lecun.com/exdb/mnist/",
        "LeCun et al. 1998",
    ),
    "fashion_mnist": Provenance(
        "Fashion-MNIST",
        "MIT",
        "https://github.com/zalandoresearch/fashion-mnist",
        "Xiao et al. 2017, arXiv:1708.07747",
    ),
    "svhn": Provenance(
        "SVHN", "non-commercial use only", "http://ufldl.stanford.edu/housenumbers/", "Netzer et al. 2011"
    ),
    "tiny_imagenet": Provenance(
        "Tiny ImageNet", NONE_STATED, "http://cs231n.stanford.edu/", "Stanford CS231n", lossy=True
    ),
    "imagenet": Provenance(
        "ImageNet",
        "research and education only, by its terms of access",
        "https://www.image-net.org/download.php",
        "Russakovsky et al. 2015, arXiv:1409.0575",
        lossy=True,
    ),
    **dict.fromkeys(("planted_relu", "planted_circle", "planted_helix"), _PLANTED),
}
"""By the name of a dataset that comes with pabench."""


def spoken(title: str) -> str:
    """A title as a reader hears it, without capitals, spaces and signs: two that sound alike are one to him.

    >>> spoken("CIFAR-10"), spoken("cifar 10, JPEG-coded"), spoken("?")
    ('cifar10', 'cifar10jpegcoded', '?')
    """
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", title).casefold()) or title


def claimed(title: str) -> str:
    """The name of the public dataset that a title begins with, "" where it names none.

    >>> [claimed(title) for title in ("cifar100", "CIFAR-10, JPEG-coded", "Fashion-MNIST", "my photographs")]
    ['cifar100', 'cifar10', 'fashion_mnist', '']
    """
    said = spoken(title)
    return max((name for name in KNOWN if re.match(rf"{spoken(name)}(?!\d)", said)), key=len, default="")
