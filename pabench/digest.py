"""What identifies the code of a plugin class: the SHA-256 of its file."""

from __future__ import annotations

import hashlib
import inspect
import sys
from functools import cache
from pathlib import Path


@cache
def source_digest(cls: type) -> str:
    """SHA-256 of the file that defines a class: part of every record, so that an edited criterion is another one.

    Where it extends a class of another file outside pabench, of both. "" for a class that is in no file (typed into a
    notebook): the library takes it, a suite cannot name it.
    """
    ours = {"pabench", *sys.stdlib_module_names}
    bases = [c for c in cls.__mro__[1:] if c.__module__.partition(".")[0] not in ours]
    try:
        files = dict.fromkeys(inspect.getfile(c) for c in (cls, *bases))
        digests = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files]
    except (OSError, TypeError):
        return ""
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
