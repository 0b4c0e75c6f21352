"""The description of the tables: by our own rules always, by MLCommons' validator where it is installed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pabench.leaderboard import croissant as module, site
from pabench.leaderboard.boards import boards
from pabench.leaderboard.croissant import CELLS, croissant
from pabench.report.frame import COLUMNS

from .test_boards import grid, published

pytestmark = pytest.mark.usefixtures("quick_reports")
PATTERNS = {
    "sc:Float": re.compile(r"-?\d+(\.\d+)?(e[+-]\d+)?"),
    "sc:Integer": re.compile(r"-?\d+"),
    "sc:Text": re.compile(r"(?!-?\d+\.\d+$).*", re.S),  # a number with digits after the point is no text
}


@pytest.fixture(scope="module")
def files(quick_reports) -> dict[str, bytes]:
    """A site of two studies, whose boards differ in their sparsities and so in their columns."""
    fine = published(grid("random", "snip", "grasp"), "one")
    other = published(grid("random", "magnitude", sparsities=(0.5,)), "two")
    studies = [fine, other]
    about = site.About("Our {boards}", ["Ada"])
    tables = site.of_studies(studies, about)
    return tables | site.pages(studies, boards(studies), about, "2026-11-30", tables=tables)


@pytest.fixture(scope="module")
def described(files):
    return json.loads(files["croissant.json"])


def test_every_table_is_there_with_its_hash_and_size(files, described):
    tables = {path for path in files if path.endswith(".csv")}
    found = {one["contentUrl"]: one for one in described["distribution"]}

    assert len(tables) == 4
    assert set(found) == tables
    for path, one in found.items():
        assert one["sha256"] == hashlib.sha256(files[path]).hexdigest()
        assert one["contentSize"] == f"{len(files[path])} B"
        assert one["encodingFormat"] == "text/csv"


def test_fields_are_the_columns_of_the_files_in_their_order_and_values_are_of_their_types(files, described):
    for records in described["recordSet"]:
        (path,) = {field["source"]["fileObject"]["@id"] for field in records["field"]}
        rows = list(csv.DictReader(io.StringIO(files[path].decode())))
        assert [field["source"]["extract"]["column"] for field in records["field"]] == list(rows[0])
        assert all(field["description"] for field in records["field"])
        for field in records["field"]:
            values = [row[field["name"]] for row in rows if row[field["name"]]]
            assert [value for value in values if not PATTERNS[field["dataType"]].fullmatch(value)] == []
        keys = [row[records["key"]["@id"].rpartition("/")[2]] for row in rows]
        assert len(set(keys)) == len(rows)


def test_identifiers_are_unique_and_those_that_are_named_are_there(described):
    """Rules of JSON-LD and of Croissant 1.0 that need no library."""
    files = [one["@id"] for one in described["distribution"]]
    sets = [one["@id"] for one in described["recordSet"]]
    fields = [field["@id"] for one in described["recordSet"] for field in one["field"]]

    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert described["@type"] == "sc:Dataset"
    assert len({*files, *sets, *fields}) == len(files) + len(sets) + len(fields)
    sources = [field["source"]["fileObject"]["@id"] for one in described["recordSet"] for field in one["field"]]
    assert set(sources) == set(files)
    assert {one["key"]["@id"] for one in described["recordSet"]} <= {*fields}
    prefixes = {"sc", "cr", "dct", "rai"}
    named = {key for part in [described, *described["distribution"], *described["recordSet"]] for key in part}
    plain = {"name", "description", "creator", "license", "datePublished", "version", "keywords", "distribution"}
    plain |= {"contentUrl", "contentSize", "encodingFormat", "sha256"}  # of schema.org, the @vocab
    assert {name for name in named if not name.startswith("@")} - plain <= set(described["@context"])
    assert prefixes <= set(described["@context"])


def test_every_column_that_a_table_of_cells_can_have_is_explained():
    """Of the frame's own columns; `study` is of joined frames alone. All others are of metrics."""
    assert set(CELLS) == COLUMNS - {"study"}


def test_the_version_is_another_where_a_table_is_and_the_same_where_none_is():
    study = published(grid("random", "snip"))
    tables = site.of_studies([study], site.About("Boards"))
    version = partial(croissant, studies=[study], title="Boards", authors=["Ada"], licence="CC-BY-4.0")

    first, again = (version(tables, published=day) for day in ("2026-11-30", "2030-01-01"))
    other = version({**tables, "data/v1/cells/one.csv": b"key\nx\n"}, published="2026-11-30")
    assert first["version"] == again["version"]
    assert first["version"] != other["version"]
    assert first["version"].startswith("1.0.0+")


def test_what_is_not_known_is_left_out_and_citing_breaks_no_bibtex():
    study = replace(published(grid("random")), slug="a}b")
    bare = croissant({}, [study], "Our {boards} \\x", [], "2026-11-30", licence="CC-BY-4.0")
    full = croissant({}, [study], "Boards", ["Ada", "Grace"], "2026-11-30", licence="CC0-1.0")

    assert "url" not in bare
    assert full["license"] == "https://spdx.org/licenses/CC0-1.0"
    assert bare["citeAs"] == (
        "@misc{pabench_site,\n  title = {Our boards x},\n  author = {{Contributors to Our boards x}},\n"
        f"  year = {{2026}},\n  note = {{Studies: ab sha256:{'d' * 64}}},\n}}"
    )
    assert "author = {Ada and Grace}" in full["citeAs"]


@pytest.fixture
def folder(files, tmp_path) -> Path:
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    return tmp_path


def test_the_validator_of_mlcommons_finds_nothing_and_loads_every_row(files, folder):
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=folder / module.NAME)

    assert not dataset.metadata.issues.errors
    assert not dataset.metadata.issues.warnings
    for records in dataset.metadata.record_sets:
        kind, _, name = records.id.partition("/")
        rows = list(csv.DictReader(io.StringIO(files[f"data/v1/{kind}/{name}.csv"].decode())))
        loaded = list(dataset.records(record_set=records.id))
        assert len(loaded) == len(rows)
        column = "top1" if kind == "cells" else "mean_rank"
        found = [row[f"{records.id}/{column}"] for row in loaded]
        assert found == pytest.approx([float(row[column]) for row in rows])
