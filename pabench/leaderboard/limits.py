"""What a reader must not take from a site: sentences that its records say, so that they are true of any site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from pabench.leaderboard.boards import Comparable
from pabench.words import count, number, plain, span

NAMED = 3
"""Datasets that a sentence names; of more it tells the number."""


def limits(boards: Sequence[Comparable]) -> list[str]:
    """Sentences in plain words, the most important first."""
    if not boards:
        return []
    return [*_scope(boards), *_trained(boards), *_coded(boards), *_seeds(boards), *_checked(boards)]


def _scope(boards: Sequence[Comparable]) -> Iterator[str]:
    """On what all of this was found."""
    datasets = list(dict.fromkeys(plain(one.cell.dataset.label) for one in boards))
    networks = list(dict.fromkeys(plain(one.cell.model.label) for one in boards))
    # a reference line may train another network in place of the pruned one
    weights = pd.concat([one.frame.loc[one.frame["reference_line"] == "", "weights_total"] for one in boards]).dropna()
    of_weights = f" of {span(map(int, weights))} prunable weights" if len(weights) else ""
    on = " and ".join(datasets) if len(datasets) < NAMED else count(len(datasets), "dataset")
    yield (
        f"All of this was found on {on} with {count(len(networks), 'network')}{of_weights}: on other data and other "
        "networks criteria may come in another order."
    )


def _trained(boards: Sequence[Comparable]) -> Iterator[str]:
    """For how long, on how many images, on what, and what unpruned networks reach so."""
    epochs = span(one.cell.recipe.epochs for one in boards)
    images = [_images(one) for one in boards]
    numbers = [n for n in images if isinstance(n, int)]
    on = [f"{span(numbers)} images"] if numbers else []
    on += sorted({text for text in images if isinstance(text, str)})
    devices = {str(device).partition(":")[0] for one in boards for device in one.frame["device"] if device}
    where = " on CPUs alone" if devices == {"cpu"} else ""
    reached = [number(one.dense.mean, 1) for one in boards if one.dense]
    least, most = min(reached, key=float, default=""), max(reached, key=float, default="")
    share = least if least == most else f"{least} to {most}"
    dense = f" Trained this way, unpruned networks get {share} % of the test images right." if reached else ""
    yield f"Networks were trained{where}, for {_plural(epochs, 'epoch')} on {' or '.join(on)}.{dense}"


def _images(board: Comparable) -> int | str:
    """How many images networks were trained on; in words where its records do not tell the number."""
    per_class = board.cell.dataset.args.get("train_per_class")
    if type(per_class) is not int or not per_class:
        return "all training images"
    told = (told.tested for study in board.members for told in study.study.told.values())
    tested = next(filter(None, told), None)
    return per_class * tested.classes if tested and tested.classes else "a part of the training images"


def _plural(number: str, noun: str) -> str:
    return f"{number} {noun}" if number == "1" else f"{number} {noun}s"


def _coded(boards: Sequence[Comparable]) -> Iterator[str]:
    """Where images are not those that a title is known for."""
    found = {plain(one.cell.dataset.title): plain(one.cell.dataset.remark) for one in boards}
    for title, remark in found.items():
        if remark:
            yield (
                f"The images of {title} are {remark} here, and the coding leaves out detail: accuracies are not those "
                f"on the original {title}."
            )


def _seeds(boards: Sequence[Comparable]) -> Iterator[str]:
    """What a test that finds nothing says."""
    seeds = _plural(span(one.board.blocks for one in boards), "seed")
    yield (
        f"Each board has {seeds}. Criteria that cannot be told apart are not proved to be equal: the tests found no "
        "difference at 5 %, and one that is small against the spread of the seeds would not be found."
    )


def _checked(boards: Sequence[Comparable]) -> Iterator[str]:
    """Whose word results are."""
    badges = [badge for one in boards for badge in one.badges.values()]
    checked = sum(badge.level > 0 for badge in badges)
    if not checked:
        yield "Nobody has computed these results again: accuracies are the word of those who ran them."
    elif checked < len(badges):
        yield (
            f"Of {count(len(badges), 'row')} on the boards {checked} {'was' if checked == 1 else 'were'} checked by "
            "running a sample again; of the others accuracies are the word of those who ran them."
        )
