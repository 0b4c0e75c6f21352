"""Criteria and models without a study: score, conformance, doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pabench.commands.arguments import Plugin
from pabench.errors import SuiteError

app = typer.Typer()


@app.command()
def score(
    model: Annotated[str, typer.Argument(help="A timm model, or one of pabench's own such as resnet20.")],
    criterion: Annotated[list[str] | None, typer.Option("-c", "--criterion", help="grasp, grasp@official, ...")] = None,
    param: Annotated[list[str] | None, typer.Option("--param", help="Of the criterion: steps=10.")] = None,
    sparsity: Annotated[float, typer.Option(help="Removed share of the weights.")] = 0.9,
    data: Annotated[str, typer.Option(help="A dataset; default: the embedded digits, at 32 x 32.")] = "",
    side: Annotated[int, typer.Option("--size", min=0, help="Pixels a side; default: the dataset's own.")] = 0,
    stem: Annotated[str, typer.Option(help="cifar: a stem for small images.")] = "",
    arg: Annotated[list[str] | None, typer.Option("--arg", help="Of the model: patch_size=4.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, images and noise.")] = 0,
    dtype: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Save the masks: masks.safetensors.")] = None,
    time: Annotated[bool, typer.Option("--time", help="Only time it; without -c, every criterion.")] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Scorings of which --time takes the median.")] = 3,
    plugin: Plugin = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Score a model at initialization: densities and zeros of each layer, time, memory."""
    if dtype not in ("float64", "float32"):
        raise SuiteError(f"--dtype {dtype}: expected float64 or float32")
    if not time and len(criterion or ()) != 1:
        raise SuiteError("name one criterion, as in -c grasp; --time times several, or all of them")
    from pabench import registry, trial
    from pabench.environment import pick_device

    for file in plugin or ():
        registry.drop_in(file)
    rules = trial.criteria(criterion or (), param or ())
    subject = trial.Subject.open(
        model, stem=stem, args=arg or (), data=data, side=side, seed=seed, device=pick_device(device)
    )
    if time:
        rows = trial.times(subject, rules, sparsity, repeats)
        typer.echo(json.dumps(rows, indent=2) if as_json else trial.tabled(subject, rows, sparsity, repeats))
        return
    masks, told = trial.score(subject, rules[0], sparsity, dtype)
    typer.echo(json.dumps(told, indent=2) if as_json else trial.described(told))
    if output:
        masks.save(output)


@app.command()
def conformance(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A criterion or a variant: grasp@official.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All criteria, variants, and overlaps of masks.")] = False,
    plugin: Plugin = None,
    reference: Annotated[
        Path | None, typer.Option(help="Results of official code. Default: tests/reference, where it is.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="With --all: tables for the documentation.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="With --markdown: the page to put them in, between its marks.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check that a criterion is what it says: its definition, purity, counts, symmetries, official results."""
    if bool(name) == every:
        raise SuiteError("name one criterion, or give --all; `pabench criteria` lists them")
    if (markdown and not every) or (output and not markdown):
        raise SuiteError("--markdown goes with --all, and -o with --markdown")
    from pabench import examination

    if every:
        code = examination.every(plugin or [], reference, as_json=as_json, as_markdown=markdown, page=output)
        raise typer.Exit(code)
    raise typer.Exit(examination.one(name, plugin or [], reference, as_json=as_json))


@app.command()
def doctor(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A timm model, such as resnet18.")] = "",
    size: Annotated[int, typer.Option(min=1, help="Side of the images in pixels.")] = 32,
    channels: Annotated[int, typer.Option(min=1)] = 3,
    classes: Annotated[int, typer.Option(min=2)] = 10,
    stem: Annotated[str, typer.Option(help="As in a suite: cifar.")] = "",
    zeros: Annotated[str, typer.Option(help="As in a suite: redrawn.")] = "",
    args: Annotated[list[str] | None, typer.Option(help="An argument of timm.create_model: depth=4.")] = None,
    criterion: Annotated[list[str] | None, typer.Option("-c", "--criterion", help="Only these.")] = None,
    dtype: Annotated[str, typer.Option(help="float64, or float32: what scores are computed in.")] = "float64",
    plugin: Plugin = None,
    zoo: Annotated[str, typer.Option(metavar="SUITE", help="All models and criteria of a suite, as a table.")] = "",
    write: Annotated[
        Path | None, typer.Option(help="With --zoo: put the table between the marks in this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say which criteria can score a model, which cannot and why, and the remedy.

    Exit codes: 0 healthy; 3 a criterion is degenerate or doubtful; 5 one is unsupported.
    """
    if bool(model) == bool(zoo):
        raise SuiteError("doctor: expected a model, as in `pabench doctor resnet18`, or --zoo SUITE")
    from pabench.doctor import consult, insert, table

    if zoo:
        made = []
        for line in table(zoo, size, classes):
            typer.echo(line)
            made.append(line)
        if write:
            insert("\n".join(made), write)
        return
    found, text = consult(
        model,
        (channels, size, size),
        classes=classes,
        stem=stem,
        zeros=zeros,
        args=args or [],
        criteria=criterion or [],
        dtype=dtype,
        plugins=plugin or [],
        as_json=as_json,
    )
    typer.echo(text)
    raise typer.Exit(found.exit_code)
