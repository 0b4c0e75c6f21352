"""Runs that share a results folder, also on a network file system and from other machines: who lives, who has what.

runners/<id>.json         the lease of a runner: where it runs, what it computes. A thread of it counts it up
claims/<task key>         who has a task, and then that it has ended; whoever makes the file first has it
claims/<task key>.<id>    the same, where the claim <id> no longer counts: its runner is gone, or it gave less

A runner is gone when its lease is. It removes it at its end; of one that was killed, others do. Whether it was killed
is judged without a clock, for those of two machines may differ: another machine's lease that stands still at `MISSES`
looks in a row. A process of the same machine is looked up.

What is lost here is repeated work and never a result: of two records of one cell the store keeps the first. So a runner
that was taken for dead and wakes up does no harm, and nor does a claim that outlived its runner.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pabench.errors import DataError, RefusedError
from pabench.run.engine import Event, Outcome, Task
from pabench.store import files
from pabench.store.envelope import parse
from pabench.suite.digest import digest

RENEW_SECONDS = 5.0
MISSES = 12
"""A minute: clients of a network file system may see a file up to a minute late."""
MAX_LEASE, MAX_CLAIM = 2**20, 2**24


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A runner, as it tells of itself. `machine` and `born` tell its process from all others of its `pid`, where the
    system says so; `running` has the title of each task by its key, with `epoch` and `epochs` where they are known."""

    host: str
    machine: str
    pid: int
    born: str
    command: str
    workers: int
    threads: int
    beats: int = 0
    running: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.host} (process {self.pid})"

    def is_gone(self) -> bool:
        """Whether its process is known to have ended; False where it cannot be known."""
        if not self.machine or self.machine != _machine():
            return False
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:  # it is somebody else's
            pass
        born = _born(self.pid)
        return born is not None and born != self.born


@dataclass(frozen=True)
class Seen:
    """A runner in a folder, and for how many seconds it has given no sign of life."""

    lease: Lease
    silent: float

    @property
    def alive(self) -> bool:
        return self.silent < RENEW_SECONDS * MISSES and not self.lease.is_gone()

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self.lease), "silent": self.silent, "alive": self.alive}


class Runner:
    """This runner in a results folder, while the block of its `with` lasts: `Claims` that others keep to."""

    def __init__(self, folder: Path, *, command: str, workers: int, threads: int) -> None:
        self.id = secrets.token_hex(8)
        self._runners, self._claims = folder / "runners", folder / "claims"
        self._told: dict[str, Any] = {
            "host": socket.gethostname(),
            "machine": _machine(),
            "pid": os.getpid(),
            "born": _born(os.getpid()) or "",
            "command": command,
            "workers": workers,
            "threads": threads,
        }
        self._beats = 0
        self._held: dict[str, _Claim] = {}
        self._running: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, tuple[bytes, int]] = {}
        self._before: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="pabench-lease")

    def __enter__(self) -> Runner:
        self.renew()  # no claim without a lease
        self.look()
        if not self._seen:
            self._clear()
        # what ended before this runner looked at what there is to do, it wants again
        found = {path.name: _claim(path) for path in _files(self._claims)}
        self._before = {name for name, claim in found.items() if claim and claim.ended is not None}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for claim in self._held.values():
            _remove(claim.path)
        _remove(self._lease(self.id))
        with contextlib.suppress(OSError, RefusedError):
            self.look()
            if not self._seen:
                self._clear()

    def claim(self, task: Task) -> Literal["ours", "theirs", "ended"]:
        if task.key in self._held:
            return "ours"
        path = self._claims / task.key
        while (found := _claim(path)) is not None:
            if found.ended is None:
                if self._lives(found.runner):
                    return "theirs"
            elif path.name not in self._before and found.ended.issuperset(task.gives):
                return "ended"
            path = self._claims / f"{task.key}.{found.id}"
        ours = _Claim(path, secrets.token_hex(8), self.id, gives=task.gives)
        if not files.write_once(path, ours.text()):
            return "theirs"  # somebody was quicker
        self._held[task.key] = ours
        self._running[task.key] = {"title": task.title}
        return "ours"

    def tell(self, event: Event) -> None:
        if event.kind == "progress" and event.key in self._running and "epoch" in event.data:
            epochs = {"epoch": event.data["epoch"], "epochs": event.data.get("epochs")}
            self._running[event.key] = {**self._running[event.key], **epochs}

    def ended(self, outcome: Outcome) -> None:
        self._running.pop(outcome.key, None)
        claim = self._held.pop(outcome.key, None)
        if claim is None:
            return
        if outcome.kind == "stopped":
            _remove(claim.path)
        else:
            with contextlib.suppress(RefusedError):  # a full disk: others will find its results when they start it
                files.replace(claim.path, claim.text(ended=True))

    @property
    def others(self) -> list[Lease]:
        """The other runners that were alive at the last look."""
        return list(filter(None, (_lease(text) for text, _ in self._seen.values())))

    def renew(self) -> None:
        """Give a sign of life."""
        self._beats += 1
        lease = Lease(**self._told, beats=self._beats, running=dict(self._running))
        files.replace(self._lease(self.id), json.dumps(asdict(lease)).encode())

    def look(self) -> None:
        """See which others give signs of life, and take the lease from those that are gone."""
        seen = {}
        for path in _files(self._runners):
            text = _read(path, MAX_LEASE)
            if path.stem == self.id or text is None:
                continue
            before, misses = self._seen.get(path.stem, (b"", 0))
            misses = misses + 1 if text == before else 0
            lease = _lease(text)
            if misses >= MISSES or (lease and lease.is_gone()):
                _remove(path)
            else:
                seen[path.stem] = text, misses
        self._seen = seen

    def _beat(self) -> None:
        while not self._over.wait(RENEW_SECONDS):
            for step in (self.renew, self.look):
                with contextlib.suppress(OSError, RefusedError):  # it may be possible again
                    step()

    def _lives(self, runner: str) -> bool:
        if (text := _read(self._lease(runner), MAX_LEASE)) is None:
            return False
        lease = _lease(text)
        if gone := lease is not None and lease.is_gone():
            _remove(self._lease(runner))
        return not gone

    def _lease(self, runner: str) -> Path:
        return self._runners / f"{runner}.json"

    def _clear(self) -> None:
        """Remove all claims: there is nobody to whom they say something."""
        for path in _files(self._claims):
            _remove(path)


@dataclass(frozen=True)
class _Claim:
    """A file of claims/. `ended`: what its task gave, once it has ended."""

    path: Path
    id: str
    runner: str
    gives: tuple[str, ...] = ()
    ended: frozenset[str] | None = None

    def text(self, *, ended: bool = False) -> bytes:
        told = {"id": self.id, "runner": self.runner, **({"ended": self.gives} if ended else {})}
        return json.dumps(told).encode()


def runners(folder: Path) -> list[Seen]:
    """The runners that have a lease in a results folder, those that are alive first."""
    found = []
    for path in _files(folder / "runners"):
        text = _read(path, MAX_LEASE)
        if text is not None and (lease := _lease(text)):
            with contextlib.suppress(FileNotFoundError):
                found.append((lease, path.stat().st_mtime))
    now = files.clock(folder / "runners") if found else 0.0
    seen = [Seen(lease, max(0.0, now - renewed)) for lease, renewed in found]
    return sorted(seen, key=lambda one: (not one.alive, one.lease.name))


def _files(folder: Path) -> list[Path]:
    return [folder / name for name in files.names(folder)]


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _read(path: Path, limit: int) -> bytes | None:
    try:
        return files.read(path, limit=limit)
    except FileNotFoundError:
        return None
    except DataError:  # no file, or none of ours
        return b""


def _lease(text: bytes) -> Lease | None:
    try:
        lease = Lease(**parse(text))
        running = {str(key): {**task, "title": str(task["title"])} for key, task in lease.running.items()}
        return Lease(**{**asdict(lease), "pid": max(1, int(lease.pid)), "running": running})
    except (DataError, TypeError, ValueError, KeyError, AttributeError):
        return None


def _claim(path: Path) -> _Claim | None:
    """The claim in a file; one that says nothing is nobody's."""
    if (text := _read(path, MAX_CLAIM)) is None:
        return None
    try:
        told = parse(text)
        ended = frozenset(told["ended"]) if "ended" in told else None
        return _Claim(path, str(told["id"]), str(told["runner"]), ended=ended)
    except (DataError, TypeError, KeyError):
        return _Claim(path, digest(path.name)[:16], "nobody")


def _machine() -> str:
    """Where a process id means the same process: what of the machine lasts until it is started again, and the
    container; "" where the system does not say."""
    with contextlib.suppress(OSError):
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _born(pid: int) -> str | None:
    """When a process of this machine was started, in ticks of the system; "" for one that has ended; None where that is
    not told."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "" if state in "ZX" else fields[18]
