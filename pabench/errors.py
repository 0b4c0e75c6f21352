"""The errors a user meets. Each message is one line: where, what, what was expected, the remedy."""

from __future__ import annotations

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


class DeclinedError(PabenchError):
    """What was asked for cannot be done for this network, which stays as it is."""

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


class ExhaustedError(PabenchError):
    """Memory ran out while other tasks ran beside this one: an engine tries it once more, alone."""


class DegenerateWarning(UserWarning):
    """Scores of which most are 0, tied, infinite or no number: their ranking means little."""


class DenseWarning(UserWarning):
    """A good part of a network's weights is of kinds that no mask touches."""


class Aborted(BaseException):
    """The user asked twice to stop: nothing may catch this and go on."""


class Interrupted(Aborted):
    """A task was asked to end by a signal, and has kept where it stood."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The remedy of an unknown name: the close ones first, then all that are known.

    >>> did_you_mean("snp", ["snip", "grasp"])
    "did you mean 'snip'? known: grasp, snip"
    """
    known = sorted(known)
    guess = "".join(f"did you mean {one!r}? " for one in close(name, known))
    return f"{guess}known: {', '.join(known)}"


def close(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """The known names that `name` is a slip of, the closest first; none where nothing is close, for a wrong guess
    misleads.

    A slip is one letter more, less, other, or swapped with its neighbour, two in names of 8 letters and more. Case,
    separators and a plural are no slips at all.

    >>> close("img_sizee", ["dynamic_img_size", "img_size"]), close("img_sizee", ["dynamic_img_size"])
    (['img_size'], [])
    >>> close("sparsity", ["sparsities"]), close("Iter-SNIP", ["iter_snip"]), close("er", ["lr"])
    (['sparsities'], ['iter_snip'], [])
    """
    wanted = _folded(name)
    slips = {one: _slips(wanted, _folded(one)) for one in known}
    letters = {one: max(len(wanted), len(_folded(one))) for one in slips}
    near = [one for one, n in slips.items() if n <= (letters[one] > 2) + (letters[one] > 7)]
    return sorted(near, key=lambda one: (slips[one], one))[:most]


def _folded(name: str) -> str:
    """Without what is not a slip."""
    bare = "".join(c for c in name.casefold() if c.isalnum())
    return f"{bare[:-3]}y" if bare.endswith("ies") else bare.removesuffix("s")


def _slips(one: str, other: str) -> int:
    """Letters to insert, delete, replace or swap with a neighbour (optimal string alignment distance)."""
    if abs(len(one) - len(other)) > 2:
        return 3  # more than any limit
    before, row = [0] * (len(other) + 1), list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        above, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b)))
            if i > 1 and j > 1 and a == other[j - 2] and b == one[i - 2]:
                row[j] = min(row[j], before[j - 2] + 1)
        before = above
    return row[-1]
