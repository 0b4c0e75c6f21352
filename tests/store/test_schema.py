"""Documents of a store: what is no cell is said with its place."""

from __future__ import annotations

import pytest

from pabench.leaderboard.verification.folder import read
from pabench.store import schema


def test_images_a_class_that_are_no_count_fall_at_level_one(submission):
    data = read(submission).study["cells"][1]
    data["criterion"]["args"]["examples_per_class"] = "x"

    with pytest.raises(ValueError, match=r"criterion\.args\.examples_per_class: expected a count, not x"):
        schema.cell(data)
