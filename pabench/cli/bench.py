"""`pabench bench`: pabench against the plain loop of public code, on this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pabench.cli import arguments
from pabench.cli.arguments import Device
from pabench.cli.terminal import say
from pabench.errors import SuiteError, did_you_mean
from pabench.words import NOTHING, number, one_line, seconds

if TYPE_CHECKING:
    from pabench.bench.race import Row

UNLIKE = 3
"""Exit code where a proof failed: what is not the same work is not compared."""


def bench(
    only: Annotated[
        str, typer.Option(metavar="NAME,...", help="Works, by comma: snip, training, ... Default: all but study.")
    ] = "",
    network: Annotated[str, typer.Option(metavar="NAME", help="resnet20 or vgg16_cifar. Default: both.")] = "",
    repeats: Annotated[int, typer.Option(min=1, metavar="N", help="Turns that count; one more warms up.")] = 5,
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Of each process.")] = 1,
    device: Device = "cpu",
    data: Annotated[
        str,
        typer.Option(metavar="NAME[=DIR]", help="A dataset in memory, and where it lies. Default: the digits."),
    ] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Small networks, few images: does it work?")] = False,
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="All times and proofs, as JSON.")] = None,
) -> None:
    """Race pabench against a plain loop of public code.

    Equal results first, then time, turn by turn. A ratio of 2 means: twice as fast as the plain loop. On a CPU times
    are CPU seconds, children included; on another device seconds on the wall. Exit code 3: somewhere the two did not
    do the same.
    """
    from pabench.run.engine import limit_threads

    limit_threads(threads)  # before torch is there: its children read it when they start
    from pabench.bench.material import QUICK, Material, Sizes
    from pabench.bench.race import race
    from pabench.bench.works import ASKED_FOR, WORKS
    from pabench.training.environment import environment, pick_device

    names = [name.strip() for name in only.split(",")] if only else [name for name in WORKS if name not in ASKED_FOR]
    for name in names:
        if name not in WORKS:
            raise SuiteError(f"--only {name}: no such work; {did_you_mean(name, WORKS)}")
    where = pick_device(device)
    limit_threads(threads)
    name, path = next(iter(arguments.datasets([data]).items())) if "=" in data else (data, "")
    sizes = QUICK if quick else Sizes()
    known = {spec.name for spec in sizes.networks().values()}
    if network and network not in known:
        raise SuiteError(f"--network {network}: not raced; {did_you_mean(network, known)}")
    material = Material.of(replace(sizes, only=(network,) if network else ()), where, name, path)
    here = environment(where, "")
    say(f"{here['device']}, {threads} thread{'s' if threads > 1 else ''}, torch {here['torch']}, median of {repeats}")
    say("work | with | plain loop | pabench | times faster (least to most) | the same work?")
    rows: list[Row] = []
    for name in names:
        for contest in WORKS[name](material):
            for row in race(contest, where, repeats=repeats):
                say(_line(row))
                rows.append(row)
    if save:
        save.write_text(json.dumps(_to_json(rows, here, repeats, quick), indent=2) + "\n")
    if not all(row.proof.holds for row in rows):
        raise typer.Exit(UNLIKE)


def _line(row: Row) -> str:
    """One row: its times are medians, its ratio the median of the turns' ratios."""
    if not row.proof.holds:
        return f"{row.work} | {row.how} | {NOTHING} | {NOTHING} | {NOTHING} | NO: {one_line(row.proof.told)}"
    ratio = NOTHING
    if row.ratios:
        ratio = f"{number(median(row.ratios))} ({number(row.ratios[0])} to {number(row.ratios[-1])})"
    times = [seconds(median(taken)) if taken else NOTHING for taken in (row.baseline, row.seconds)]
    return " | ".join([row.work, row.how, *times, ratio, row.proof.told or NOTHING])


def _to_json(rows: Sequence[Row], here: dict[str, Any], repeats: int, quick: bool) -> dict[str, Any]:
    return {"environment": here, "repeats": repeats, "quick": quick, "rows": [row.to_json() for row in rows]}
