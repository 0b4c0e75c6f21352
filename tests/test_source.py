"""What identifies a plugin's code: the same on every Python, deaf to layout, and awake to an edited helper."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pabench import registry
from pabench.scoring.control import Control
from pabench.source import bytes_digest, code_digest, declared, file_digest, libraries, source_digest, source_files

CODE = b'''"""What it is."""
from pabench.plugins import ScoreCriterion
import math

class Steep(ScoreCriterion):
    """Keeps the largest."""

    name = "steep"  # as in the paper
    factor: float = 0.5
    """Times this."""

    def score(self, ctx, *, among=None):
        return {n: f"{w:.{2}f} \xc3\xa9" + b"\\x00".hex() for n, w in {**ctx.kept, "x": 1 << 70}.items() if w != -1e-3}
'''


def test_the_hash_of_code_is_the_same_on_every_python():
    """Published keys hold it: 843 files of the standard library gave equal hashes on Python 3.10, 3.11, 3.12, 3.13."""
    assert code_digest(CODE) == "0e2e6df574aaebaec56c84a1fba14fca598820967635b79f23f5eb55ec7cffa1"
    assert code_digest(b"") == "1c6d2a27d7faa8e5d6b4fb29b27d541a7809505c94c8d37b6ac042d2232ecc23"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"""What it is."""', b'"""Something else.\n\nAt length."""'),
        (b'    """Keeps the largest."""\n', b""),
        (b'    """Times this."""\n', b'    """Thrice."""\n'),
        (b"  # as in the paper", b""),
        (b"from pabench.plugins import ScoreCriterion", b"from pabench.criterion import ScoreCriterion, ScoreContext"),
        (b"import math", b"import math, pabench.plugins"),
        (b"def score(self, ctx, *, among=None):", b"def score(\n        self, ctx, *, among=None\n    ):"),
        (b'"steep"', b"'steep'"),
        (b"    factor", b'    precision = "float32"\n    factor'),
        (b"    factor", b'    precision: str = "float64"\n    factor'),
        (b"    factor", b"    second_order = True\n    factor"),
        (b"    factor", b"    first_order = True\n    factor"),
    ],
)
def test_words_layout_and_imports_of_pabench_do_not_count(old, new):
    assert old in CODE
    assert code_digest(CODE.replace(old, new)) == code_digest(CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"0.5", b"0.25"),
        (b"import math", b"import numpy"),
        (b"*, among=None", b"among=None"),
        (b"-1e-3", b"1e-3"),
        (b'**ctx.kept, "x": 1 << 70', b'"x": 1 << 70, **ctx.kept'),
        (b"{w:.{2}f}", b"{w:.{3}f}"),
        (b'"steep"', b'b"steep"'),
        (b"1 << 70", b"True << 70"),
        (b"import math", b'import math\nprecision = "float32"'),
        (b"    factor", b'    precision = "float16"\n    factor'),
        (b"    factor", b"    second_order = 2\n    factor"),
        (b"    factor", b'    precisions = "float32"\n    factor'),
    ],
)
def test_every_other_edit_is_another_criterion(old, new):
    assert old in CODE
    assert code_digest(CODE.replace(old, new)) != code_digest(CODE)


@pytest.mark.parametrize("data", [b"def (", b"\x00", b"x = " + b"-" * 5000 + b"1", b"x = 1" + b" + 1" * 20_000])
def test_a_file_that_cannot_be_read_as_python_counts_by_its_bytes(data):
    """Verification reads the files of strangers: one may be nested beyond all measure."""
    assert code_digest(data) == bytes_digest(data) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "loading",
    [
        "from ._helper import f",
        "from . import _helper",
        "import _helper",
        "import importlib\nimportlib.import_module('_helper')",
        "__import__('importlib.util').util.spec_from_file_location('h', __file__[:-7] + '_helper.py')",
    ],
)
def test_an_edited_helper_is_another_criterion(tmp_path, loading):
    """However the file loads its neighbour: nothing is imported to find out."""
    (tmp_path / "mine.py").write_text(f"if False:\n    {loading.replace(chr(10), chr(10) + '    ')}\nclass Mine: ...\n")
    digests = []
    for body in ("def f(x): return x\n", "def f(x): return -x\n"):
        (tmp_path / "_helper.py").write_text(f"from ._deeper import g\n{body}")
        (tmp_path / "_deeper.py").write_text("g = 1\n")
        cls = loaded(tmp_path / "mine.py", f"mine_{len(digests)}")
        assert [path.name for path in source_files(cls)] == ["mine.py", "_helper.py", "_deeper.py"]
        digests.append(source_digest(cls))
    assert digests[0] != digests[1]


def test_a_neighbour_that_is_not_imported_does_not_count(tmp_path):
    (tmp_path / "mine.py").write_text(f"import math\nclass Mine:\n    text = '{'x' * 5000}.py'\n")
    (tmp_path / "math.py").write_text("another = 'math'\n")
    (tmp_path / "other.py").write_text("x = 1\n")

    assert source_files(loaded(tmp_path / "mine.py", "alone")) == ((tmp_path / "mine.py").resolve(),)


@pytest.mark.parametrize(
    ("package", "imports", "own"),
    [
        ("", "import near", ["mine.py"]),
        ("pkg", "from pkg import near", ["mine.py", "__init__.py", "near.py"]),
        ("pkg", "from . import near", ["mine.py", "__init__.py", "near.py"]),
    ],
)
def test_of_installed_files_only_the_package_is_ones_own(tmp_path, package, imports, own):
    """Beside an installed package lies all of torch."""
    installed = tmp_path / "site-packages"
    folder = installed / package
    folder.mkdir(parents=True)
    if package:
        (folder / "__init__.py").touch()
    (installed / "torch.py").write_text("x = 1\n")
    (folder / "near.py").write_text("y = 1\n")
    (folder / "mine.py").write_text(f"if False:\n    import torch\n    {imports}\nclass Mine: ...\n")

    cls = loaded(folder / "mine.py", f"installed_{len(package)}_{len(imports)}")
    assert [path.name for path in source_files(cls)] == own


@pytest.mark.parametrize(("kind", "name"), [("metrics", "synflow_r"), ("metrics", "ntk"), ("criteria", "px")])
def test_a_built_in_plugin_is_its_own_file(kind, name):
    """What it imports of pabench is pabench's version, which records name, and no part of its source."""
    assert [path.name for path in source_files(registry.plugin(kind, name))] == [f"{name}.py"]


def test_files_that_import_each_other_are_read_once(tmp_path):
    (tmp_path / "mine.py").write_text("if False:\n    import other\nclass Mine: ...\n")
    (tmp_path / "other.py").write_text("import mine\n")

    assert [path.name for path in source_files(loaded(tmp_path / "mine.py", "circle"))] == ["mine.py", "other.py"]


def test_a_criterion_that_extends_another_changes_with_it():
    """Both hashes of a subclass are of both files; those of a class of one file are that file's own."""
    snip, iter_snip = (type(registry.criterion(name)) for name in ("snip", "iter_snip"))
    files = [path.read_bytes() for path in source_files(iter_snip)]

    assert source_digest(snip) == code_digest(files[1])
    assert file_digest(snip) == hashlib.sha256(files[1]).hexdigest()
    assert source_digest(iter_snip) == bytes_digest("".join(map(code_digest, files)).encode())
    assert file_digest(iter_snip) == bytes_digest("".join(map(bytes_digest, files)).encode())


def test_a_class_that_is_in_no_file_has_no_hash():
    code = "from pabench.source import source_digest\nclass Typed: ...\nprint(repr(source_digest(Typed)))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "''\n"


def loaded(path: Path, name: str) -> type:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.Mine


def test_what_is_read_from_the_files_of_built_in_criteria_is_what_their_classes_say():
    classes: dict[str, Any] = registry.group("criteria").classes
    known = {n: c for n, c in classes.items() if c.__module__.startswith("pabench_criteria.")}

    assert set(declared()) == set(known)
    for name, cls in known.items():
        found = declared()[name]
        assert (found.trains, found.reference_line) == (cls.trains, cls.reference_line), name
        assert found.variants == cls.variants, name
        assert found.control == issubclass(cls, Control), name
        assert (found.source, found.sha256) == (source_digest(cls), file_digest(cls)), name


def test_libraries_are_what_a_file_and_its_own_files_import_at_once_from_elsewhere(tmp_path):
    (tmp_path / "helper.py").write_text("import json\nfrom . import nothing\n")
    (tmp_path / "mine.py").write_text(
        "import torch.nn as nn, helper\nfrom pabench.plugins import Round\n"
        "try:\n    import sklearn\nexcept ImportError:\n    from scipy import stats\n"
        "def later():\n    import pandas\n"
    )

    assert libraries(tmp_path / "mine.py") == ["torch.nn", "pabench.plugins", "sklearn", "scipy", "json"]
