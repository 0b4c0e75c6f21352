"""Claims as `pabench claims --json` told them, judged again from the values in the file: no state is believed.

Sentences, sources and tests are those of the claims that come with pabench; of the file are the values alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from pabench.errors import DataError
from pabench.leaderboard.claims import NO_DATA, NO_GPU, UNDEFINED, Judged, by_values, load, shipped
from pabench.leaderboard.statements import NOT_RUN
from pabench.statistics.outcomes import COLLAPSED, DECLINED, FAILED, FINISHED, MISSING, TRAINED
from pabench.store import files
from pabench.store.envelope import MAX_BYTES, parse
from pabench.store.schema import Count, Finite, Fraction, Part
from pabench.words import one_line

WAITING = (NOT_RUN, NO_DATA, NO_GPU)
"""States that rest on no value."""
OUTCOMES = {TRAINED, COLLAPSED, FAILED, DECLINED, MISSING, UNDEFINED}
MOST = 1_000
"""Claims of a file, tests of a claim: nobody writes so many."""

Column = Field(max_length=100_000)
Name = Annotated[str, Field(max_length=1_000)]
Texts = Annotated[list[Name], Column]


class Values(Part):
    """The values of a test, a column each (`claims.gathered`)."""

    dataset: Texts
    model: Texts
    block: Texts
    seed: Annotated[list[Count], Column]
    sparsity: Annotated[list[Fraction], Column]
    of: Texts
    value: Annotated[list[Finite | None], Column]
    outcome: Texts

    @model_validator(mode="after")
    def _a_table(self) -> Values:
        if len({len(getattr(self, name)) for name in Values.model_fields}) > 1:
            raise ValueError("columns of one length")
        if unknown := set(self.outcome) - OUTCOMES:
            raise ValueError(f"outcomes of cells, not {min(unknown)[:80]!r}")
        if any(v is None and o in FINISHED for v, o in zip(self.value, self.outcome, strict=True)):
            raise ValueError("a value of each cell that is finished")
        rows = list(zip(self.block, self.sparsity, self.of, strict=True))
        if len(set(rows)) < len(rows):
            raise ValueError("one value of each block, sparsity and side")
        return self

    @property
    def rows(self) -> pd.DataFrame:
        table = pd.DataFrame({name: getattr(self, name) for name in Values.model_fields})
        return table.astype({"value": float, "sparsity": float})


class Tested(Part):
    values: Values


class Told(Part):
    """A claim as the file tells it."""

    name: Name
    claim: Name
    state: Annotated[str, Field(max_length=100)]
    ran: Name = ""
    tests: Annotated[list[Tested], Field(max_length=MOST)]


_FILE: TypeAdapter[list[Told]] = TypeAdapter(Annotated[list[Told], Field(max_length=MOST)])


def rejudged(path: Path) -> tuple[list[Judged], list[str]]:
    """The claims of a file as its values judge them, and a note on each whose state it tells otherwise.

    DataError: it is no such file, or tells of claims that this version does not have.
    """
    found, notes = list[Judged](), list[str]()
    for one in _read(path):
        if any(known.claim.name == one.name for known in found):
            raise DataError(f"{path}: {one.name} stands there twice")
        made = _judged(path, one)
        if made.state != one.state:
            notes.append(
                f"{path}: {one.name} is said to be {one_line(one.state, 40)}, by its values it is {made.state}: "
                "the site says the latter"
            )
        found.append(made)
    return found, notes


def _read(path: Path) -> list[Told]:
    try:
        return _FILE.validate_python(parse(files.read(path, limit=MAX_BYTES)))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected what `pabench claims --json` wrote") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where, why = ".".join(map(str, first["loc"])), one_line(first["msg"].removeprefix("Value error, "), 200)
        raise DataError(f"{path}: {where}: expected what `pabench claims --json` wrote: {why}") from None
    except DataError as error:
        raise DataError(f"{path}: {error}; expected what `pabench claims --json` wrote") from None


def _judged(path: Path, one: Told) -> Judged:
    known = shipped()
    where = f"{path}: {one_line(one.name, 80)}"
    if one.name not in known:
        raise DataError(f"{where}: no claim that comes with pabench, and only these can be judged again; leave it out")
    claim = load(known[one.name])
    if one.claim != claim.claim or len(one.tests) not in (0, len(claim.tests)):
        raise DataError(f"{where}: another claim than this version's; write the file again: `pabench claims --json`")
    ran = one_line(one.ran, 300)
    if not one.tests:
        if one.state not in WAITING:
            raise DataError(f"{where}: {one_line(one.state, 40)}, and no value that says so; run the claim again")
        return _waiting(Judged(claim, NOT_RUN, ran=ran), one.state)
    found = by_values(claim, [test.values.rows for test in one.tests], ran)
    return _waiting(found, one.state)


def _waiting(found: Judged, told: str) -> Judged:
    """What a claim of which nothing is known waits for is all that the file is believed."""
    waits = found.state == NOT_RUN and (told == NO_DATA or (told == NO_GPU and found.claim.needs == "gpu"))
    return replace(found, state=told) if waits else found
