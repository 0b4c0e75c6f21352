"""The errors a user meets. Each message is one line: where, what, what was expected, the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PabenchError(Exception):
    """Anything pabench refuses for a reason its user can mend; `exit_code` is what the command line returns."""

    exit_code = 1


class SuiteError(PabenchError):
    """A suite, an option or a parameter is invalid; the message may hold several lines, one per finding."""

    exit_code = 2


class RefusedError(PabenchError):
    """The request is understood and declined: another study in the folder, a read-only folder, a drift."""

    exit_code = 4


class MissingError(PabenchError):
    """Something the run needs is not there: a dataset, a device, a plugin."""

    exit_code = 5


class PluginError(PabenchError):
    """A plugin broke its contract: wrong names, shapes, values, or an exception of its own."""

    exit_code = 3


class DataError(PabenchError):
    """A file exists and holds something else than it should."""

    exit_code = 3


class DivergedError(PabenchError):
    """Training met a loss that is not finite."""

    exit_code = 3


class DenseWarning(UserWarning):
    """A good part of a network's weights is of kinds that no mask touches."""


class Aborted(BaseException):
    """The user asked twice to stop: nothing may catch this and go on."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The remedy of an unknown name: the close ones first, then all that are known.

    >>> did_you_mean("snp", ["snip", "grasp"])
    "did you mean 'snip'? known: grasp, snip"
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}known: {', '.join(known)}"
