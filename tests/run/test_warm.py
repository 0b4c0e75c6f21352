"""What the server of worker processes has done before any child is forked from it."""

from __future__ import annotations

import subprocess
import sys


def test_entry_points_are_read_and_nothing_of_them_is_imported():
    """Nor the compiler and timm, which a study of our own networks needs nowhere."""
    code = (
        "import sys, pabench.run.warm; from pabench import registry;"
        "print(registry.installed.cache_info().currsize, registry.group.cache_info().currsize,"
        "'pabench.training.train' in sys.modules,"
        "[name for name in ('timm', 'torch._dynamo', 'sympy', 'pabench_criteria') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "1 0 True []"
