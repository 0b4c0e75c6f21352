"""What is read from files is what importing them gives; and nothing is imported."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from importlib.metadata import version

import pytest
import timm

from pabench import catalogue, registry
from pabench.networks import zoo


@pytest.mark.parametrize("kind", catalogue.SHELVES)
def test_the_shelf_of_a_kind_is_what_the_registry_imports(kind):
    classes = registry.at_hand(kind).classes
    shelf = catalogue.built_in(kind)

    assert shelf.broken == {}
    assert list(shelf.known) == sorted(classes)
    for name, one in shelf.known.items():
        cls = classes[name]
        told = cls if kind == "datasets" else inspect.getmodule(cls)
        assert one.about == inspect.getdoc(told).partition("\n")[0].rstrip(".")
        assert one.paper == getattr(cls, "paper", "")
        assert one.variants == tuple(f"{name}@{variant}" for variant in getattr(cls, "variants", ()))
        assert one.cost == getattr(cls, "cost", "")


def test_models_are_those_of_the_papers_and_those_that_timm_lists():
    found = catalogue.models()

    assert {name for name, source in found.items() if source == "pabench"} == set(zoo.NAMES)
    # others may have registered theirs meanwhile
    of_timm = [n for n in timm.list_models() if timm.models.model_entrypoint(n).__module__.startswith("timm.")]
    assert {name for name, source in found.items() if source == "timm"} == set(of_timm)


def test_names_of_timm_are_read_once_per_version(tmp_path, monkeypatch):
    monkeypatch.setenv("PABENCH_CACHE", str(tmp_path / "cache"))
    catalogue.models.cache_clear()
    kept = tmp_path / "cache" / f"timm-{version('timm')}.txt"

    assert "resnet18" in catalogue.models()
    assert "resnet18" in kept.read_text().split()
    assert list(kept.parent.iterdir()) == [kept]

    kept.write_text("of_another_day")
    catalogue.models.cache_clear()
    assert catalogue.models()["of_another_day"] == "timm"
    catalogue.models.cache_clear()


def test_a_cache_that_cannot_be_written_costs_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PABENCH_CACHE", str(tmp_path / "file"))
    catalogue.models.cache_clear()

    assert catalogue.models()["resnet18"] == "timm"
    catalogue.models.cache_clear()


def test_the_cache_lies_where_it_is_told_to(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PABENCH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert catalogue.cache_folder() == tmp_path / ".cache" / "pabench"

    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert str(catalogue.cache_folder()) == "/xdg/pabench"

    monkeypatch.setenv("PABENCH_CACHE", "$HOME/own")
    assert catalogue.cache_folder() == tmp_path / "own"


def test_criteria_of_the_working_directory_are_read_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "criteria").mkdir()
    (tmp_path / "criteria" / "mine.py").write_text(
        "raise SystemExit\nclass A:\n    name: str = 'mine'\nclass B(A):\n    name = 'other'\nclass C:\n    x = 1\n"
    )
    (tmp_path / "criteria" / "broken.py").write_text("class A(B): name = 'a'\nclass B(A): name = 'b'\n")
    (tmp_path / "criteria" / "no.py").write_text("def (")

    assert {name: path.name for name, path in catalogue.here().items()} == {"mine": "mine.py", "other": "mine.py"}
    assert catalogue.kind_of("other") == "criterion"


def test_nothing_heavy_is_imported():
    code = (
        "import sys; from pabench import catalogue; catalogue.models(); catalogue.suites(); catalogue.here();"
        "[catalogue.built_in(kind) for kind in catalogue.SHELVES];"
        "print([m for m in ('torch', 'timm', 'numpy', 'pandas', 'pydantic', 'pabench_criteria') if m in sys.modules])"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "['pabench_criteria']\n"  # the package's own file, which is empty


def test_doctests_hold():
    assert doctest.testmod(catalogue) == (0, 1)
