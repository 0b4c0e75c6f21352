"""The engine `ray` on two nodes of loopback: one is killed, GPUs are shared, what must be alone is."""

from __future__ import annotations

import itertools
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pabench.run.engines.ray import Ray

from ..test_engine import Run, toy
from ..test_processes import wait_until_gone
from .conftest import NEEDS_RAY, TESTS, Study

pytestmark = NEEDS_RAY


@pytest.fixture(scope="module")
def nodes():
    """A head with a GPU, as far as Ray is told, and a second node."""
    import ray
    from ray.cluster_utils import Cluster

    ray.shutdown()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        memory = {"object_store_memory": 100 * 2**20}
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "num_gpus": 1, **memory})
        cluster.second = cluster.add_node(num_cpus=2, **memory)
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture
def engine(nodes):
    return Ray(address=nodes.address, preload=(), grace=1.0)


def overlapping(spans):
    """The most that were there at one time."""
    return max(sum(one[0] <= span[0] < one[1] for one in spans) for span in spans)


def test_two_cells_share_a_gpu_and_no_third(engine):
    run = Run(engine, [toy(str(n), "hold_a_gpu", device="cuda") for n in range(4)], workers=1000)
    said = [run.data(str(n))[0] for n in range(4)]
    assert {one["sees"] for one in said} == {"0"}
    assert overlapping([one["span"] for one in said]) == 2


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_what_memory_is_short_for_gets_a_gpu_or_a_machine_to_itself(engine, device):
    run = Run(engine, [toy(key, "need_all_memory", like="heavy", device=device) for key in "abc"], workers=1000)
    assert all(outcome.ok for outcome in run.outcomes.values())
    assert max(outcome.attempts for outcome in run.outcomes.values()) == 2
    alone = sorted((began["began"], end["ended"]) for began, end in (run.data(key)[-2:] for key in "abc"))
    assert all(before[1] < later[0] for before, later in itertools.pairwise(alone))


def test_a_task_over_time_is_ended_with_all_it_started(engine):
    run = Run(engine, [toy("slow", "hang", timeout=1, ignore_term=True)])
    assert (run.outcomes["slow"].kind, run.outcomes["slow"].attempts) == ("timeout", 1)
    wait_until_gone(run.data("slow")[0]["pids"])


def test_a_stop_ends_what_runs_in_order_and_withdraws_the_rest(engine):
    """Of thirty tasks that hang six run, a core each. One that has been sent already may begin, and is ended, too."""

    def react(event, run):
        if len([one for one in run.events if one.kind == "progress"]) == 6:
            run.stop.set()

    run = Run(engine, [toy(str(n), "hang") for n in range(30)], workers=1000, react=react)
    assert {outcome.kind for outcome in run.outcomes.values()} == {"stopped"}
    pids = [pid for n in range(30) for data in run.data(str(n)) for pid in data["pids"]]
    assert 12 <= len(pids) < 30
    wait_until_gone(pids)


def ages(study, node):
    """Seconds for which a node has computed each of its cells."""
    mark = f"RAY_RAYLET_PID={node.all_processes['raylet'][0].process.pid}".encode()
    found = []
    for file in (study.folder / key for key in study.began):
        for pid in file.read_text().split()[-2:-1]:
            with suppress(FileNotFoundError, ProcessLookupError):
                if mark in Path("/proc", pid, "environ").read_bytes().split(b"\0"):
                    found.append(time.time() - file.stat().st_mtime)
    return found


def test_a_node_that_is_killed_costs_no_cell(nodes, tmp_path):
    """In the middle of cells: of one that has just ended the word may be lost with the node, and it is begun again."""
    study = Study(tmp_path, "ray", f"address={nodes.address}", "attempts=9", seconds=3.0)
    launcher = study.launch()
    study.until(lambda: len(study.records) >= 4 and 0 < max(ages(study, nodes.second), default=0) < 2)
    nodes.remove_node(nodes.second, allow_graceful=False)
    assert launcher.wait(120) == 0
    assert len(study.records) == 20
    assert {said for attempts in study.began.values() for said in attempts} == {"once"}
    lost = [line for line in study.output.read_text().splitlines() if "'crashed'" in line and "SIGKILL" not in line]
    assert lost
