"""Arguments and options that several commands share, and how their texts are read."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from pabench import catalogue, registry
from pabench.cli import completion
from pabench.errors import SuiteError
from pabench.source import real


def _dtype(name: str) -> str:
    if name not in ("float64", "float32"):
        raise SuiteError(f"--dtype {name}: expected float64 or float32")
    return name


def _dtype_or_auto(name: str) -> str:
    if name not in ("auto", "float64", "float32"):
        raise SuiteError(f"--dtype {name}: expected auto, float64 or float32")
    return name


def _criterion(what: str) -> Any:
    return typer.Option("-c", "--criterion", metavar="NAME", autocompletion=completion.criteria, help=what)


SuiteName = Annotated[
    str,
    typer.Argument(
        metavar="SUITE",
        autocompletion=completion.suites,
        help="A suite file, or the name of one that comes with pabench (pabench list suites).",
    ),
]
# `readable=False`: typer takes four lines to say that a folder cannot be read, and the store one, with the remedy
Folder = Annotated[Path, typer.Argument(metavar="DIR", readable=False, help="A results folder.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key: recipe.epochs=2, datasets.0.path=/data."),
]
Seeds = Annotated[
    int | None, typer.Option("--seeds", min=1, metavar="N", help="Seeds 0 to N - 1, whatever the suite says.")
]
Plugin = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="A Python file with criteria, datasets or metrics."),
]
Criteria = Annotated[list[str] | None, _criterion("grasp, grasp@official, '{name: snip, steps: 3}'; may be repeated.")]
CriteriaOfSuite = Annotated[
    list[str] | None, _criterion("In place of the suite's criteria; may be repeated: -c random -c snip.")
]
Param = Annotated[
    list[str] | None, typer.Option("--param", metavar="KEY=VALUE", help="A parameter of each -c: steps=10.")
]
ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        autocompletion=completion.models,
        help="A network: resnet20, or one of timm's such as resnet18 (pabench list models).",
    ),
]
Stem = Annotated[str, typer.Option(metavar="NAME", help="As in a suite: cifar, for small images.")]
ModelArg = Annotated[
    list[str] | None,
    typer.Option("--model-arg", metavar="KEY=VALUE", help="An argument of the network: patch_size=4."),
]
Dtype = Annotated[
    str, typer.Option(metavar="TYPE", help="What scores are computed in: float64 or float32.", callback=_dtype)
]
DtypeOrAuto = Annotated[
    str,
    typer.Option(
        "--dtype", metavar="TYPE", help="auto (each criterion's own), float64 or float32.", callback=_dtype_or_auto
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(metavar="KIND", help="Prunable besides, as in a suite: attention, recurrent; may be repeated."),
]
Device = Annotated[
    str, typer.Option(metavar="DEVICE", autocompletion=completion.devices, help="auto, cpu, cuda, cuda:1, mps.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: one JSON document on stdout.")]


def assigned(option: str, given: Iterable[str], example: str, *, form: str = "KEY=VALUE") -> dict[str, str]:
    """What an option that may be repeated assigns to each key.

    >>> assigned("--data", ["cifar10=/data/a=b"], "cifar10=/data")
    {'cifar10': '/data/a=b'}
    """
    found = {}
    for assignment in given:
        key, _, text = assignment.partition("=")
        if not key.strip() or not text.strip():
            raise SuiteError(f"{option} {assignment}: expected {form}, as in {option} {example}")
        found[key.strip()] = text.strip()
    return found


def datasets(given: Iterable[str] | None) -> dict[str, str]:
    """Where datasets lie, by `--data NAME=PATH`."""
    return assigned("--data", given or (), "cifar10=/data/cifar10", form="NAME=PATH")


def settings(option: str, given: Iterable[str] | None, example: str) -> dict[str, Any]:
    """What an option assigns, with values as a suite would have them: `steps=10` is a number."""
    return {key: _value(f"{option} {key}", text) for key, text in assigned(option, given or (), example).items()}


def model_args(given: Iterable[str] | None) -> dict[str, Any]:
    """Arguments of a model by `--model-arg`."""
    return settings("--model-arg", given, "patch_size=4")


def criteria(given: Iterable[str] | None, params: Iterable[str] | None) -> list[tuple[str, dict[str, Any]]]:
    """Names and parameters of criteria by `-c`, a name or an entry of a suite, and `--param`, which is of each."""
    common = settings("--param", params, "steps=10")
    found = []
    for text in given or ():
        value = _value(f"-c {text}", text)
        entry = {"name": value} if isinstance(value, str) else value
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise SuiteError(f"-c {text}: expected a name, or a mapping as in a suite")
        found.append((entry.pop("name"), {**entry, **common}))
    if common and not found:
        raise SuiteError("--param: name its criterion, as in -c snip --param steps=10")
    return found


def overrides(given: Iterable[str] | None, chosen: Iterable[str] | None = None, seeds: int | None = None) -> list[str]:
    """What `-c` and `--seeds` change of a suite, as assignments of `--set`, and those of `--set` after them.

    >>> overrides(["recipe.epochs=2"], ["snip", "{name: synflow, steps: 9}"], 5)
    ['criteria=[snip, {name: synflow, steps: 9}]', 'seeds=5', 'recipe.epochs=2']
    """
    criteria(chosen, None)  # each is one criterion
    named = [f"criteria=[{', '.join(chosen)}]"] if chosen else []
    return [*named, *([f"seeds={seeds}"] if seeds else []), *(given or ())]


def plugin_files(
    given: Iterable[Path] | None, chosen: Iterable[str] | None, beside: Collection[Path] = ()
) -> list[Path]:
    """The files of `--plugin`, and those in `criteria/` of the working directory that define a criterion of `-c`.

    `beside`: files that are found anyway.
    """
    files = list(given or ())
    known = {real(path) for path in (*files, *beside)}
    here = catalogue.here() if chosen else {}
    for name, _ in criteria(chosen, None):
        path = here.get(name.partition("@")[0])
        if path and real(path) not in known:
            known.add(real(path))
            files.append(Path(registry.named(str(path))))
    return files


def load_plugins(paths: Iterable[Path] | None) -> None:
    """Have what the files of `--plugin` define, and other distributions: where there are any, the whole command runs in
    a process apart, and this one ends with its exit code."""
    files = list(paths or ())
    if not files and not registry.offered("criteria"):
        return
    from pabench.cli import apart
    from pabench.run.apart import inside

    if not inside():
        raise typer.Exit(apart.again(files))
    for path in files:
        registry.drop_in(path)


def _value(where: str, text: str) -> Any:
    from pabench.suite.yaml import Tree, read

    tree = Tree(file=where)
    read(text, tree)
    tree.raise_findings()
    return tree.value
