"""Which studies a page is made of, what each of them is, and where they speak of the same cell."""

from __future__ import annotations

from dataclasses import dataclass

from pabench.report.frame import criteria_of
from pabench.report.join import Joint
from pabench.report.section import Section
from pabench.report.study import Study
from pabench.store.record import SOFTWARE
from pabench.words import environment_text, plain, tallied

from .twice import twice

ENVIRONMENT = (*SOFTWARE, "device")


@dataclass(frozen=True)
class Line:
    """One study: its cells and results, how many of its rows are on the page, and how it was run."""

    label: str
    criteria: str
    seeds: str
    cells: int
    ok: int
    rows: int
    broken: int
    environments: tuple[str, ...]
    command: str


class Studies(Section):
    """For a page of several studies; a page of one has no such section."""

    name = "studies"
    title = "Studies"
    order = 26
    seen = "all"

    def render(self, study: Study) -> str | None:
        if not isinstance(study, Joint):
            return None
        both = list(twice(study))
        different = [one for one in both if not one.same]
        return self.fill(
            "studies.html.j2",
            lines=[_line(part, study) for part in study.parts],
            shared=len(both) - len(different),
            different=different,
            renamed=study.renamed,
            unmeasured=study.unmeasured,
            left_out=study.left_out,
            drift=len({text for part in study.parts for text in environments(part)}) > 1,
        )


def _line(part: Study, joint: Joint) -> Line:
    manifest, frame = part.manifest, part.frame
    return Line(
        label=part.label,
        criteria=", ".join(criteria_of(frame)),
        seeds=", ".join(map(str, sorted(frame["seed"].unique()))),
        cells=len(frame),
        ok=int((frame["status"] == "ok").sum()),
        rows=int((joint.frame["study"] == part.label).sum()),
        broken=part.broken,
        environments=environments(part),
        command=plain(manifest.get("command", "")),
    )


def environments(part: Study) -> tuple[str, ...]:
    """Versions and hardware of a study's records, with the number of cells where they are mixed."""
    return tuple(tallied(environment_text(ENVIRONMENT, one) for one in part.environments))
