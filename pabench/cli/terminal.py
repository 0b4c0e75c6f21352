"""Text on its way to a terminal, a file or a pipe, whatever that can show, and when it can take no more."""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import select
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from functools import partial
from typing import Any, NoReturn

from pabench.words import plain

CLOSED = 141
"""Exit code where nobody reads on (`| head -1`): 128 + SIGPIPE, as shells tell it of other commands."""
LIKE = {"–": "-", "−": "-", "…": "...", "·": "|", "×": "x"}
"""What stands for our own signs in an encoding without them; other characters are written as escapes."""


_elsewhere: list[Callable[[str, bool], None]] = []


@contextmanager
def elsewhere(take: Callable[[str, bool], None]) -> Iterator[None]:
    """Inside, what is said goes to `take`, with whether it is for stderr."""
    _elsewhere.append(take)
    try:
        yield
    finally:
        _elsewhere.pop()


def say(text: object, *, error: bool = False) -> None:
    """Text on stdout, or on stderr, at once. Names and messages of plugins cannot steer the terminal."""
    stream = sys.stderr if error else sys.stdout
    if _elsewhere:
        _elsewhere[-1](plain(text), stream is sys.stderr)
        return
    try:
        print(plain(text), file=stream, flush=True)
    except BrokenPipeError:
        leave()
    except OSError as failure:
        if stream is not sys.stdout:
            raise
        _end_incomplete(failure)


@contextmanager
def aside(asked: bool) -> Iterator[None]:
    """Inside, where asked for, all that is said goes to stderr: stdout is for one JSON document (`tell`)."""
    with redirect_stdout(sys.stderr) if asked else nullcontext():
        yield


def tell(document: object) -> None:
    """A JSON document on stdout."""
    say(json.dumps(document, indent=2))


@contextmanager
def steps() -> Iterator[Callable[[object], None]]:
    """Inside, what is given tells on stderr what is being done: at a terminal a line that the next one replaces."""
    from rich.console import Console
    from rich.text import Text

    screen = Console(stderr=True)
    if not screen.is_terminal or screen.is_dumb_terminal or screen.options.ascii_only:
        yield partial(say, error=True)
    else:
        with screen.status("") as shown:
            yield lambda text: shown.update(Text(plain(text)))


@contextmanager
def any_terminal() -> Iterator[None]:
    """Inside, stdout and stderr exist and take every character, and what they cannot take ends in an exit code. What a
    terminal is told that somebody has closed is lost: a run that was to outlive it goes on."""
    _open_all()
    for name in ("stdout", "stderr"):
        setattr(sys, name, _lasting(getattr(sys, name)))
    codecs.register_error("pabench", _like)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="pabench")
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            leave()
        except OSError as error:
            _discard()
            told = isinstance(error.__context__, SystemExit) and error.__context__.code
            if not told:  # what ended the command already said so, maybe of the same fault
                _end_incomplete(error)


def _open_all() -> None:
    """Open what the caller closed (`>&-`): the next file would be given its number, and get what is printed."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


class _Terminal(io.FileIO):
    """A terminal that may be closed while it is written to."""

    def write(self, data: Any, /) -> int:
        try:
            if (written := super().write(data)) is None:
                select.select([], [self], [])
            return written or 0
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return len(memoryview(data).cast("B"))


def _lasting(stream: Any) -> Any:
    """A stream that outlives its terminal; any other as it is."""
    file = getattr(getattr(stream, "buffer", None), "raw", None) or getattr(stream, "buffer", None)  # or unbuffered
    # one that is closed already is no terminal any more, but still a device of its kind
    if not isinstance(file, io.FileIO) or not stat.S_ISCHR(os.fstat(file.fileno()).st_mode):
        return stream
    stream.flush()
    screen = io.BufferedWriter(_Terminal(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(screen, stream.encoding, stream.errors, line_buffering=True)


def _like(error: UnicodeError) -> tuple[str, int]:
    """The handler of characters that an encoding has not."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(LIKE.get(c) or c.encode("ascii", "backslashreplace").decode() for c in missing), error.end


def leave() -> NoReturn:
    """End the command: nobody reads on."""
    _discard()
    sys.exit(CLOSED)


def _end_incomplete(error: OSError) -> NoReturn:
    """End the command: its output has no room."""
    _discard()
    say(f"stdout: {error.strerror}; the output is not complete", error=True)
    sys.exit(1)


def _discard() -> None:
    """Send what is still buffered nowhere, or Python complains of it at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """While large libraries are imported Ctrl-C ends the process: an interrupt in the midst of torch's import is lost
    within it, and leaves half of numpy behind, so that a command went on to its end and failed there."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
