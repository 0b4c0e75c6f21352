"""What `pabench run` prints while a study is carried out."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pabench.cli.display import Stop, display, stoppable
from pabench.cli.terminal import say
from pabench.errors import MissingError, PabenchError
from pabench.events.listeners import listening
from pabench.leaderboard import bank
from pabench.leaderboard.bank import Bank
from pabench.run import tasks
from pabench.run.claims import Runner
from pabench.run.engine import Outcome, Task
from pabench.run.measurements import Survey
from pabench.run.processes import cause
from pabench.run.session import Session
from pabench.store.quality import told
from pabench.store.store import Store
from pabench.store.verdict import Tally, called, tally
from pabench.suite.cell import Cell
from pabench.words import count, one_line

INTERRUPTED, RESUMABLE = 130, 75
"""Exit codes of a run that was stopped: by Ctrl-C; by SIGTERM, which schedulers send before they start it again."""


def carry_out(session: Session, shown: dict[str, Any] | None = None) -> int:
    """Compute what is missing, write the report, say what becomes of it; returns the exit code. What the report shows
    is added to `shown`, as `pabench report --json` has it.

    MissingError: data or plugins are missing and no cell is left. The folder then stays as it is: a study that was
    finished before its data moved away keeps its page.
    """
    if not session.chosen and (gone := [*session.gaps, *session.broken]):
        raise MissingError("\n".join([*gone, "no cell is left to run"]))
    with listening(session.options.log or (), session.store.folder, partial(say, error=True)) as listeners:
        return _carry_out(replace(session, listeners=listeners), {} if shown is None else shown)


def _carry_out(session: Session, shown: dict[str, Any]) -> int:
    banks = bank.open_banks(session.options.banks or ())
    here = session.begin()
    missing = tell_data(session)
    session.read_data()
    if banks:
        _draw(session, banks, here)
    with session.runner() as runner:
        found = session.look()
        say(_to_do(session, found))
        if mixture := _other_threads(session, found):
            say(mixture)
        for other in runner.others:
            say(f"shared with {one_line(other.name)}: what it computes is waited for")
        with stoppable() as stop:
            scored = _check(session, found, here, stop, runner)
            settled = session.settled()
            if settled is not session:  # scores that float32 does not hold: other cells, of which banks may have some
                session.put_away(settled)
                session = settled
                session.begin()
                if banks:
                    _draw(session, banks, here)
                found = session.look()
                scored = _check(session, found, here, stop, runner)
            before = 0
            for plan in session.parts(found):
                if stop.is_set():
                    break
                survey = session.survey(plan)
                todo = [task for task in [*plan.tasks, *survey.tasks] if task.key not in scored]
                _watch(session, todo, plan, survey, here, stop, runner, found, before)
                before += len(plan.open)
    if stop.signal is not None:
        say(f"stopped; resume with: {session.options.command()}")
        return INTERRUPTED if stop.signal == signal.SIGINT else RESUMABLE
    return (_masks(session, found) if session.options.masks_only else _finish(session, found, shown)) or missing


def _check(session: Session, found: tasks.Plan, here: dict[str, Any], stop: Stop, runner: Runner) -> set[str]:
    """Look at each criterion on each network once, before training; the keys of the scorings that this took."""
    first = session.unchecked(found)
    ahead, plan = session.ahead(found, first)
    if ahead:  # what they score is what the check would look at
        _watch(session, ahead, plan, Survey(session.store), here, stop, runner, found)
    for line in session.check_criteria(found, first, into=session.store, stop=stop, claims=runner):
        say(f"check: {line}")
    return {task.key for task in ahead}


def _watch(
    session: Session,
    chosen: Sequence[Task],
    plan: tasks.Plan,
    survey: Survey,
    here: dict[str, Any],
    stop: Stop,
    runner: Runner,
    found: tasks.Plan,
    before: int = 0,
) -> None:
    """Show how these tasks of a plan go until the last has ended, or until the run is stopped. The plan is a part of
    what was `found`, of which the parts before it had so many open cells."""
    titles = {task.key: task.title for task in chosen}

    def elsewhere() -> int:
        return sum(len(other.running) for other in runner.others)

    cells, done = len(found.open) - before, len(found.done) + before
    with closing(display(titles, cells, done, len(found.cells), elsewhere)) as shown:
        for outcome in session.run(chosen, plan, survey, here, shown.event, stop, runner):
            shown.ended(outcome, _line(session.store, plan, outcome))


def _finish(session: Session, plan: tasks.Plan, shown: dict[str, Any]) -> int:
    """Write the report and say what became of all cells; returns the exit code."""
    statuses = Counter(session.store.statuses(c.key for c in session.chosen).values())
    flagged = _flagged(session)
    told = [*(f"{n} {status}" for status, n in sorted(statuses.items())), *([str(flagged)] if flagged else [])]
    say(f"cells: {', '.join(told)}")
    if plan.maskless and (left := session.look().maskless):
        say(_other_masks(plan, left))
    shown |= written(session.store.folder)
    for line in shown["conclusion"]:
        say(line)
    say(f"report: {shown['report']}")
    return 3 if statuses["failed"] or statuses["missing"] else 0


def written(folder: Path) -> dict[str, Any]:
    """The report of a study, written by `pabench report --json`, and what that tells.

    By a process of its own: the memory of the runner does not grow with the cells, and without torch, of which the
    runner has threads, two processes make the page.
    """
    # `server` first: it ends with this process
    program = "import pabench.run.server; from pabench.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "report", "--json", "--", str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        raise _UnwrittenError(done.stderr.strip(), done.returncode, folder)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class _UnwrittenError(PabenchError):
    """The report could not be written: what its process said, and its exit code."""

    def __init__(self, said: str, code: int, folder: Path) -> None:
        ended = f"report: its process ended early, {cause(code)}; all records are kept"
        whole = said if code > 0 else ""
        super().__init__(whole or f"{ended}, and `pabench report {shlex.quote(str(folder))}` writes it")
        self.exit_code = max(code, 1)


def _masks(session: Session, plan: tasks.Plan) -> int:
    """Say what became of all masks, where nothing was trained; returns the exit code."""
    found = tasks.pruned(session.store, plan.cells)
    say(f"masks: {', '.join(f'{n} {status}' for status, n in sorted(found.items()))}")
    return 3 if found["failed"] or found["missing"] else 0


def _flagged(session: Session) -> Tally:
    records = (session.store.get("records", cell.key) for cell in session.chosen)
    return tally([flag["flag"] for flag in record["flags"]] for record in records if record)


def outcome(session: Session, code: int, shown: Mapping[str, Any]) -> dict[str, Any]:
    """What became of a run, for programs: as `pabench status --json` has it, with what its report shows."""
    from pabench.report.status import counts

    return {
        **counts(session.store.folder),
        "folder": str(session.store.folder),
        "report": shown.get("report"),
        "conclusion": shown.get("conclusion", []),
        "left_out": [*session.gaps, *session.broken],
        "resume": session.options.command(),
        "exit_code": code,
    }


def tell_data(session: Session, words: str = "missing data, its cells are left out") -> int:
    """Print what there is to know of data, recipe and plugins, and what of them is missing; returns the exit code."""
    for note in session.notes:
        say(f"data: {note}", error=True)
    for note in session.slow:
        say(f"recipe: {note}", error=True)
    for line in session.changed:
        say(f"plugin, whose cells will fail: {line}; a plugin's import may only define", error=True)
    for gap in session.gaps:
        say(f"{words}: {gap}", error=True)
    for broken in session.broken:
        say(f"broken plugin, its cells are left out: {broken}", error=True)
    return MissingError.exit_code if session.gaps or session.broken else 0


def of_banks(banks: Sequence[Bank], taken: Mapping[str, Bank], cells: Sequence[Cell]) -> Iterator[str]:
    """How many of these cells banks give, and why they give no more."""
    if banks:
        yield bank.told(banks, taken)
        yield from bank.reasons(banks, [cell for cell in cells if cell.key not in taken])


def _draw(session: Session, banks: Sequence[Bank], here: dict[str, Any]) -> None:
    """Take over what banks have of the cells that are still to be done."""
    cells = session.look().open
    torch.set_num_threads(session.threads)
    taken = bank.offered(banks, cells)
    bank.draw(session.store, cells, taken, here, session.pairing)
    for line in of_banks(banks, taken, cells):
        say(f"bank: {line}")


def _to_do(session: Session, plan: tasks.Plan) -> str:
    again = f", {count(len(plan.maskless), 'mask')} to make again" if plan.maskless else ""
    return f"{session.path.stem}: {len(plan.cells)} cells, {len(plan.done)} done, {len(plan.open)} to do{again}"


def _other_threads(session: Session, plan: tasks.Plan) -> str:
    """What is to be known of cells that were trained with another number of threads than those to come; "" where none
    was, or where none is to come."""
    trained = {n: cells for n, cells in sorted(plan.threads.items()) if n != session.threads}
    if not trained or not plan.open or session.device.type != "cpu":
        return ""
    told = " and ".join(f"{count(cells, 'cell')} with {count(n, 'thread')}" for n, cells in trained.items())
    return (
        f"threads: trained so far {told}, from now on with {session.threads}: on a CPU the last digits of a training "
        "depend on it, masks do not; -j changes it"
    )


def _line(store: Store, plan: tasks.Plan, outcome: Outcome) -> str:
    """What to print of an outcome; nothing of a scoring, whose cells tell."""
    if outcome.key not in plan.by_task:
        return ""
    cell = plan.by_task[outcome.key][0]
    if outcome.key != cell.key or outcome.kind == "stopped":
        return ""
    record = store.get("records", cell.key)
    if record is None:
        return f"{cell.title}: no record ({outcome.kind or 'the process ended early'})"
    if record["status"] != "ok":
        return f"{cell.title}: {record['status']} ({record['kind']}): {one_line(record['message'])}"
    flags = "".join(f" [{called(flag['flag'])}]" for flag in record["flags"])
    return f"{cell.title}: {told(record['result'])}{flags}"


def _other_masks(plan: tasks.Plan, left: Sequence[Cell]) -> str:
    return (
        f"masks: {len(left)} of the {len(plan.maskless)} that were made again are not those that the records "
        f"name ({left[0].title} is the first): without them nothing can be submitted; take a bank that has its "
        "masks, or run without --bank into another folder"
    )
