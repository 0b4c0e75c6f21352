"""The engine `slurm`: jobs of a real Slurm where there is one (tests/cluster/slurm.sh), and what they do without."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from pabench.errors import PabenchError
from pabench.run.engine import Task
from pabench.run.engines.cluster import Attempt
from pabench.run.engines.slurm import Job, Running, Slurm, _alike, _packs

from ..test_engine import Run, toy
from .conftest import NEEDS_SLURM, TESTS


def attempts(*keys, alone=False, device="cpu"):
    return [Attempt(Task(key, key, "toy_tasks:touch", {"device": device}), 1, 1, alone) for key in keys]


def test_a_job_gets_as_many_cells_as_run_in_it_at_once_and_alone_is_alone():
    assert [len(pack) for pack in _packs(attempts(*"abcde"), 2)] == [2, 2, 1]
    assert [len(pack) for pack in _packs(attempts(*"abc", alone=True), 2)] == [1, 1, 1]


def test_jobs_of_one_array_ask_for_the_same():
    mixed = [*attempts("a", "b"), *attempts("c", device="cuda"), *attempts("d", alone=True), *attempts("e")]
    assert [[a.task.key for a in alike] for alike in _alike(mixed)] == [["a", "b", "e"], ["c"], ["d"]]


def test_a_line_that_is_not_whole_yet_is_read_when_it_is(tmp_path):
    job = Running("1", tmp_path / "lines", {})
    job.file.write_text('{"n": 1}\n{"n"')
    assert list(job.lines()) == [{"n": 1}]
    with open(job.file, "a") as file:
        file.write(': 2}\n{"n": 3}\n')
    assert list(job.lines()) == [{"n": 2}, {"n": 3}]


@pytest.mark.usefixtures("bare_server", "toys")
class TestAJob:
    """Run in this process, as submitit would."""

    def job(self, tmp_path, *tasks, pulse="0", **options):
        (tmp_path / "pulse").write_text(pulse)
        (tmp_path / "lines").touch()
        engine = Slurm(preload=(), grace=1.0, **options)
        tried = [Attempt(task, 1, 1, False) for task in tasks]
        return Job(tried, str(tmp_path / "lines"), str(tmp_path / "pulse"), engine)

    def lines(self, tmp_path):
        return [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]

    def test_it_tells_what_happens_and_how_each_task_ended(self, tmp_path):
        self.job(tmp_path, toy("a", "progress", epochs=2))()
        said = self.lines(tmp_path)
        assert [line["event"]["data"] for line in said[:3]] == [{"attempt": 1}, {"epoch": 1}, {"epoch": 2}]
        assert (said[3]["outcome"]["key"], said[3]["outcome"]["ok"]) == ("a", True)
        assert said[4:] == [{"end": True}]

    def test_one_that_comes_again_leaves_out_what_has_ended(self, tmp_path):
        job = self.job(tmp_path, toy("a", "fail"), toy("b", "progress", epochs=1))
        with open(job.file, "a") as file:
            file.write(json.dumps({"outcome": {"key": "a"}}) + "\n")
        job()
        assert {line["event"]["key"] for line in self.lines(tmp_path) if "event" in line} == {"b"}

    @pytest.mark.parametrize(("pulse", "patience"), [("stop", 300.0), ("0", 0.5)])
    def test_it_ends_when_the_runner_says_so_or_is_gone(self, tmp_path, pulse, patience):
        """What was stopped has no outcome: nobody knows whether it comes again."""
        self.job(tmp_path, toy("a", "hang"), pulse=pulse, patience=patience)()
        said = self.lines(tmp_path)
        assert said[-1] == {"end": True}
        assert [line for line in said if "outcome" in line] == []


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class TestSlurm:
    pytestmark = NEEDS_SLURM

    @pytest.fixture(autouse=True)
    def surroundings(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)

    def test_the_script_says_what_was_asked_for(self):
        engine = Slurm(partition="gpu", account="pai", time="1-00:00:00", gres="gpu:a100:2", cells=4, warning=200)
        tasks = [Task(str(n), "", "", {"device": "cuda"}) for n in range(10)]
        script = engine.script([*tasks, Task("later", "", "", {"device": "cuda"}, after=("0",))], threads=3)
        assert {line for line in script.splitlines() if line.startswith("#SBATCH")} >= {
            "#SBATCH --array=0-2%3",
            "#SBATCH --account=pai",
            "#SBATCH --cpus-per-task=12",
            "#SBATCH --gres=gpu:a100:2",
            "#SBATCH --partition=gpu",
            "#SBATCH --requeue",
            "#SBATCH --signal=USR2@200",
            "#SBATCH --time=1-00:00:00",
        }
        assert "gres" not in engine.script([Task("a", "", "", {"device": "cpu"})], threads=1)

    def test_before_its_limit_a_job_has_its_cell_write_a_checkpoint_and_comes_again(self, tmp_path):
        """The limit is a minute, the signal 45 seconds before. Slurm starts what comes again after two minutes."""
        engine = Slurm(preload=(), grace=2.0, time="1", warning=45, poll=0.5)
        run = Run(engine, [toy("a", "resume", file=str(tmp_path / "checkpoint"))])
        assert (run.outcomes["a"].ok, run.outcomes["a"].attempts) == (True, 1)
        assert (tmp_path / "checkpoint").read_text() == "epoch 3"
        assert len(run.data("a", "started")) == 2
        (log,) = Path("slurm").glob("*/*_log.out")
        assert "Caught signal SIGUSR2" in log.read_text()

    def test_a_job_that_is_killed_is_tried_again(self, tmp_path):
        def react(event, run):
            if event.data.get("pids") and len(run.data("a", "started")) == 1:
                server = parent(event.data["pids"][0])
                os.kill(parent(server), signal.SIGKILL)

        run = Run(Slurm(preload=(), grace=1.0, poll=0.5), [toy("a", "hang", timeout=5)], react=react)
        assert (run.outcomes["a"].kind, run.outcomes["a"].attempts) == ("timeout", 2)
        assert "is gone; its log is in" in run.data("a", "crashed")[0]["message"]

    def test_what_sbatch_refuses_is_one_line(self):
        with pytest.raises(PabenchError, match=r"sbatch refuses: .*invalid partition specified: nope"):
            Run(Slurm(partition="nope", preload=()), [toy("a", "fail")])
