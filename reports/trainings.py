"""Whether the order of the criteria survives another training of their masks."""

from __future__ import annotations

from pabench.report.section import Section
from pabench.report.study import Study
from pabench.report.trainings import agreement


class Trainings(Section):
    """For a study with several trainings; one with a single training has no such section."""

    name = "trainings"
    title = "Trainings"
    order = 15
    seen = "all"

    def render(self, study: Study) -> str | None:
        if len(study.trainings) < 2:
            return None
        found = agreement(study)
        sparsities = sorted({sparsity for taus in found.taus.values() for sparsity in taus})
        said = found.said[0].upper() + found.said[1:]
        return self.fill("trainings.html.j2", said=said, found=found, sparsities=sparsities)
