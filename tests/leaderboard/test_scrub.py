"""Texts lose what tells of a machine, and nothing else."""

from __future__ import annotations

import pytest

from pabench.leaderboard import scrub


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("--plugin /home/ada/mine.py", "--plugin mine.py"),
        ("no such file: 'C:\\Users\\ada\\x.png'", "no such file: 'x.png'"),
        ("see:/home/ada/x", "see:x"),
        ("~ada/results/x", "x"),
        ("https://arxiv.org/abs/1810.02340", "https://arxiv.org/abs/1810.02340"),
        ("$PABENCH_DATA/cifar10", "$PABENCH_DATA/cifar10"),
        ("cifar10 / resnet20 / snip 0.9, 1/2, and/or", "cifar10 / resnet20 / snip 0.9, 1/2, and/or"),
    ],
)
def test_texts_lose_absolute_paths_and_nothing_else(said, left):
    assert scrub.text(said) == left
