"""`pabench run --dry-run`: the grid, what is done, what banks offer, and how long the rest will take."""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from datetime import timedelta

import torch
from rich.console import Console

from pabench import bank
from pabench.estimate import training_seconds
from pabench.session import Session
from pabench.store import Store
from pabench.wording import count
from pabench.workload import Workload


def preview(session: Session) -> int:
    """Print the grid, what is done and how long the rest will take; returns the exit code."""
    torch.set_num_threads(session.threads)
    console, offered = Console(), bank.offered(session.banks, session.plan().open)
    plan = session.plan(offered)
    axes = {
        "datasets": Counter(c.dataset.label for c in session.chosen),
        "models": Counter(c.model.label for c in session.chosen),
        "criteria": Counter(c.criterion.label if c.criterion else "dense" for c in session.chosen),
        "sparsities": Counter(f"{c.sparsity:g}" for c in session.chosen),
        "seeds": Counter(str(c.seed) for c in session.chosen),
    }
    if any(c.ablation for c in session.chosen):
        axes["ablations"] = Counter(c.ablation or "none" for c in session.chosen)
    for axis, found in axes.items():
        listed = ", ".join(f"{name} ({n})" for name, n in found.items())
        console.print(f"{axis:>11}: {listed}", markup=False, highlight=False)
    done = Counter(plan.done.values())
    finished = ", ".join(f"{n} {status}" for status, n in done.items()) or "none"
    work = Workload.of(plan, session.survey(plan))
    banked = f"; from banks: {len(offered)}" if session.banks else ""
    console.print(
        f"{'cells':>11}: {len(session.chosen)}; done: {finished}{banked}; to do: {len(plan.open)}", highlight=False
    )
    session.tell_banks(console, offered, plan.open, f"{'bank':>11}: ")
    console.print(f"{'scorings':>11}: {work.scorings}", highlight=False)
    if work.measurements:
        named = f"{work.measurements} of {', '.join(work.metrics)}, whose time is in no estimate"
        console.print(f"{'measured':>11}: {named}", markup=False, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        session.check_criteria(plan, console, into=Store(folder), stop=threading.Event(), title=f"{'check':>11}: ")
    seconds = training_seconds(session.store, work.trainings, session.device, session.workers)
    how = f"{session.workers} at once on {session.device}, {session.threads} threads each"
    left = timedelta(seconds=round(seconds))
    again = f"; {count(len(work.dense), 'dense training')} for reference lines included" if work.dense else ""
    console.print(f"{'estimate':>11}: {left} of training, scoring not included ({how}{again})", highlight=False)
    console.print(f"{'folder':>11}: {session.store.folder}", markup=False, highlight=False)
    return session.tell_missing()
