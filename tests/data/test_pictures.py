"""Tests of pabench.data.pictures; what both kinds of files have in common is tested with theirs."""

from __future__ import annotations

from pathlib import Path

from pabench.data.folder import Folder

from .conftest import png
from .test_folder import fill


def test_pictures_that_are_there_twice_where_they_should_not_be_are_told(tmp_path: Path):
    """Copies, which no name or link tells: of training pictures in test, and of one in another class."""
    folder = tmp_path / "f"
    fill(folder / "train/dog", png(10), png(11))
    fill(folder / "train/cat", png(20), png(11), png(20))
    fill(folder / "val/cat", png(30))
    fill(folder / "val/dog", png(40), png(10), png(20))
    notes = Folder(path=str(folder)).notes()

    assert (
        f"2 of 4 test pictures also in training, pixel for pixel ({folder}/val/dog/1.png): their accuracy is that of "
        "training images"
    ) in notes
    for part, file in (("train", "train/dog/1.png"), ("test", "val/dog/2.png")):
        told = f"{part}: 1 picture also in another class, pixel for pixel ({folder}/{file}): one of the labels is wrong"
        assert told in notes
