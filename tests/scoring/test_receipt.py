"""What a pruning says of itself: degenerate and tied rankings, and layers left without a weight."""

from __future__ import annotations

import timm
import torch

import pabench


def test_zero_initialised_batchnorms_make_a_ranking_degenerate_and_say_so():
    """timm's default for ResNet-18: 98 % of the scores are exactly 0, and the mask is the order of the parameters."""
    torch.manual_seed(0)
    module = timm.create_model("resnet18", num_classes=10)
    batch = (torch.randn(20, 3, 64, 64), torch.arange(20) % 10)

    masks = pabench.prune(module, "snip", sparsity=0.5, batch=batch, dtype=torch.float32)

    flags = {f["flag"]: f["detail"] for f in masks.flags}
    # all but the stem, the three shortcuts and the classifier: 16 of 21 layers
    assert "; 16 of 21 layers have no other" in flags["degenerate"]
    assert "zero_init_last: false" in flags["degenerate"]
    assert masks.receipt["zero_scores"] / masks.receipt["total"] > 0.98
    assert "tied" in flags


def test_the_remedy_heals_the_ranking():
    torch.manual_seed(0)
    module = timm.create_model("resnet18", num_classes=10, zero_init_last=False)
    batch = (torch.randn(20, 3, 64, 64), torch.arange(20) % 10)

    masks = pabench.prune(module, "snip", sparsity=0.5, batch=batch, dtype=torch.float32)

    assert not {f["flag"] for f in masks.flags} & {"degenerate", "tied"}


def test_layer_collapse_is_flagged_with_the_layers(case):
    reference = case("b")

    masks = pabench.prune(reference.module, "magnitude", sparsity=0.999)

    dead = [n for n, m in masks.items() if not m.any()]
    assert dead
    assert masks.receipt["dead_layers"] == dead
    assert {"flag": "collapsed", "detail": ", ".join(dead)} in masks.flags
