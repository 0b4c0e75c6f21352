"""Files of another shape than this pabench writes are named with their folder, and errors of other kinds go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pabench.errors import DataError, RefusedError
from pabench.report.shape import as_study


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (KeyError("cells"), "KeyError: 'cells'"),
        (TypeError("'int' object is not iterable"), "TypeError: 'int' object"),
        (ValueError("\x1b[31mred" + "x" * 1000), "ValueError: redxxx"),
        (AttributeError("no attribute"), "AttributeError: no attribute"),
    ],
)
def test_what_is_missing_or_of_another_type_names_the_folder(raised, told):
    with pytest.raises(DataError) as found, as_study(Path("many")):
        raise raised

    line = str(found.value)
    assert line.startswith(f"many/study.json: cannot be read as a study ({told}")
    assert line.endswith("was another version of pabench used?")
    assert len(line) < 300


def test_errors_that_say_what_is_wrong_are_left_alone():
    with pytest.raises(RefusedError, match="named twice"), as_study(Path("many")):
        raise RefusedError("named twice")
