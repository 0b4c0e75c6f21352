"""The hook's side: `python -m pabench.events.serve NAME FOLDER` calls an event hook for each line of its stdin.

It answers on stdout, a line each: {"ready": true}, and {"error": ...} with the first of what went wrong.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from pabench.events.hook import EventHook
from pabench.events.listeners import PATIENCE, entry_point
from pabench.store.store import Store, log_of
from pabench.suite.cell import Cell
from pabench.words import one_line


def main(name: str, folder: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    _print_into(os.devnull)  # what a library prints is no answer

    def answer(**message: Any) -> None:
        print(json.dumps(message), file=answers, flush=True)

    try:
        hook = entry_point(name).load()()
    except Exception as error:
        answer(error=_told(error))
        return
    answer(ready=True)
    failed = False
    for call in calls(hook, Store(folder), _lines(), log_of(folder, f"events-{name}")):
        try:
            call()
        except Exception as error:
            traceback.print_exc()
            if not failed:
                answer(error=_told(error))
            failed = True


def calls(hook: EventHook, store: Store, lines: Iterator[bytes], log: str) -> Iterator[Callable[[], None]]:
    """What is to be called, in order; nothing where no line comes. From the first on it prints into the log."""
    cells: dict[str, Cell] = {}
    begun = False
    for line in lines:
        event: dict[str, Any] = json.loads(line)
        if not begun:
            begun = True
            Path(log).parent.mkdir(exist_ok=True)
            _print_into(log)
            yield lambda: hook.study(store.folder, store.manifest())
        match event.pop("event"):
            case "started":
                cell = Cell.from_json(event["cell"])
                cells[cell.key] = cell
                yield partial(hook.started, cell)
            case "epoch":
                yield partial(hook.epoch, cells[event.pop("key")], **event)
            case "ended":
                cell, record = cells.pop(event["key"]), store.get("records", event["key"])
                if record is not None:
                    yield partial(hook.ended, cell, record)
    if begun:
        yield hook.closed


def _lines() -> Iterator[bytes]:
    """The lines of stdin, read at once by a thread of their own: a slow hook does not hold up the runner. One that does
    not come to an end when the runner has is ended."""
    lines: SimpleQueue[bytes] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin.buffer:
            lines.put(line)
        lines.put(b"")
        time.sleep(PATIENCE)
        os._exit(1)

    Thread(target=read, daemon=True, name="pabench-events").start()
    return iter(lines.get, b"")


def _print_into(path: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)


def _told(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
