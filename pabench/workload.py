"""What a plan's open cells are going to cost, counted: trainings, scorings, measurements."""

from __future__ import annotations

from dataclasses import dataclass

from pabench import registry
from pabench.ablation import IN_BATCH
from pabench.cell import Cell
from pabench.execution import Plan
from pabench.survey import Survey


@dataclass(frozen=True)
class Workload:
    """`cells` are trained, `dense` baselines are trained once more for reference lines that look at trained weights.

    `measurements` of the `metrics` that only a suite asks for (dear ones) come on top, and the cheap ones of all cells.
    """

    cells: tuple[Cell, ...]
    dense: tuple[Cell, ...]
    scorings: int
    measurements: int
    metrics: tuple[str, ...]

    @classmethod
    def of(cls, plan: Plan, survey: Survey) -> Workload:
        """The work of a plan and of the survey that was made for it."""
        prunings = [plan.by_task[task.key][0] for task in plan.tasks if task.kind == "prune"]
        classes = registry.group("metrics").classes
        wanted = [spec.name for lacking in survey.wanted.values() for _, spec in lacking]
        dear = [name for name in wanted if getattr(classes.get(name), "cost", "dear") == "dear"]
        return cls(
            cells=tuple(plan.open),
            dense=tuple(cell.dense() for cell in prunings if _trains(cell)),
            scorings=sum(cell.ablation != "shuffle" for cell in prunings),
            measurements=len(dear),
            metrics=tuple(dict.fromkeys(sorted(dear))),
        )

    @property
    def trainings(self) -> tuple[Cell, ...]:
        return self.cells + self.dense


def _trains(cell: Cell) -> bool:
    """Whether making the masks takes a dense training: once for all sparsities, and not for a mask that is shuffled or
    an ablation of images that are not looked at."""
    if cell.criterion is None or not cell.criterion.trains or cell.ablation == "shuffle":
        return False
    return not (cell.ablation in IN_BATCH and not cell.criterion.args.get("examples_per_class"))
