"""The shape of records and receipts: what every one of them holds, whatever became of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pabench.suite.cell import Cell
from pabench.suite.specs import ordered

SCHEMA = 1
SOFTWARE = ("pabench", "python", "torch", "timm")
"""Entries of a record's environment that are versions, as pages tell them."""
NUMERICS = ("torch", "timm", "device")
"""What of an environment decides the last bit. Where these are equal masks are equal, and hashes of weights, order and
images can be compared; pabench is not among them, the sources of criteria are compared by themselves."""
ENVIRONMENT = ("pabench", *NUMERICS)
"""What of an environment can change a result: a study is not resumed where one differs, and a bank's cells are flagged.
The number of threads is not among them: masks and pairing do not depend on it. On a CPU the last digits of a training
do, so a run that goes on with another number says so, and records and pages tell it."""
RECORDED = (*SOFTWARE, "numpy", "device", "threads", "precision", "system")
"""All that an environment says (`pabench.training.environment`), in the order in which differences are told."""
PARTS = ("weights", "order", "augmentation", "scoring_batch")
"""What all plain cells of a block share, by the hashes in their `pairing`: only then are their criteria compared."""
MACHINE = ("data", "oom", "device-busy", "device-ecc", "io", "timeout")
"""Kinds of failures that are of a machine and a moment, and say nothing of what was run. A crash is not among them: the
code that was run may have brought it about."""
STATISTICS = ("scores", "score_histogram", "gradient_norm")
"""Parts of a receipt whose last digit depends on the number of threads; its mask file does not repeat them."""
OF_NETWORK = ("dense",)
"""Parts of a receipt that speak of the network and not of the mask. A mask file need not repeat them, so that one made
anew has the hash of one that was made before there were any."""


def blank_receipt(cell: Cell) -> dict[str, Any]:
    """A receipt of a cell's pruning with nothing in it yet."""
    return {"schema": SCHEMA, "key": cell.pruning_key, **_outcome()}


def blank_record(cell: Cell, environment: dict[str, Any]) -> dict[str, Any]:
    """A record of a cell with nothing in it yet: no result, status ok."""
    return {
        "schema": SCHEMA,
        "key": cell.key,
        "cell": cell.to_json(),
        "block": cell.block,
        "labels": labels(cell),
        "ablation": cell.ablation,
        "parent": cell.parent().key if cell.ablation else "",
        "environment": environment,
        "created": now(),
        **_outcome(),
    }


def labels(cell: Cell) -> dict[str, str]:
    """How reports name a cell."""
    criterion = cell.criterion.label if cell.criterion else "dense"
    ablation = {"ablation": cell.ablation} if cell.ablation else {}
    train = {} if cell.train.is_plain else {"train": cell.train.label}
    return {"dataset": cell.dataset.label, "model": cell.model.label, "criterion": criterion, **ablation, **train}


def same_labels(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether two records name a cell alike; earlier versions gave parameters in the order of the suite.

    >>> same_labels({"criterion": "snip (steps=2, schedule=linear)"}, {"criterion": "snip (schedule=linear, steps=2)"})
    True
    """
    return {k: ordered(v) for k, v in one.items()} == {k: ordered(v) for k, v in other.items()}


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _outcome() -> dict[str, Any]:
    return {
        "status": "ok",
        "kind": "",
        "message": "",
        "traceback": "",
        "attempt": 1,
        "pairing": {},
        "flags": [],
        "receipt": None,
        "result": None,
        "cost": {},
    }
