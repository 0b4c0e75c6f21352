"""A submission of which a site keeps all but its masks: what of it can be checked where they are not.

Its list still has the hashes of the masks, and so its digest is that of the whole submission.
"""

from __future__ import annotations

from collections.abc import Iterable

from pabench.leaderboard.verification.folder import SUBMISSION, Flaw, Foreign
from pabench.store.schema import Submission, problems
from pabench.suite.digest import digest


def whole(foreign: Foreign) -> str:
    """The digest of the submission with its masks; "" for one that lists none, or has some, or has no valid list."""
    stated = foreign.documents.get(SUBMISSION, {})
    if foreign.masks or problems(Submission, stated) or not any(path.startswith("masks/") for path in stated["files"]):
        return ""
    found = digest({path: entry["sha256"] for path, entry in stated["files"].items()})
    return found if found == stated["digest"] else ""


def besides(flaws: Iterable[Flaw]) -> list[Flaw]:
    """The flaws that have more behind them than the lack of mask files."""
    return [
        flaw
        for flaw in flaws
        if (flaw.file, flaw.field) != (SUBMISSION, "digest")
        and not flaw.file.startswith("masks/")
        and flaw.expected != "a mask file"
    ]
