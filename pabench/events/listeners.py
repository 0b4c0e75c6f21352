"""The runner's side of event hooks: a process for each, which nothing that becomes of it can hold up or harm.

The runner imports none of their code. It writes a line of JSON an event, and reads lines that say what went wrong.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from pabench import registry
from pabench.errors import Aborted, MissingError, SuiteError, did_you_mean
from pabench.words import one_line

GROUP = "pabench.events"
STARTING = 120.0
"""Seconds that the import of a hook may take; those of large libraries on a busy machine take ten."""
PATIENCE = 60.0
"""Seconds for which a full pipe is waited for, since its reader does nothing but read; and those a hook has to end."""
Tell = Callable[[str], None]


def entry_point(name: str) -> EntryPoint:
    """The event hook of this name, ours or another distribution's; nothing is imported. SuiteError: there is none, or
    there are two."""
    entries = registry.installed().select(group=GROUP)
    found = [entry for entry in entries if entry.name == name]
    if not found:
        raise SuiteError(f"--log {name}: no such event hook; {did_you_mean(name, {e.name for e in entries})}")
    if len(found) > 1:
        raise SuiteError(f"--log {name}: two event hooks have this name: {found[0].value} and {found[1].value}")
    return found[0]


@contextmanager
def listening(names: Iterable[str], folder: Path, tell: Tell) -> Iterator[tuple[Listener, ...]]:
    """The event hooks of these names follow the study in `folder` while the block runs; then they end.

    Before it runs: SuiteError, one has no such name; MissingError, one cannot be started. What goes wrong later is
    told, once for each, and stops nothing.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        entry_point(name)
    found = tuple(Listener(name, folder, tell) for name in names)
    try:
        for one in found:
            one.wait_until_ready()
        yield found
    except Aborted:
        for one in found:
            one.kill()
        raise
    finally:
        for one in found:
            one.close()


class Listener:
    """An event hook in a process of its own."""

    def __init__(self, name: str, folder: Path, tell: Tell) -> None:
        self._name, self._tell = name, tell
        self._over = self._complained = False
        # -P: a folder `wandb` where the study is run is not that library
        command = [sys.executable, "-P", "-m", "pabench.events.serve", name, str(folder.absolute())]
        process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the runner
        )
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._events, self._answers = process, process.stdin, process.stdout
        os.set_blocking(self._events.fileno(), False)

    def wait_until_ready(self) -> None:
        """MissingError: it cannot be imported, or made."""
        answer = self._answer(STARTING)
        if "ready" not in answer:
            self.kill()
            ours = entry_point(self._name).value.startswith("pabench.")
            remedy = f"; pip install 'pabench[{self._name}]'" if ours else ""
            raise MissingError(f"--log {self._name}: {answer.get('error', 'its process did not start')}{remedy}")

    def send(self, event: str, **data: Any) -> None:
        """Hand over an event, unless the hook is gone."""
        if self._over:
            return
        self._complain(self._answer(0).get("error", ""))
        rest, pipe = json.dumps({"event": event, **data}).encode() + b"\n", self._events.fileno()
        try:
            while rest:
                if not select.select([], [pipe], [], PATIENCE)[1]:
                    raise TimeoutError("it takes no events")
                rest = rest[os.write(pipe, rest) :]
        except OSError as error:
            self._events.close()
            self._complain(self._answer(0).get("error", "") or f"its process is gone ({error})")
            self.kill()

    def close(self) -> None:
        """Say that there is no more, and wait until it has ended, or end it."""
        if not self._over:
            self._events.close()
            try:
                code = self._process.wait(PATIENCE)
                self._complain(self._answer(0).get("error", "") or (f"ended with exit code {code}" if code else ""))
            except subprocess.TimeoutExpired:
                self._complain(f"did not end within {PATIENCE:g} s")
            self.kill()

    def kill(self) -> None:
        self._over = True
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for end in (self._events, self._answers):
            end.close()

    def _answer(self, seconds: float) -> dict[str, Any]:
        """The next line that the hook's process has sent; {} where there is none."""
        pipe = self._answers
        if pipe.closed or not select.select([pipe], [], [], seconds)[0]:
            return {}
        try:
            answer = json.loads(pipe.readline())
        except ValueError:  # it has ended
            return {}
        return answer if isinstance(answer, dict) else {}

    def _complain(self, text: str) -> None:
        if text and not self._complained:
            self._complained = True
            self._tell(f"log {self._name}: {one_line(text)}; the study goes on (logs/events-{self._name}.log)")
