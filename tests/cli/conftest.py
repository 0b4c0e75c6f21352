"""What the tests of commands share: a small suite, and the folder in which it has been run."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ..run.conftest import hourly as hourly
from .test_main import pabench

SUITE = """
protocol: pai-v1
title: Tiny
datasets: [{name: digits, train_per_class: 10, test_per_class: 5}]
models: [lenet_300_100]
criteria: [random]
sparsities: [0, 0.9]
seeds: 1
recipe: {epochs: 1, batch_size: 32, augment: none}
"""


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Folder and what was said. Nothing may write into `out`."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(SUITE)
    done = pabench("run", folder / "tiny.yaml", "--device", "cpu", "-j", "1", "-o", folder / "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture
def forbid(monkeypatch):
    """`forbid(path)`: nobody may read or write there. The superuser, who may run the tests, always may."""

    def forbid(path):
        def guarded(real):
            def call(where=".", *args, **kwargs):
                if isinstance(where, (str, os.PathLike)) and Path(where).absolute().is_relative_to(path):
                    raise PermissionError(errno.EACCES, "Permission denied", str(where))
                return real(where, *args, **kwargs)

            return call

        for name in ("open", "listdir", "scandir"):
            monkeypatch.setattr(os, name, guarded(getattr(os, name)))

    return forbid
