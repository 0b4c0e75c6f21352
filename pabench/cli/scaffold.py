"""What `pabench criteria new` writes: a criterion that works, its test, and a package that installs it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pabench import catalogue
from pabench.errors import RefusedError, SuiteError

CRITERION = '''"""{title}: say what it keeps, and cite where it comes from."""

from dataclasses import dataclass
from typing import Literal

from pabench.plugins import PositiveInt, ScoreContext, ScoreCriterion, Tensors


@dataclass(frozen=True, kw_only=True)
class {title}(ScoreCriterion):
    """Score |dL/dw|: replace by your own. The highest scores are kept."""

    name = "{name}"
    paper = ""
    version = 1  # raise it with every change that can change a mask
    bn: Literal["train", "eval"] = "train"
    examples_per_class: PositiveInt = 10  # for a data-free criterion: Literal[0] = 0

    def score(self, ctx: ScoreContext) -> Tensors:
        g = ctx.gradient(ctx.kept)
        return {{n: t.abs() for n, t in g.items()}}
'''
TEST = '''"""{title}: scores by hand, and the checks that built-in criteria pass."""

{imports}


def test_scores_are_the_sizes_of_gradients():
    """Of what the file begins with: work out a few scores of your own."""
    module = torch.nn.Linear(2, 2, bias=False)
    module.weight.data = torch.tensor([[2.0, -1.0], [0.0, 0.0]])

    scores = pabench.score(module, "{name}", batch=(torch.tensor([[1.0, 3.0]]), torch.tensor([0])))["weight"]

    # logits (-1, 0), so p = (0.2689, 0.7311); the gradients are (p - y) x, of size 0.7311 and 3 * 0.7311
    assert scores.flatten().tolist() == pytest.approx([0.7311, 2.1932, 0.7311, 2.1932], abs=1e-4)


def test_it_passes_the_checks_that_built_in_criteria_pass():
    assert examine("{name}").failed == []
'''
OWN_IMPORTS = """from pathlib import Path

import pabench
import pytest
import torch
from pabench import registry
from pabench.diagnostics.conformance import examine

registry.drop_in(Path(__file__).parents[1] / "{file}")"""
CLONE_IMPORTS = """import pytest
import torch

import pabench
from pabench.diagnostics.conformance import examine"""
PROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "pabench-{dashed}"
version = "0.1.0"
description = "{title}, a pruning criterion for pabench"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["pabench", "torch"]

[project.optional-dependencies]
dev = ["pytest>=8"]

{entry}

[tool.setuptools]
packages = ["pabench_{stem}"]
package-dir = {{ pabench_{stem} = "criteria" }}
"""
ENTRY = """[project.entry-points."pabench.criteria"]
{stem} = "{package}.{stem}\""""
README = """# pabench-{dashed}

{title}, a pruning criterion for pabench: say here what it keeps and why.

```sh
# the checks that built-in criteria pass
pabench criteria test {name}
# a study of it, with a report
pabench run quickstart -c random -c {name}
# its own test
pip install pytest && pytest
# from now on every folder knows it, not this one alone
pip install -e .
```

| file | what it is |
|---|---|
| `criteria/{stem}.py` | the criterion: a dataclass with a `name` and a `score` |
| `tests/test_{stem}.py` | scores by hand, and pabench's own checks |
| `pyproject.toml` | the package that `pip` installs; its entry point, group `pabench.criteria`, names the module |
"""


@dataclass(frozen=True)
class _Names:
    """The name in suites, of the file and of the class."""

    name: str

    @property
    def stem(self) -> str:
        stem = "".join(c if c.isalnum() else "_" for c in self.name)
        return stem if stem.isidentifier() else f"my_{stem}"

    @property
    def title(self) -> str:
        return "".join(part[:1].upper() + part[1:] for part in self.stem.split("_")) or "Mine"

    def fill(self, text: str, **more: str) -> str:
        dashed = self.stem.strip("_").replace("_", "-")
        return text.format(name=self.name, stem=self.stem, title=self.title, dashed=dashed, **more)


def begin(name: str, folder: Path | None = None) -> list[str]:
    """Write a criterion to start from, and tell what was written, what was there already, and what comes next.

    In `criteria/` with all that makes it a package; in a clone of pabench with its test alone, for there it is built
    in; in `folder` by itself. SuiteError: `name` is none, or taken. RefusedError: its file is there, or this is a clone
    of a pabench that is installed elsewhere, where nothing would find it.
    """
    from pabench.suite.cell import NAME

    if not NAME.fullmatch(name):
        raise SuiteError(f"{name!r} is no name; expected a letter or digit, then up to 63 of letters, digits, ._+-")
    names, path = _Names(name), (folder or Path("criteria")) / f"{_Names(name).stem}.py"
    if path.exists():
        raise RefusedError(f"{path}: exists already")
    taken = {**dict.fromkeys(catalogue.built_in("criteria").known, Path("pabench")), **catalogue.here()}
    if name in taken:
        raise SuiteError(f"{name!r} is taken by {taken[name]}")
    built_in = Path(str(files("pabench_criteria"))).resolve()
    clone = path.parent.resolve() == built_in
    if not folder and not clone and _project().get("project", {}).get("name") == "pabench":
        raise RefusedError(
            f"this is a clone of pabench, and the pabench that runs is in {built_in.parent}: begin in a folder of your "
            f"own (mkdir ../{names.stem} && cd ../{names.stem}), or have it run from here (pip install -e .)"
        )
    lines = [_write(path, names.fill(CRITERION), "the criterion: edit score()")]
    if folder:
        return [*lines, f"next: pabench criteria test {name} --plugin {path}"]
    return [*lines, *(_in_clone(names) if clone else _as_package(names, path))]


def _in_clone(names: _Names) -> Iterator[str]:
    text = names.fill(TEST, imports=CLONE_IMPORTS)
    yield _write(Path("tests") / "criteria" / f"test_{names.stem}.py", text, "its test: edit the numbers")
    yield "this is a clone of pabench: the criterion is built in, and needs no entry point"
    yield f"next: pabench criteria test {names.name}; for a pull request: python docs/make.py"


def _as_package(names: _Names, path: Path) -> Iterator[str]:
    text = names.fill(TEST, imports=names.fill(OWN_IMPORTS, file=path.as_posix()))
    yield _write(Path("tests") / f"test_{names.stem}.py", text, "its test: edit the numbers")
    package = f"pabench_{names.stem}"
    project = names.fill(PROJECT, entry=names.fill(ENTRY, package=package))
    installs = "installs it: pip install -e . makes it known in every folder"
    if Path("pyproject.toml").exists():
        yield "pyproject.toml: is there already and stays as it is; to install the criterion with your package, add"
        yield names.fill(ENTRY, package=_package_of("criteria") or "YOUR_PACKAGE")
    else:
        yield _write(Path("pyproject.toml"), project, installs)
    yield _write(Path("README.md"), names.fill(README), "how to use it")
    if (path.parent / "__init__.py").exists():
        yield f"{path.parent} is a package, in which pabench does not look: name the file, as in"
        yield f"next: pabench criteria test {names.name} --plugin {path}"
    else:
        yield (
            f"next: pabench criteria test {names.name}; pabench run quickstart -c random -c {names.name}; "
            "its test: pip install pytest && pytest"
        )


def _package_of(folder: str) -> str:
    """The package that pyproject.toml makes of a folder, "" where it says none: another criterion was begun here."""
    with suppress(KeyError, AttributeError):
        folders = _project()["tool"]["setuptools"]["package-dir"]
        return next((package for package, where in folders.items() if where == folder), "")
    return ""


def _project() -> dict[str, Any]:
    """What `pyproject.toml` of this folder says; nothing where there is none that can be read."""
    with suppress(OSError, ValueError):
        return tomllib.loads(Path("pyproject.toml").read_text())
    return {}


def _write(path: Path, text: str, what: str) -> str:
    """A new file; one that is there stays as it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return f"{path}: is there already and stays as it is"
    return f"{path}: {what}"
