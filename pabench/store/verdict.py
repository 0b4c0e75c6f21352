"""What scores are worth on a network: the figures, the verdict on them, and the words for both. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pabench.words import count

HEALTHY, DOUBTFUL, DEGENERATE, UNSUPPORTED = "healthy", "doubtful", "degenerate", "unsupported"
WORST_FIRST = (UNSUPPORTED, DEGENERATE, DOUBTFUL, HEALTHY)
DECLINES = "declines: "
DEGENERATE_ZEROS = 0.5
"""Share of scores that are exactly 0 from which a ranking counts as degenerate: at half, a mask of less than 50 %
sparsity keeps weights that nothing but their order chose."""
ARBITRARY_TIES = 0.01
"""Share of the kept weights that owe their place to the order of the parameters alone from which a mask is flagged."""
OF_BANK = "other-environment"
"""The flag of a cell that was taken from a bank of another environment; no receipt has it."""
DEAD = "dead"
"""The flag of a trained network whose logits are the same whatever the image. A collapsed one has a layer without
weights, and may live: a shortcut leads around the layer."""
ROUNDING, COARSE = 1e-4, 0.03
"""Up to this part of the largest logit, logits of two images differ by rounding alone: in float32, and in bfloat16. Two
equal rows of a matrix product may come out a few units of the last place apart, and later sums cancel some digits."""
LAYER_COLLAPSE = "collapsed"
"""The flag of a mask that leaves a layer without weights."""
CALLED = {LAYER_COLLAPSE: "layer collapse"}
"""What readers are told a flag is, where it is not its name: a collapsed cell is one whose accuracy fell to chance."""
UNDERIVED = ("doubtful", OF_BANK)
"""Flags that no number of a receipt gives: what the criterion says of the network, and what `run --bank` says."""


@dataclass(frozen=True)
class Finding:
    """The figures of one criterion on one network.

    `total` weights in `layers` layers; `zeros` scores exactly 0, `non_finite` infinite or no number; `dead` layers by
    name whose scores are all 0. `flat` holds the share of activations where a clamp or a gate is flat, by operation.
    `doubts` is what the criterion itself says; `reason` why it could not score at all: declined, or an error.
    `seconds` are those of the scoring. Of the criterion's `rounds` so many were `seen`: the first scores the dense
    network, and a later one may fail where much is pruned.
    """

    total: int = 0
    layers: int = 0
    zeros: int = 0
    non_finite: int = 0
    dead: tuple[str, ...] = ()
    flat: Mapping[str, float] = field(default_factory=dict)
    doubts: str = ""
    reason: str = ""
    seconds: float = 0.0
    rounds: int = 1
    seen: int = 1

    @property
    def verdict(self) -> str:
        if self.reason:
            return UNSUPPORTED
        if self.non_finite or self.zeros >= DEGENERATE_ZEROS * self.total:
            return DEGENERATE
        return DOUBTFUL if self.dead or self.doubts else HEALTHY

    @property
    def declined(self) -> bool:
        return self.reason.startswith(DECLINES)

    def worse_than(self, other: Finding) -> bool:
        """Whether the other one's verdict is better, or the same with clearly less to complain of."""
        return self.illness > other.illness

    @property
    def illness(self) -> tuple[float, ...]:
        """What findings are compared by, the worst the largest: verdict first, then what there is to complain of."""
        # Two digits: what rounding errors turn into a zero or two is no difference between remedies.
        zeros = round(self.zeros / max(1, self.total), 2)
        return (-WORST_FIRST.index(self.verdict), self.non_finite, zeros, len(self.dead), bool(self.doubts))

    @property
    def detail(self) -> str:
        """Why the verdict is what it is, in one line; "" for a healthy one."""
        if self.reason:
            return self.reason
        found = []
        if self.non_finite:
            found.append(f"{self.non_finite} of {self.total} scores are infinite or no number")
        if self.zeros >= DEGENERATE_ZEROS * self.total:
            found.append(zero_scores(self.zeros, self.total, len(self.dead), self.layers))
        elif self.dead:
            found.append(f"all scores are 0 in {len(self.dead)} of {self.layers} layers ({some(self.dead, 2)})")
        if self.verdict != HEALTHY:
            for name, share in self.flat.items():
                if share >= 0.01:  # less is 0 % when told, and explains nothing
                    found.append(f"{name} is flat for {100 * share:.0f} % of its inputs")
        if self.doubts:
            found.append(self.doubts)
        return "; ".join(found)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "dead": list(self.dead), "verdict": self.verdict, "detail": self.detail}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        known = {k: v for k, v in data.items() if k in cls.__dataclass_fields__}
        return cls(**{**known, "dead": tuple(data["dead"])})


def zero_scores(zeros: int, total: int, dead: int, layers: int) -> str:
    """How a degenerate ranking is told.

    >>> zero_scores(9, 10, 1, 2)
    '9 of 10 scores are exactly 0 (90.0 %); 1 of 2 layers have no other'
    """
    share = f"{100 * zeros / total:.1f} %"
    return f"{zeros} of {total} scores are exactly 0 ({share}); {dead} of {layers} layers have no other"


REMEDY = (
    "`pabench doctor MODEL` looks for a remedy; where the network ends its blocks in BatchNorms that start at 0 it is "
    "args: {zero_init_last: false}"
)
"""What a receipt, which knows the scores and not the network, can say."""


def flags(receipt: Mapping[str, Any]) -> list[dict[str, str]]:
    """What must never be reported as if it were fine, from the numbers of a receipt."""
    found: dict[str, str] = {}
    total, kept, zeros = receipt["total"], receipt["kept"], receipt["zero_scores"]
    if zeros >= DEGENERATE_ZEROS * total:
        layers = sum(layer.get("zero_scores") == layer["total"] for layer in receipt["layers"])
        found["degenerate"] = f"{zero_scores(zeros, total, layers, len(receipt['layers']))}; {REMEDY}"
    arbitrary = min(receipt["kept_of_tied"], receipt["tied_at_threshold"] - receipt["kept_of_tied"])
    if arbitrary > ARBITRARY_TIES * kept:
        found["tied"] = (
            f"{receipt['tied_at_threshold']} weights share the lowest kept score; "
            f"the order of the parameters chose {receipt['kept_of_tied']} of them"
        )
    if receipt["non_finite_scores"]:
        found["non-finite"] = f"{receipt['non_finite_scores']} scores are infinite"
    if receipt["dead_layers"]:
        found[LAYER_COLLAPSE] = ", ".join(receipt["dead_layers"])
    return [{"flag": flag, "detail": detail} for flag, detail in found.items()]


def dead(logits: Mapping[str, Any] | None, precision: str) -> list[dict[str, str]]:
    """The flag of a dead network, from what a record says of its logits on the test images; [] for a live one.

    Older records say nothing. A network that gives one class to all images is dead if no kept weight lies on a path
    from the input to a logit, or if the logits differ by rounding alone. Where there are no classes (0), because
    targets are numbers, it is the same of the outputs.
    """
    if not logits or logits["classes"] > 1:
        return []
    spread, on_paths = logits["spread"], logits.get("effective_weights")
    if on_paths == 0:
        why = "no kept weight lies on a path from the input to a logit"
    elif spread is not None and spread <= (COARSE if precision == "bfloat16" else ROUNDING):
        left = f" ({count(on_paths, 'kept weight')} on paths)" if on_paths else ""
        why = f"training left no unit that an image moves{left}"
    else:
        return []
    what = "image gets the same logits, and one class" if logits["classes"] else "sample gets the same outputs"
    return [{"flag": DEAD, "detail": f"every test {what}: {why}"}]


def called(flag: str) -> str:
    """A flag in words.

    >>> called("collapsed"), called("dead")
    ('layer collapse', 'dead')
    """
    return CALLED.get(flag, flag)


@dataclass(frozen=True)
class Tally:
    """How many cells are flagged, and how many with each flag; a cell may have several."""

    cells: int
    by_flag: Mapping[str, int]

    def __bool__(self) -> bool:
        return self.cells > 0

    def __str__(self) -> str:
        return f"{self.cells} flagged ({', '.join(f'{called(flag)} {n}' for flag, n in self.by_flag.items())})"


def tally(flags: Iterable[Iterable[str]]) -> Tally:
    """The one count of flagged cells, from the flags of each cell.

    >>> print(tally([("collapsed", "dead"), (), ("dead",)]))
    2 flagged (layer collapse 1, dead 2)
    """
    each = [set(of_cell) for of_cell in flags]
    return Tally(sum(map(bool, each)), dict(sorted(Counter(flag for of_cell in each for flag in of_cell).items())))


def remedy_of(found: Mapping[str, Any]) -> str:
    """The remedy of a check, to append to a sentence; what it comes to is said where it does not make healthy."""
    if not (remedy := found.get("remedy")):
        return ""
    after = Finding.from_json(found["after"])
    rest = "" if after.verdict == HEALTHY else f" (then {after.verdict}: {after.detail})"
    scoring = f" and {remedy['scoring']}" if remedy.get("scoring") else ""
    return f"; use {remedy['model']} with {remedy['criterion']}{scoring}{rest}"


def some(names: Iterable[str], most: int) -> str:
    """The first names, and dots for the others.

    >>> some(["a", "b", "c"], 2)
    'a, b, ...'
    """
    names = list(names)
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])
