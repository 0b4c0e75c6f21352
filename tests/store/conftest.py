"""A store with a study in it, and records to put there."""

from __future__ import annotations

from pathlib import Path

import pytest

from pabench.store.store import Store

MANIFEST = {"schema": 1, "name": "tiny", "suite": "a: 1\n", "cells": [{"seed": 0}], "created": "monday"}


def key_of(n: int) -> str:
    return f"{n:064x}"


def record(n: int = 0, **fields) -> dict:
    return {"key": key_of(n), "status": "ok", "result": {"top1": 91.5}, **fields}


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "results")
    store.open_study(MANIFEST)
    return store


def file_of(store: Store, n: int = 0) -> Path:
    return store.folder / "records" / f"{key_of(n)}.json"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
