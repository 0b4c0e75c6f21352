"""A reviewer's checklist, answered from the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pabench.report.section import Section
from pabench.report.study import Study
from pabench.words import plain

from . import conduct, coverage, latex as tex
from .answer import SOURCES, Answer

MARKS = {"met": "✓", "missing": "✗", "not applicable": "○"}


class Checklist(Section):
    """What reviewers of pruning papers ask, with the study's answers, and the same as a LaTeX table."""

    name = "checklist"
    title = "Checklist"
    order = 85
    seen = "first"

    def render(self, study: Study) -> str | None:
        found = answers(study)
        return self.fill(
            "checklist.html.j2",
            answers=sorted(found, key=lambda one: one.state != "missing"),
            counts=Counter(one.state for one in found),
            marks=MARKS,
            sources=SOURCES,
            latex=table(study, found),
            file=plain(study.manifest["name"]),
        )

    def table(self, study: Study) -> str:
        """What `pabench report --checklist` writes."""
        return table(study)


def answers(study: Study) -> list[Answer]:
    """Every question with its answer; of several trainings it is the first that is looked at."""
    study = study.under(study.trainings[0]) if len(study.trainings) > 1 else study
    return [*coverage.answers(study), *conduct.answers(study)]


def table(study: Study, found: Sequence[Answer] = ()) -> str:
    """The checklist for the appendix of a paper: packages booktabs and xcolor."""
    name = plain(study.manifest.get("title") or study.manifest["name"])
    rows = [(one.question, one.text, one.state, one.source) for one in found or answers(study)]
    columns = r"p{.32\linewidth}p{.38\linewidth}lp{.14\linewidth}"
    comment = f"pabench checklist of {name}; needs booktabs and xcolor"
    made = tex.table(columns, ("Question", "Answer", "State", "Asked by"), rows, comment=comment)
    return made.replace(" & missing & ", r" & \textcolor{red}{missing} & ")
