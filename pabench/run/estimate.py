"""What the open cells of a plan will cost: trainings, scorings and measurements counted, and how long they take.

Tasks are taken in the order and side by side as an engine takes them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from pabench import registry
from pabench.run.clock import Clock, resumes, trainings_before
from pabench.run.engine import Schedule, Task
from pabench.run.measurements import Survey
from pabench.run.tasks import Plan
from pabench.scoring.gradients import by_criterion
from pabench.suite.cell import Cell

AROUND = 4
"""A whole run takes so many times what the runner took until its suite was open: it starts itself, then its workers'
server, and in the end writes a page, which takes about as long as both (`docs/performance.md`)."""
EACH = 0.05
"""Seconds of starting and ending a process of a task."""


@dataclass(frozen=True)
class Workload:
    """`cells` are trained, `dense` baselines are trained once more for reference lines that look at trained weights or
    prune in training, and for each cell that goes on from them.

    `measurements` of the `metrics` that only a suite asks for (dear ones) come on top, and the cheap ones of all cells.
    """

    plan: Plan
    survey: Survey
    cells: tuple[Cell, ...]
    dense: tuple[Cell, ...]
    scorings: int
    measurements: int
    metrics: tuple[str, ...]

    @classmethod
    def of(cls, plan: Plan, survey: Survey) -> Workload:
        """The work of a plan and of the survey that was made for it."""
        tasks = [task.key for task in plan.tasks if task.kind == "prune"]
        groups = [cells for key in tasks for cells in by_criterion(plan.by_task[key])]
        before = chain.from_iterable([cells[0]] * trainings_before(cells) for cells in groups)
        classes = registry.at_hand("metrics").classes  # what others measure takes a time that nobody knows
        wanted = [spec.name for _, spec in chain.from_iterable(survey.wanted.values())]
        dear = [name for name in wanted if getattr(classes.get(name), "cost", "dear") == "dear"]
        return cls(
            plan=plan,
            survey=survey,
            cells=tuple(plan.open),
            dense=tuple(cell.dense() for cell in [*before, *filter(resumes, plan.open)]),
            scorings=sum(cells[0].ablation != "shuffle" for cells in groups),
            measurements=len(dear),
            metrics=tuple(sorted(set(dear))),
        )

    @property
    def trainings(self) -> tuple[Cell, ...]:
        return self.cells + self.dense

    def seconds(self, clock: Clock, workers: int) -> float:
        """Until all of it is done, `workers` at a time; starting and the page come on top."""
        took = clock.of(self.plan, self.survey)
        return together([*self.plan.tasks, *self.survey.tasks], lambda task: EACH + took(task), workers)


def together(tasks: Sequence[Task], seconds: Callable[[Task], float], workers: int) -> float:
    """Seconds until all tasks have ended, in the order in which an engine with so many workers takes them."""
    schedule, now = Schedule(tasks), 0.0
    running: list[tuple[float, str]] = []
    while True:
        while len(running) < workers and (task := schedule.next()):
            heapq.heappush(running, (now + seconds(task), task.key))
        if not running:
            return now
        now, key = heapq.heappop(running)
        schedule.ended(key)
