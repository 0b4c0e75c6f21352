"""Iterative SNIP (de Jorge et al. 2021)."""

from dataclasses import dataclass

from pabench.plugins import PositiveInt

from .snip import Snip


@dataclass(frozen=True, kw_only=True)
class IterSnip(Snip):
    """SNIP in rounds: |w * dL/dw| of the network as pruned so far, at m * w; a pruned weight stays pruned.

    The paper's Iterative SNIP with its 60 rounds (those of the authors' example; the equation's number could not be
    seen). Their code (naver/force, `prune_method=1`) runs 10 rounds unless told otherwise: `@official`. It keeps
    int(N d) weights a round instead of N - floor((1 - d) N), gives pruned weights the lowest score of all instead of
    none, so that some return with the ties, and takes NLL of raw logits: defects, and no variants.
    """

    name = "iter_snip"
    paper = "arXiv:2006.09081"
    variants = {"official": {"bn": "train", "steps": 10}}
    steps: PositiveInt = 60
