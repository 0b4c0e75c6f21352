"""The wheel: what is in it, and that it runs without the clone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of what git tracks, in the installed environment: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, files.stdout.decode().split("\0")):
        if not name.startswith("tests/") and (ROOT / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(folder), str(source)]
    subprocess.run(build, check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_no_generic_top_level_name(wheel):
    """`criteria`, `suites` or `reports` in site-packages would clash with anybody's."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    roots = {name.split("/")[0] for name in names}
    assert roots == {"pabench", "pabench_criteria", "pabench_reports", "pabench_suites", "pabench-0.1.0.dist-info"}


@pytest.mark.slow
def test_the_wheel_holds_every_module_template_suite_and_the_digits(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    for folder, package, pattern in [
        ("pabench", "pabench", "**/*.py"),
        ("criteria", "pabench_criteria", "*.py"),
        ("criteria", "pabench_criteria", "*.bib"),
        ("reports", "pabench_reports", "*.py"),
        ("reports/templates", "pabench_reports/templates", "**/*.*"),
        ("reports", "pabench_reports", "*.csv"),
        ("suites", "pabench_suites", "**/*.yaml"),
        ("pabench/data", "pabench/data", "*.npz"),
        ("pabench/data", "pabench/data", "*.md"),
        ("pabench/statistics", "pabench/statistics", "*.csv"),
    ]:
        expected = {f"{package}/{p.relative_to(ROOT / folder).as_posix()}" for p in (ROOT / folder).glob(pattern)}
        assert expected
        assert expected <= names
    assert any(name.endswith("LICENSE") for name in names)


@pytest.mark.slow
def test_the_wheel_runs_away_from_the_clone(wheel, tmp_path):
    """Unpacked into an empty folder: entry points, suites by name, templates and digits are found there."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PABENCH_CACHE": str(tmp_path / "cache")}
    options = ["--set", "recipe.epochs=1", "--set", "seeds=1", "--set", "models=[lenet_300_100]", "--device", "cpu"]
    code = "import pabench; print(pabench.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert where.stdout.startswith(str(tmp_path))

    done = subprocess.run(
        [sys.executable, "-m", "pabench", "run", "quickstart", *options],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "quickstart" / "report.html").exists()


# --- What the package says of itself ----------------------------------------------------------------------------------


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_citation_and_the_changelog_have_the_version_of_the_package():
    cited, own = YAML(typ="safe").load(ROOT / "CITATION.cff"), project()

    assert (cited["version"], cited["license"]) == (own["version"], own["license"])
    assert [a["name"] for a in cited["authors"]] == [a["name"] for a in own["authors"]]
    assert re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)[0] == own["version"]
    oldest = own["requires-python"].removeprefix(">=")
    versions = [
        c.rpartition(" ")[2] for c in own["classifiers"] if c.startswith("Programming Language :: Python :: 3.")
    ]
    assert versions[0] == oldest


def test_all_has_the_extra_of_each_event_hook_and_that_of_the_hub():
    extras = project()["optional-dependencies"]

    (everything,) = extras["all"]
    named = set(everything.removeprefix("pabench[").removesuffix("]").split(","))
    assert {*project()["entry-points"]["pabench.events"], "hub"} <= named <= set(extras)


def test_before_a_commit_the_same_is_checked_as_by_tox():
    hooks = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    tox = ConfigParser()
    tox.read(ROOT / "tox.ini")

    entries = [re.sub(r"^env \S+ | --force-exclude$", "", hook["entry"]) for hook in hooks]
    checked = tox["testenv:lint"]["commands"].strip().replace(" --check", "").split("\n")
    assert checked == entries
