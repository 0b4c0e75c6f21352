"""What a task prints: into a file of bounded size, as plain text, and never to the terminal."""

from __future__ import annotations

import codecs
from contextlib import suppress
from pathlib import Path

from pabench.words import plain

MOST = 2**19
"""Characters that are kept of the beginning, and bytes of the end."""


class Log:
    """Takes bytes as they come and keeps them as text; the file appears with the first of them.

    The beginning is written at once, so that a task can be followed; the end when it is closed, with what was left out
    between the two. A disk that takes no more costs the log and nothing else.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._written = self._left_out = 0
        self._end = bytearray()
        with suppress(OSError):  # of an earlier attempt
            self._path.unlink(missing_ok=True)

    def add(self, data: bytes) -> None:
        if self._written < MOST:
            self._write(self._decode(data), "a" if self._written else "w")
        else:  # not even decoded before it is known to be the end
            self._end += data
            self._left_out += max(0, len(self._end) - MOST)
            del self._end[:-MOST]

    def close(self) -> None:
        if self._left_out:
            self._write(f"\n[{self._left_out:,} bytes are left out here]\n", "a")
        if self._end:
            self._write(self._end.decode(errors="replace"), "a")
        self._end.clear()

    def _write(self, text: str, mode: str) -> None:
        # a progress bar begins its line anew: as lines it can be read
        readable = plain(text.replace("\r", "\n"))
        with suppress(OSError):
            self._path.parent.mkdir(exist_ok=True)
            with open(self._path, mode, encoding="utf-8") as file:
                self._written += file.write(readable)
