"""A reviewer's question with the answer that the records give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["met", "missing", "not applicable"]

BLALOCK = "Blalock et al. 2020"
FRANKLE = "Frankle et al. 2021"
BOTH = f"{BLALOCK}; {FRANKLE}"
OWN = "pabench"
"""What neither paper asks, and a reader of a comparison by machine must know."""
SOURCES = {
    BLALOCK: "What is the State of Neural Network Pruning?, arXiv:2003.03033",
    FRANKLE: "Pruning Neural Networks at Initialization: Why are We Missing the Mark?, arXiv:2009.08576",
    OWN: "questions of our own",
}


@dataclass(frozen=True)
class Answer:
    """`text` answers `question` with numbers from the records; `state` says whether that is what is asked for.

    `source` is who asks, in our words: no item of a paper is quoted.
    """

    question: str
    text: str
    state: State
    source: str


def answer(question: str, source: str, text: str, good: bool | None) -> Answer:
    """`good` None: the question does not apply to this study, and `text` says why."""
    return Answer(question, text, {True: "met", False: "missing", None: "not applicable"}[good], source)  # type: ignore[arg-type]
