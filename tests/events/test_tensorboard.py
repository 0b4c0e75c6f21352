"""What TensorBoard's own reader finds in the files of the hook."""

from __future__ import annotations

import pytest

from pabench.events.hook import outcome, run_name
from pabench.store.store import Store

pytest.importorskip("tensorboard", reason="needs pabench[tensorboard]")


def test_a_run_a_cell_with_its_curve_and_its_result(folder, cell):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from pabench.events.tensorboard import TensorBoard

    hook, record = TensorBoard(), Store(folder).get("records", cell.key)
    hook.study(folder, {"name": "small"})
    hook.started(cell)
    hook.epoch(cell, 1, 2.5, 10.0)
    hook.epoch(cell, 2, 0.5, 90.0)
    hook.ended(cell, record)
    hook.closed()

    (run,) = (folder / "tensorboard").iterdir()
    assert run.name == run_name(cell)
    found = EventAccumulator(str(run)).Reload()
    assert [(e.step, e.value) for e in found.Scalars("train/loss")] == [(1, 2.5), (2, 0.5)]
    assert [(e.step, e.value) for e in found.Scalars("train/top1")] == [(1, 10.0), (2, 90.0)]
    last = {name: found.Scalars(name)[0].value for name in outcome(record)}
    assert last == pytest.approx(outcome(record), rel=1e-6)  # float32 there
