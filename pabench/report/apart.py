"""Sections of a page by other distributions: each is made in a process of its own, within a time.

What such a process says is plain data; whatever it does instead costs its section, and the page says so in a line.
"""

from __future__ import annotations

import json
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pabench import registry
from pabench.report.study import Study
from pabench.words import one_line

SECONDS = 120.0
"""A section of pabench takes less than one."""
MAX_BYTES = 64 * 2**20
CHUNK = 2**20


@dataclass(frozen=True)
class Made:
    """What a process made of a section: its HTML, the files of its figures, or why there is none of them."""

    name: str
    title: str
    order: float
    html: str = ""
    files: tuple[Path, ...] = ()
    problem: str = ""


def made(source: str, study: Study, folder: Path | None = None) -> list[Made]:
    """The sections that a source (`registry.offered`) defines, of a study; with a folder their figures, saved there."""
    answer = _asked({"source": source, "study": study, "folder": folder, "path": sys.path})
    try:
        return [
            Made(
                name=str(one["name"]),
                title=str(one["title"]),
                order=float(one["order"]),
                html=str(one["html"]),
                files=tuple(map(Path, one["files"])),
                problem=one_line(str(one["problem"])),
            )
            for one in json.loads(answer)
        ]
    except (ValueError, KeyError, TypeError):
        why = one_line(answer) if answer.startswith("its ") else "its process said nothing of use"
        return [Made(source, source, 1e9, problem=why)]


def _asked(question: dict[str, Any]) -> str:
    """What a process says to a question, or what became of it, in words that begin with "its"."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", f"from {__name__} import main; main({writing})"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(writing,),
        start_new_session=True,  # it ends with all that it started and left in its group
    )
    os.close(writing)
    try:
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin:
            # Python's own format, in the one direction in which it is safe: what comes back is JSON
            pickle.dump(question, process.stdin)
        return _read(reading, process)
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(pipe: int, process: subprocess.Popen[bytes]) -> str:
    found, until = bytearray(), time.monotonic() + SECONDS
    while len(found) <= MAX_BYTES:
        if not select.select([pipe], [], [], max(0.0, until - time.monotonic()))[0]:
            return f"its process took longer than {SECONDS:g} s"
        if not (data := os.read(pipe, CHUNK)):
            break
        found += data
    else:
        return f"its process said more than {MAX_BYTES} bytes"
    if found:
        return found.decode(errors="replace")
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)
    return f"its process ended with code {process.poll()} and said nothing"


# --- in the process apart ---------------------------------------------------------------------------------------------


def main(pipe: int) -> None:
    """Answer the question on standard input."""
    question = pickle.load(sys.stdin.buffer)
    sys.path[:] = question["path"]
    try:
        loaded = registry.load(question["source"])
        answer = [_made(cls(), question["study"], question["folder"]) for cls in loaded.classes]
        answer += [_told(broken.origin, problem=broken.reason) for broken in loaded.broken]
    except Exception as error:
        answer = [_told(question["source"], problem=registry.complaint(error))]
    with open(pipe, "w", encoding="utf-8", errors="replace") as file:
        json.dump(answer, file)


def _made(section: Any, study: Study, folder: Path | None) -> dict[str, Any]:
    told = _told(str(section.name), str(section.title), float(section.order))
    try:
        if folder is None:
            return {**told, "html": str(section.render(study) or "")}
        return {**told, "files": [str(path) for picture in section.figures(study) for path in picture.save(folder)]}
    except Exception as error:
        return {**told, "problem": registry.complaint(error)}


def _told(name: str, title: str = "", order: float = 1e9, problem: str = "") -> dict[str, Any]:
    return {"name": name, "title": title or name, "order": order, "html": "", "files": [], "problem": problem}
