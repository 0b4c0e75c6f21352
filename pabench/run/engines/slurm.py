"""The engine `slurm`: arrays of jobs, handed to Slurm by submitit; each job runs a few tasks as `processes` does.

The runner and the jobs talk by files of a folder that all machines share. A job appends what happens to a file of its
own; the runner has a pulse, a file that it changes again and again. Jobs whose runner has none any more end.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pabench.errors import MissingError, PabenchError
from pabench.parameters import PositiveFloat, PositiveInt
from pabench.run.engine import Event, Outcome, Task
from pabench.run.engines import gpus
from pabench.run.engines.cluster import AT_ONCE, Attempt, Cluster, Queue
from pabench.run.processes import Processes

REQUEUES = 50
"""How often a job may reach its limit: a cell without checkpoints that is longer would go on for ever."""
MARGIN = 15
"""Seconds that a job has beyond the grace of its tasks, to put itself back."""
STOP = "stop"


@dataclass(frozen=True, kw_only=True)
class Slurm(Cluster):
    """Cells in arrays of jobs: `cells` of them at once in a job, on the GPUs of `gres` where they compute on one.

    `partition`, `account`, `qos`, `constraint`, `time` and `mem` are those of sbatch, and of each job. A job is told
    `warning` seconds before its time limit, or when it is preempted: its tasks get SIGTERM and `grace` seconds for a
    checkpoint, and the job goes back into the queue. `folder`, which all machines share, gets scripts and logs. The
    queue is looked at every `poll` seconds. `patience`: seconds without a pulse after which a job ends.
    """

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    time: str = "4:00:00"
    mem: str = ""
    gres: str = "gpu:1"
    cells: PositiveInt = 2
    warning: PositiveInt = 120
    folder: str = "slurm"
    poll: PositiveFloat = 5.0
    patience: PositiveFloat = 300.0

    def __post_init__(self) -> None:
        if self.warning < self.grace + MARGIN:
            raise ValueError(f"warning={self.warning}: expected at least grace={self.grace:g} and {MARGIN} s more")

    def queue(self) -> SlurmQueue:
        folder = Path(self.folder).absolute() / f"{datetime.now():%Y-%m-%d-%H%M%S}-{os.getpid()}"
        folder.mkdir(parents=True)
        return SlurmQueue(self, folder)

    def executor(self, folder: Path, first: Attempt) -> Any:
        """Of submitit, for jobs like that of this attempt."""
        try:
            import submitit
        except ImportError as error:
            raise MissingError("--engine slurm: submitit is not installed; pip install 'pabench[slurm]'") from error

        class Executor(submitit.SlurmExecutor):
            """Scripts can be looked at where there is no Slurm."""

            @classmethod
            def affinity(cls) -> int:
                return 2

        executor = Executor(folder, max_num_timeout=REQUEUES)
        asked = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "mem": self.mem,
            "gres": self.gres if gpus.wanted(first.task) else "",
        }
        executor.update_parameters(
            **{key: value for key, value in asked.items() if value},
            job_name="pabench",
            nodes=1,
            ntasks_per_node=1,
            cpus_per_task=first.threads * (1 if first.alone else self.cells),
            exclusive=True if first.alone and not gpus.wanted(first.task) else None,
            signal_delay_s=self.warning,
            array_parallelism=AT_ONCE,
            stderr_to_stdout=True,
            wckey=None,  # not every Slurm knows the one of submitit
            additional_parameters={"time": self.time, "requeue": True},  # submitit's own `time` knows minutes alone
        )
        return executor

    def script(self, tasks: Iterable[Task], *, threads: int) -> str:
        attempts = [Attempt(task, 1, threads, False) for task in tasks if not task.after]
        if not attempts:
            return ""
        executor = self.executor(Path(self.folder).absolute() / "RUN", attempts[0])
        if (jobs := len(list(_packs(attempts, self.cells)))) > 1:
            executor.parameters["map_count"] = jobs
        text: str = executor._make_submission_file_text(executor._submitit_command_str, "")
        return text


@dataclass
class Running:
    """A job that was submitted: its attempts that have no outcome yet, and how far its file has been read."""

    number: str
    file: Path
    left: dict[str, Attempt]
    read: int = 0
    gone: bool = False

    def lines(self) -> Iterator[dict[str, Any]]:
        """What it has written since."""
        with open(self.file, "rb") as file:  # opened anew: on NFS that is when another machine's lines appear
            file.seek(self.read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.read += len(whole)
        yield from map(json.loads, whole.splitlines())


@dataclass
class SlurmQueue(Queue):
    """The jobs of a run."""

    engine: Slurm
    folder: Path
    jobs: list[Running] = field(default_factory=list)
    stopped: bool = False
    beats: Iterator[int] = field(default_factory=itertools.count)
    packs: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._beat()

    def submit(self, attempts: Sequence[Attempt]) -> None:
        for alike in _alike(attempts):
            executor = self.engine.executor(self.folder, alike[0])
            jobs = [
                Job(pack, str(self.folder / f"{next(self.packs)}.jsonl"), str(self._pulse), self.engine)
                for pack in _packs(alike, self.engine.cells)
            ]
            for job in jobs:
                Path(job.file).touch()  # NFS remembers for a while that a file is not there
            try:
                with executor.batch():
                    submitted = [executor.submit(job) for job in jobs]
            except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
                said = getattr(error, "stderr", None) or str(error)
                raise PabenchError(f"--engine slurm: sbatch refuses: {said.strip()}") from error
            self.jobs += [
                Running(number.job_id, Path(job.file), {attempt.task.key: attempt for attempt in job.attempts})
                for number, job in zip(submitted, jobs, strict=True)
            ]

    def news(self) -> Iterator[Event | Outcome]:
        self._beat()
        alive = self._alive()
        for job in list(self.jobs):
            ended = job.gone  # when its file is read now, all that it wrote must have arrived
            for line in job.lines():
                if "event" in line:
                    yield Event(**line["event"])
                elif "outcome" in line:
                    del job.left[line["outcome"]["key"]]
                    yield Outcome(**line["outcome"])
                else:
                    ended = True
            if ended or not job.left:
                self.jobs.remove(job)
                yield from (self._lost(key, job) for key in job.left)
            job.gone = alive is not None and job.number not in alive
        time.sleep(self.engine.poll)

    def _lost(self, key: str, job: Running) -> Outcome:
        """Of a task whose job has ended without a word of it."""
        if self.stopped:
            return Outcome(key, False, "stopped", "was stopped with the run")
        return Outcome(key, False, "crash", f"job {job.number} of Slurm is gone; its log is in {self.folder}")

    def _alive(self) -> set[str] | None:
        """Numbers of the jobs that wait or run, also again; None where the controller does not answer now."""
        asked = subprocess.run(["squeue", "--me", "-h", "-r", "-o", "%i"], capture_output=True, text=True)
        return set(asked.stdout.split()) if asked.returncode == 0 else None

    @property
    def _pulse(self) -> Path:
        return self.folder / "runner"

    def _beat(self) -> None:
        self._pulse.write_text(STOP if self.stopped else str(next(self.beats)))

    def stop(self) -> None:
        self.stopped = True
        self._beat()
        self._cancel("--state=PENDING")

    def close(self) -> None:
        if self.jobs:
            self._cancel("--full", "--signal=KILL")
            self._cancel()

    def _cancel(self, *how: str) -> None:
        subprocess.run(["scancel", "--quiet", *how, *(job.number for job in self.jobs)], capture_output=True)


@dataclass
class Job:
    """What a job computes: these attempts, whose news it appends to `file`. submitit calls it, and `checkpoint` when
    the job is about to be ended: then it comes again, for those that have no outcome yet."""

    attempts: list[Attempt]
    file: str
    pulse: str
    engine: Slurm

    def __call__(self) -> None:
        self.stop = threading.Event()
        # the main thread is where signals arrive, and may not be in the middle of something then
        self.work = threading.Thread(target=self._run)
        self.work.start()
        pulse, heard = "", time.monotonic()
        while self.work.is_alive():
            if (found := self._read_pulse()) != pulse:
                pulse, heard = found, time.monotonic()
            if pulse == STOP or time.monotonic() - heard > self.engine.patience:
                self.stop.set()
            time.sleep(1)
        self._tell(end=True)

    def checkpoint(self) -> Any:
        """End in order; what submitit puts back into the queue."""
        from submitit.helpers import DelayedSubmission

        self.stop.set()
        while self.work.is_alive():
            time.sleep(0.1)
        return DelayedSubmission(replace(self))

    def _run(self) -> None:
        # Slurm signals all processes of a job: those that are started from here must not die of it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        done = {line["outcome"]["key"] for line in Running("", Path(self.file), {}).lines() if "outcome" in line}
        attempts = [attempt for attempt in self.attempts if attempt.task.key not in done]
        engine = Processes(preload=self.engine.preload, attempts=1, grace=self.engine.grace)
        outcomes = engine.run(
            [attempt.task for attempt in attempts],
            workers=1 if self.attempts[0].alone else self.engine.cells,
            threads=self.attempts[0].threads,
            on_event=lambda event: self._tell(event=asdict(event)),
            stop=self.stop,
        )
        for outcome in outcomes:
            if outcome.kind != "stopped":  # it may come again
                self._tell(outcome=asdict(outcome))

    def _read_pulse(self) -> str:
        try:
            return Path(self.pulse).read_text()
        except OSError:
            return ""

    def _tell(self, **line: Any) -> None:
        with open(self.file, "a") as file:  # closed at once, which is when others see it on NFS
            file.write(json.dumps(line) + "\n")


def _alike(attempts: Sequence[Attempt]) -> Iterator[list[Attempt]]:
    """Those that may be in one array: jobs of it ask for the same."""
    groups: dict[tuple[bool, bool], list[Attempt]] = {}
    for attempt in attempts:
        groups.setdefault((attempt.alone, gpus.wanted(attempt.task)), []).append(attempt)
    yield from groups.values()


def _packs(attempts: Sequence[Attempt], cells: int) -> Iterator[list[Attempt]]:
    """The attempts of each job: as many as run in it at once."""
    size = 1 if attempts[0].alone else cells
    for start in range(0, len(attempts), size):
        yield list(attempts[start : start + size])
