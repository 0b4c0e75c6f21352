"""What the hook leaves for `wandb sync`: an offline run a cell. Nothing is sent anywhere."""

from __future__ import annotations

import json

import pytest

from pabench.events.hook import outcome, run_name
from pabench.store.store import Store

pytest.importorskip("wandb", reason="needs pabench[wandb]")

BLOCK, HEADER = 32768, 7


def records(path):
    """The protocol's records in a file of an offline run: LevelDB's log format after a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2 as proto

    data, at, text = path.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:  # no room for a header: the block's end is padding
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        text += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # whole, or the last part
            yield proto.Record.FromString(text)
            text = b""


def items(part) -> dict:
    return {item.key or item.nested_key[0]: json.loads(item.value_json) for item in part}


def test_an_offline_run_a_cell_with_its_curve_and_its_result(folder, cell, monkeypatch):
    from pabench.events.wandb import WeightsAndBiases

    for name in ("WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    hook, record = WeightsAndBiases(), Store(folder).get("records", cell.key)
    hook.study(folder, {"name": "small"})
    hook.started(cell)
    hook.epoch(cell, 1, 2.5, 10.0)
    hook.epoch(cell, 2, 0.5, 90.0)
    hook.ended(cell, record)
    hook.closed()

    (path,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    found = list(records(path))
    (run,) = [one.run for one in found if one.WhichOneof("record_type") == "run"]
    assert (run.project, run.run_group, run.display_name) == ("pabench", "small", run_name(cell))
    assert items(run.config.update)["criterion.name"] == "snip"
    curve = [items(one.history.item) for one in found if one.WhichOneof("record_type") == "history"]
    assert [(e["_step"], e["train/loss"], e["train/top1"]) for e in curve] == [(1, 2.5, 10.0), (2, 0.5, 90.0)]
    summary = {}
    for one in found:
        if one.WhichOneof("record_type") == "summary":
            summary |= items(one.summary.update)
    assert {name: summary[name] for name in outcome(record)} == outcome(record)
    assert summary["status"] == "ok"
