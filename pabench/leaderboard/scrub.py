"""Texts without what they tell of a submitter's machine: folders, home directories, its name."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

# A path that starts at a root: at the beginning of a word, and no part of an address or of $VARIABLE/more.
_POSIX = re.compile(r"(?<![\w.$~/%}\\-])(?!//)/(?:[^\s\"'<>|:;,()\[\]{}/]+/)*[^\s\"'<>|:;,()\[\]{}/]*")
_HOME = re.compile(r"~[\w.-]*/(?:[^\s\"'<>|:;,()\[\]{}/]+/)*[^\s\"'<>|:;,()\[\]{}/]*")
_WINDOWS = re.compile(r"\b[A-Za-z]:\\(?:[^\s\"'<>|:;,()\[\]{}\\]+\\)*[^\s\"'<>|:;,()\[\]{}\\]*")
PRIVATE = ("host", "hostname", "user", "username", "login", "cwd", "home")
"""Entries of an environment that name a machine or a person."""


def text(value: str) -> str:
    """A text in which each absolute path is cut to its last part, and the name of this machine is left out.

    >>> text('File "/home/ada/lab/mine.py", line 3; see https://example.org/a/b and $DATA/cifar10')
    'File "mine.py", line 3; see https://example.org/a/b and $DATA/cifar10'
    """
    home = str(Path.home())
    value = value.replace("file://", "")
    value = value.replace(home, "~") if len(home) > 1 else value  # "/" is the home of some containers
    # drives before homes before roots: a later pattern would take a part of what an earlier one takes whole
    for pattern, mark in ((_WINDOWS, "\\"), (_HOME, "/"), (_POSIX, "/")):
        value = pattern.sub(partial(_last, mark=mark), value)
    host = socket.gethostname()
    # a shorter name is a word, or a part of too many
    if len(host) > 3 and host != "localhost":
        value = re.sub(rf"(?<![\w-]){re.escape(host)}(?![\w-])", "HOST", value)
    return value


def everything(value: Any) -> Any:
    """The same of every text in plain data; `PRIVATE` entries are left out."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {key: everything(inner) for key, inner in value.items() if key not in PRIVATE}
    return [everything(inner) for inner in value] if isinstance(value, list | tuple) else value


def _last(found: re.Match[str], mark: str) -> str:
    """The last part of a path; a lone slash or backslash is no path."""
    path = found.group()
    return path if not path.strip(mark + "~") else path.rstrip(mark).rpartition(mark)[2]
