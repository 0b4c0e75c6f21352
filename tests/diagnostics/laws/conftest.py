"""A criterion as the subject of a law."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pabench import registry
from pabench.diagnostics.subject import Subject
from pabench.scoring.criterion import Criterion


@pytest.fixture
def subject() -> Callable[[str | Criterion], Subject]:
    """By its name, or an instance."""

    def of(criterion: str | Criterion) -> Subject:
        if isinstance(criterion, str):
            return Subject(criterion, registry.criterion(criterion))
        return Subject(criterion.name, criterion)

    return of
