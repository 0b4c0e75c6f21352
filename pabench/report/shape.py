"""Studies whose files have another shape than this pabench writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pabench.errors import DataError
from pabench.words import plain


@contextmanager
def as_study(folder: Path) -> Iterator[None]:
    """Inside, what is missing or of another type in a study's files is a DataError that names its folder."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = plain(f"{type(error).__name__}: {error}")[:160]
        raise DataError(
            f"{folder / 'study.json'}: cannot be read as a study ({reason}); was another version of pabench used?"
        ) from None
