"""A command that uses plugins of others, in a process apart: whatever their code does, the command says how it ended.

First each file and each distribution is imported by a process of its own (`pabench.run.discovery`): what cannot be
imported, hangs or changes more than it defines is named. Then the whole command runs in one child with a guard. What it
tells comes over a pipe and is printed here; what plugins print goes to a file, and its end is shown.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pabench import registry
from pabench.errors import MissingError, PabenchError, PluginError, SuiteError
from pabench.run.discovery import Foreign, shown
from pabench.run.engine import Event, Report, Task
from pabench.run.processes import Processes
from pabench.training.environment import threads
from pabench.words import one_line

PRINTED = 2_000
"""Characters of what plugins printed that are shown, the last ones."""
Say = Callable[[str, bool], None]
"""Takes a text, and whether it is for stderr."""
_inside = threading.Event()


def inside() -> bool:
    """Whether this is the process apart."""
    return _inside.is_set()


@contextmanager
def entered(payload: Mapping[str, Any]) -> Iterator[None]:
    """In the process apart: while the command runs, plugins are loaded here."""
    registry.leave_out(payload["left_out"])
    _inside.set()
    try:
        yield
    finally:
        _inside.clear()


def carry_out(function: str, payload: Mapping[str, Any], files: Sequence[Path], say: Say) -> int:
    """Call `function(payload, report)` in a process apart; returns the exit code that it reports.

    It reports {"text": ..., "error": ...} for what it tells and at last {"exit": ...}. MissingError: a file is not
    there or cannot be imported, or code of plugins ended the process. PluginError: importing a file changes what others
    compute with. SuiteError: two have one name.
    """
    for file in files:
        if not file.is_file():
            raise MissingError(f"{file}: no such plugin file")
    engine = Processes(attempts=1, grace=1.0)
    sources = [str(file.resolve()) for file in files]
    found = Foreign(engine, files=[Path(source) for source in sources]).found
    if lines := [f"{shown(source)}: {found.broken[source]}" for source in sources if source in found.broken]:
        raise MissingError("\n".join(f"broken plugin: {line}" for line in lines))
    if found.refused:
        raise SuiteError("\n".join(problem for _, problem in found.refused))
    if changed := [source for source in sources if source in found.changed]:
        told = [f"{shown(one)}: importing it changes {found.changed[one]}; it may only define" for one in changed]
        raise PluginError("\n".join(told))
    # what others have installed is not asked for by name: it is left out, and that is said
    left_out = {**{source: f"importing it changes {what}" for source, what in found.changed.items()}, **found.broken}
    for source, why in left_out.items():
        say(f"broken plugin, left out: {shown(source)}: {why}", True)
    names = ", ".join(map(shown, sources)) or "an installed plugin"
    with TemporaryDirectory(prefix="pabench-apart-") as folder:
        log = Path(folder) / "printed"
        task = Task("command", names, function, {**payload, "left_out": [*left_out]}, log=str(log), guarded=True)
        code = _code(engine, task, names, say)
        printed = log.read_text(encoding="utf-8", errors="replace").strip() if log.is_file() else ""
    if printed:
        say(f"printed by {names}:\n{'...' * (len(printed) > PRINTED)}{printed[-PRINTED:]}", True)
    return code


def _code(engine: Processes, task: Task, names: str, say: Say) -> int:
    """The exit code that a task reports."""
    codes: list[int] = []

    def listen(event: Event) -> None:
        if event.kind == "progress" and isinstance(event.data.get("text"), str):
            say(event.data["text"], bool(event.data.get("error")))
        elif event.kind == "progress" and isinstance(event.data.get("exit"), int):
            codes.append(event.data["exit"])

    (outcome,) = engine.run([task], workers=1, threads=threads(1), on_event=listen, stop=threading.Event())
    if outcome.kind == "error":
        raise PabenchError(f"{names}: {one_line(outcome.reason)}")
    if not outcome.ok or not codes:
        raise MissingError(f"{names}: its code ended the process that ran it ({one_line(outcome.reason)})")
    return codes[-1]


def reporting(report: Report) -> Say:
    """What tells the process that waits what is said here."""
    return lambda text, error: report({"text": text, "error": error})
