"""What is said of a site follows from its records, and changes with them."""

from __future__ import annotations

from dataclasses import replace

from pabench.leaderboard.boards import Badge, boards
from pabench.leaderboard.limits import limits
from pabench.leaderboard.verification.sampling import row
from pabench.suite.specs import DatasetSpec

from .. import synthetic
from .test_boards import grid, published


def said(*studies) -> str:
    return " ".join(limits(boards(studies)))


def test_a_site_says_on_what_it_was_found_and_how_networks_were_trained():
    """Synthetic networks have 268,336 prunable weights (16 x 27 + ... + 640), dense ones about 91.7 %."""
    cells = grid("random", "snip")
    total = synthetic.record(cells[1])["receipt"]["total"]

    found = limits(boards([published(cells)]))

    assert found[0] == (
        f"All of this was found on cifar10 with 1 network of {total:,} prunable weights: on other data and other "
        "networks criteria may come in another order."
    )
    assert found[1].startswith(
        "Networks were trained on CPUs alone, for 160 epochs on all training images. Trained this way, "
    )
    assert "get 91." in found[1]
    assert found[2].startswith("Each board has 3 seeds. Criteria that cannot be told apart are not proved to be equal")
    assert found[3] == "Nobody has computed these results again: accuracies are the word of those who ran them."
    assert len(found) == 4


def test_a_part_of_the_images_is_counted():
    """300 of each of 10 classes, which the last layer of the networks tells."""
    part = DatasetSpec("cifar10", {"train_per_class": 300}, fingerprint="f" * 64)

    assert "for 160 epochs on 3,000 images." in said(
        published([replace(cell, dataset=part) for cell in grid("random", "snip")])
    )


def test_jpeg_coded_images_are_told_and_whole_ones_are_not():
    coded = DatasetSpec("parquet", {"title": "cifar10"}, fingerprint="e" * 64, coding="JPEG")
    study = published([replace(cell, dataset=coded) for cell in grid("random", "snip")], "two")

    assert "The images of cifar10 are JPEG-coded here, and the coding leaves out detail" in said(study)
    assert "coded" not in said(published(grid("random", "snip")))


def test_what_ran_on_gpus_is_not_said_to_be_of_cpus():
    environment = {**synthetic.ENVIRONMENT, "device": "cuda: NVIDIA H200"}

    assert "CPU" not in said(published(grid("random", "snip"), environment=environment))


def test_rows_that_were_checked_are_counted():
    cells = grid("random", "snip")
    snip = next(row(cell) for cell in cells if cell.criterion and cell.criterion.name == "snip")

    assert "Of 2 rows on the boards 1 was checked by running a sample again" in said(
        published(cells, badges={snip: Badge(1, "masks re-derived")})
    )
    every = {row(cell): Badge(1, "") for cell in cells if cell.criterion}
    assert "word of those" not in said(published(cells, badges=every))


def test_a_site_without_boards_says_nothing():
    assert limits([]) == []
