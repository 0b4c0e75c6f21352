"""What the stages of a cell share: an error as a part of a record."""

from __future__ import annotations

import pytest

from pabench.errors import DataError, DivergedError, MissingError
from pabench.training.stage import failure, without_weights


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "oom"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "oom"),
        (DivergedError("epoch 3"), "diverged"),
        (DataError("broken"), "data"),
        (MissingError("not there"), "data"),
        (OSError("disk"), "io"),
        (ZeroDivisionError("division by zero"), "plugin-error"),
        (KeyboardInterrupt(), "plugin-error"),
    ],
)
def test_the_kind_of_an_error_says_whose_it_is(error, kind):
    found = failure(error)

    assert (found["status"], found["kind"], found["result"]) == ("failed", kind, None)
    assert found["message"].startswith(type(error).__name__)


def test_an_endless_error_is_cut():
    assert len(failure(ValueError("x" * 10**6))["message"]) < 600


def test_another_network_shares_all_but_its_weights():
    assert without_weights({"weights": "a", "order": "b"}) == {"order": "b"}
