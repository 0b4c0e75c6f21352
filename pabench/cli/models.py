"""Criteria and models without a study: score, conformance, doctor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pabench.cli import arguments, completion
from pabench.cli.arguments import (
    AsJson,
    Criteria,
    Device,
    Dtype,
    DtypeOrAuto,
    Include,
    ModelArg,
    ModelName,
    Param,
    Plugin,
    Stem,
)
from pabench.cli.terminal import say
from pabench.errors import SuiteError
from pabench.store.verdict import called
from pabench.words import NOTHING, percent, seconds, size

ROUNDS_SECONDS = 120.0
"""What `pabench doctor -c` spends on the rounds of a criterion after the first, and again on those with its remedy."""

if TYPE_CHECKING:
    from pabench.run.trial import Trial


def score(
    model: ModelName,
    criterion: Criteria = None,
    param: Param = None,
    sparsity: Annotated[float, typer.Option(metavar="SHARE", help="Removed share of the weights.")] = 0.9,
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME[=DIR]",
            autocompletion=completion.datasets,
            help="A dataset, and where it lies. Default: the digits, at 32 x 32.",
        ),
    ] = "",
    side: Annotated[
        int,
        typer.Option(
            "--size", min=0, metavar="N", show_default=False, help="Pixels a side. Default: the dataset's own."
        ),
    ] = 0,
    stem: Stem = "",
    model_arg: ModelArg = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of weights, images and noise.")] = 0,
    dtype: DtypeOrAuto = "auto",
    include: Include = None,
    device: Device = "auto",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Save the masks: masks.safetensors.")
    ] = None,
    time: Annotated[bool, typer.Option("--time", help="Only time it; without -c, every criterion.")] = False,
    repeats: Annotated[int, typer.Option(min=1, metavar="N", help="Scorings of which --time takes the median.")] = 3,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Score a model at initialization, without a suite.

    Densities and zero scores of each layer, time and memory.
    """
    if not time and len(criterion or ()) != 1:
        raise SuiteError("name one criterion, as in -c grasp; --time times several, or all of them")
    if not 0 <= sparsity < 1:
        raise SuiteError(f"--sparsity {sparsity:g}: not in [0, 1); 0.9 removes 90 % of the weights")
    from pabench.run import trial
    from pabench.suite.specs import ModelSpec
    from pabench.training.environment import pick_device

    arguments.load_plugins(arguments.plugin_files(plugin, criterion))
    rules = trial.criteria(arguments.criteria(criterion, param))
    spec = ModelSpec(model, arguments.model_args(model_arg), stem)
    name, path = next(iter(arguments.datasets([data]).items())) if "=" in data else (data, "")
    where = pick_device(device)
    opened = trial.Trial.open(spec, name, path, side=side, seed=seed, include=include or (), device=where)
    for note in opened.dataset.notes():
        say(f"data: {opened.cell.dataset.label}: {note}", error=True)
    if time:
        rows = trial.times(opened, rules, sparsity, repeats)
        say(json.dumps(rows, indent=2) if as_json else _costs(opened, rows, sparsity, repeats))
    else:
        masks, told = trial.score(opened, rules[0], sparsity, dtype)
        say(json.dumps(told, indent=2) if as_json else _layers(told))
        if output:
            masks.save(output)


def conformance(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", autocompletion=completion.criteria, help="A criterion or a variant: grasp@official."
        ),
    ] = "",
    every: Annotated[bool, typer.Option("--all", help="All criteria, variants, and overlaps of masks.")] = False,
    plugin: Plugin = None,
    reference: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results of official code. Default: tests/reference, where it is."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a criterion is what it says.

    Its definition, purity, counts, symmetries, official results. Exit code 3: a check failed.
    """
    if bool(name) == every:
        raise SuiteError("name one criterion, or give --all; `pabench list criteria` lists them")
    from pabench.cli import conformance as examined

    arguments.load_plugins(arguments.plugin_files(plugin, [name] if name else None))
    one = examined.one(name, reference, as_json=as_json) if name else examined.every(reference, as_json=as_json)
    raise typer.Exit(one)


def doctor(
    model: ModelName,
    side: Annotated[int, typer.Option("--size", min=1, metavar="N", help="Pixels a side.")] = 32,
    channels: Annotated[int, typer.Option(min=1, metavar="N", help="1 for grey images, 3 for colour.")] = 3,
    classes: Annotated[int, typer.Option(min=2, metavar="N", help="Classes of the images.")] = 10,
    stem: Stem = "",
    zeros: Annotated[
        str, typer.Option(metavar="redrawn", help="As in a suite: draw weights anew that start at 0.")
    ] = "",
    model_arg: ModelArg = None,
    criterion: Criteria = None,
    param: Param = None,
    dtype: Dtype = "float64",
    include: Include = None,
    plugin: Plugin = None,
    as_json: AsJson = False,
) -> None:
    """Tell which criteria can score a model, and the remedy.

    Which cannot, and why; without -c, of all criteria.

    Exit codes: 0 healthy; 3 a criterion is degenerate or doubtful; 5 one is unsupported.
    """
    import torch

    from pabench.cli.doctor import describe
    from pabench.diagnostics.checkup import check_up
    from pabench.suite.specs import ModelSpec

    arguments.load_plugins(arguments.plugin_files(plugin, criterion))
    spec = ModelSpec(model, arguments.model_args(model_arg), stem, zeros)
    criteria = arguments.criteria(criterion, param)
    shape, limit = (channels, side, side), ROUNDS_SECONDS if criteria else 0.0
    numbers, kinds = getattr(torch, dtype), include or ()
    found = check_up(spec, shape, criteria, classes=classes, dtype=numbers, include=kinds, seconds=limit)
    say(json.dumps(found.to_json(), indent=2) if as_json else describe(found))
    raise typer.Exit(found.exit_code)


# --- In words ---------------------------------------------------------------------------------------------------------


def _layers(told: dict[str, Any]) -> str:
    """A scoring in lines: a table of layers, then totals, cost and flags."""
    receipt = told["receipt"]
    layers = receipt["layers"]
    width = max(len(layer["name"]) for layer in layers)
    lines = [f"{'layer':<{width}}  {'shape':>18}  {'kept':>10}  {'density':>8}  {'zero scores':>11}"]
    for layer in layers:
        shape = "x".join(map(str, layer["shape"]))
        density = f"{100 * layer['kept'] / layer['total']:.2f} %"
        lines.append(
            f"{layer['name']:<{width}}  {shape:>18}  {layer['kept']:>10,}  {density:>8}  {layer['zero_scores']:>11,}"
        )
    images = "x".join(map(str, told["shape"]))
    on = f"{told['model']['name']}, {told['dataset']} at {images}, {receipt['dtype']}, seed {told['seed']}"
    asked = percent(receipt["requested_sparsity"])
    lines += [
        f"{receipt['criterion']} on {on}",
        f"kept {receipt['kept']:,} of {receipt['total']:,} weights, sparsity {asked}",
        f"{receipt['zero_scores']:,} scores exactly 0, {receipt['non_finite_scores']:,} not finite",
        f"{receipt['tied_at_threshold']:,} weights tied at the threshold, {receipt['kept_of_tied']:,} of them kept",
        f"scored in {seconds(told['seconds'])}, peak memory {size(told['peak_bytes'] or None)}",
    ]
    lines += [f"{called(flag['flag'])}: {flag['detail']}" for flag in told["flags"]]
    return "\n".join(lines)


def _costs(trial: Trial, rows: Sequence[dict[str, Any]], sparsity: float, repeats: int) -> str:
    """`trial.times` as a table in Markdown."""
    from torch import get_num_threads

    images = "x".join(map(str, trial.shape))
    on = f"{trial.cell.model.label}, {trial.cell.dataset.label} at {images}"
    where = f"{trial.device}, {get_num_threads()} threads"
    lines = [
        f"{on}, sparsity {percent(sparsity)}, median of {repeats}, {where}",
        "",
        "| criterion | float64 | float32 | peak memory, float64 |",
        "|---|---:|---:|---:|",
    ]
    for double, single in zip(rows[::2], rows[1::2], strict=True):
        cells = [seconds(row["seconds"]) for row in (double, single)]
        lines.append(f"| {double['criterion']} | {' | '.join(cells)} | {size(double['peak_bytes'] or None)} |")
    lines += [f"\n{NOTHING} {row['criterion']}: {row['why']}" for row in rows[::2] if row["why"]]
    return "\n".join(lines)
