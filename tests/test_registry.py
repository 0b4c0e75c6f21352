"""The one door for plugins."""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys
import traceback

import pytest

from pabench import registry
from pabench.errors import MissingError, PluginError
from pabench.parameters import undeclared

CRITERION = """
from dataclasses import dataclass
from pabench.plugins import ScoreContext, ScoreCriterion, Tensors

@dataclass(frozen=True, kw_only=True)
class Mine(ScoreCriterion):
    name = "{name}"
    power: float = 1.0

    def score(self, ctx: ScoreContext) -> Tensors:
        return {{n: w.abs() ** self.power for n, w in ctx.kept.items()}}
"""


pytestmark = pytest.mark.usefixtures("fresh_registry")


def test_the_built_in_criteria_are_found_file_by_file():
    assert {"grasp", "magnitude", "random", "snip", "synflow"} <= set(registry.group("criteria").classes)
    assert not registry.group("criteria").broken


def test_a_drop_in_file_is_a_criterion_with_validated_parameters(tmp_path):
    (tmp_path / "mine.py").write_text(CRITERION.format(name="mine"))

    registry.drop_in(tmp_path / "mine.py")
    registry.drop_in(tmp_path / "mine.py")

    assert registry.criterion("mine", {"power": 2.0}).power == 2.0


def test_two_criteria_of_one_name_are_refused_with_both_places(tmp_path):
    (tmp_path / "snip.py").write_text(CRITERION.format(name="snip"))

    with pytest.raises(PluginError, match=r"snip.py: 'snip' is already defined by pabench_criteria .*rename one"):
        registry.drop_in(tmp_path / "snip.py")


LIKE_OURS = """
from dataclasses import dataclass

from pabench.plugins import PositiveInt, ScoreCriterion

@dataclass(frozen=True, kw_only=True)
class Mine(ScoreCriterion):
    name = "mine"

    def score(self, ctx):
        return ctx.weights

"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nonsense_that_is_not_there", "ModuleNotFoundError: No module named 'nonsense_that_is_not_there'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("x = 1", "defines no criterion, dataset or metric"),
        (
            f"{LIKE_OURS}    steps = 3\n",
            r"bad.py: Mine.steps changes no parameter, since it has no type: write steps: PositiveInt = 3",
        ),
        (
            f"{LIKE_OURS}    steps = 3\n".replace("@dataclass(frozen=True, kw_only=True)\n", ""),
            r"bad.py: Mine.steps changes no parameter",
        ),
        (
            f"{LIKE_OURS}    alpha: float = 2.0\n".replace("@dataclass(frozen=True, kw_only=True)\n", ""),
            r"bad.py: Mine.alpha is no parameter yet: write @dataclass\(frozen=True, kw_only=True\) above class Mine",
        ),
    ],
)
def test_a_broken_drop_in_is_named_with_its_reason(tmp_path, text, message):
    (tmp_path / "bad.py").write_text(text)

    with pytest.raises(PluginError, match=message):
        registry.drop_in(tmp_path / "bad.py")


@pytest.mark.parametrize("kind", ["criteria", "datasets", "metrics"])
def test_all_that_looks_like_a_parameter_of_ours_is_one(kind):
    assert {name: undeclared(cls) for name, cls in registry.at_hand(kind).classes.items() if undeclared(cls)} == {}


def test_a_plugin_file_ends_in_py(tmp_path):
    (tmp_path / "mine.txt").write_text(LIKE_OURS)

    with pytest.raises(PluginError, match=r"mine.txt: expected a Python file, whose name ends in .py"):
        registry.drop_in(tmp_path / "mine.txt")


def test_a_missing_plugin_file_is_named(tmp_path):
    with pytest.raises(MissingError, match="no such plugin file"):
        registry.drop_in(tmp_path / "absent.py")


def test_files_in_criteria_next_to_a_suite_are_drop_ins(tmp_path):
    (tmp_path / "criteria").mkdir()
    (tmp_path / "criteria" / "mine.py").write_text("")
    (tmp_path / "criteria" / "_private.py").write_text("")

    found = registry.drop_ins(tmp_path / "suite.yaml", ["../other.py"])

    assert [p.name for p in found] == ["mine.py", "other.py"]


def test_a_broken_installed_plugin_leaves_the_others_alone(tmp_path):
    """A real distribution whose package has one good and one broken file, in a process of its own."""
    package = tmp_path / "their_criteria"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "good.py").write_text(CRITERION.format(name="theirs"))
    (package / "bad.py").write_text("1 / 0")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pabench.criteria]\ntheirs = their_criteria\n")
    code = (
        "from pabench import registry; g = registry.group('criteria');"
        "print('theirs' in g.classes, 'snip' in g.classes, [(b.origin, b.reason) for b in g.broken])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}, check=True
    )

    expected = f"True True [('their_criteria.bad', '{package}/bad.py:1: ZeroDivisionError: division by zero')]"
    assert done.stdout.strip() == expected


def test_an_installed_plugin_is_imported_when_a_name_is_asked_for_that_is_not_built_in(tmp_path):
    """In a process of its own, with a real distribution that leaves a trace."""
    (tmp_path / "theirs.py").write_text(f"print('imported')\n{CRITERION.format(name='theirs')}")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pabench.criteria]\nmine = theirs\n")
    code = (
        "from pabench import registry; print(registry.criterion('snip').name, registry.offered('criteria'));"
        "print(registry.criterion('theirs').name)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}, check=True
    )

    assert done.stdout.split("\n") == ["snip ['pabench.criteria:theirs']", "imported", "theirs", ""]


def test_an_import_that_changes_more_than_it_defines_is_an_error_that_names_it(tmp_path, monkeypatch):
    monkeypatch.delenv("A_SWITCH", raising=False)
    text = f"import os\nos.environ['A_SWITCH'] = '1'\n{CRITERION.format(name='mine')}"
    (tmp_path / "mine.py").write_text(text)
    told = r"mine.py: importing it changes the environment variable A_SWITCH; a plugin's import may only define"

    for _ in range(2):  # it is imported once
        with pytest.raises(PluginError, match=told):
            registry.drop_in(tmp_path / "mine.py")
    monkeypatch.delenv("A_SWITCH")


def test_what_is_expected_is_imported_when_it_is_asked_for(tmp_path):
    (tmp_path / "mine.py").write_text(CRITERION.format(name="mine"))
    (tmp_path / "other.py").write_text("1 / 0")

    registry.expect({"criteria": {"mine": str(tmp_path / "mine.py"), "other": str(tmp_path / "other.py")}})

    assert registry.criterion("mine").name == "mine"
    with pytest.raises(PluginError, match=r"other.py:1: ZeroDivisionError"):
        registry.criterion("other")


def test_what_the_libraries_of_a_plugin_change_is_not_its_doing(tmp_path, monkeypatch):
    """As scikit-learn sets variables of OpenMP."""
    (tmp_path / "site-packages").mkdir()
    library = tmp_path / "site-packages" / "a_library.py"
    library.write_text("import os\nos.environ['A_SWITCH'] = '1'\n")
    monkeypatch.syspath_prepend(library.parent)
    monkeypatch.setenv("A_SWITCH", "0")
    monkeypatch.delitem(sys.modules, "a_library", raising=False)
    text = CRITERION.format(name="mine")
    (tmp_path / "mine.py").write_text(f"try:\n    import a_library\nexcept ImportError:\n    pass\n{text}")

    registry.drop_in(tmp_path / "mine.py")

    assert registry.criterion("mine").name == "mine"
    assert "a_library" in sys.modules


RAISING = """
import helper_of_mine

def score(how):
    if how == "library":
        import json
        return [json.loads(text) for text in ["{"]]
    if how == "helper":
        return helper_of_mine.work()
    raise ValueError("here,\\n\\x1b[31mand there")
"""


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("itself", "mine.py:10 in score: ValueError: here, and there"),
        ("library", "mine.py:7 in score: JSONDecodeError: Expecting property name"),
        ("helper", "helper_of_mine.py:3 in work: ZeroDivisionError: division by zero"),
    ],
)
def test_an_error_is_told_with_the_last_line_of_its_authors_code(tmp_path, monkeypatch, how, told):
    """Not with that of the library it called, nor with that of pabench, which called it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(RAISING)
    (tmp_path / "helper_of_mine.py").write_text("\ndef work():\n    return 1 / 0\n")
    monkeypatch.delitem(sys.modules, "helper_of_mine", raising=False)
    spec = importlib.util.spec_from_file_location("pabench_plugin_mine", tmp_path / "mine.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    with pytest.raises(Exception, match=r".") as error:
        module.score(how)

    assert registry.complaint(of_the_plugin(error.value)).startswith(told)


def test_an_error_raised_from_another_is_where_that_one_was_raised():
    """A room of pabench says what broke the contract; the line is that of who broke it."""
    cause = SyntaxError("invalid syntax", ("mine.py", 4, 1, "", None, None))
    error = PluginError("mine: no scores")
    error.__cause__ = cause

    assert registry.complaint(error) == "mine.py:4: PluginError: mine: no scores"


def of_the_plugin(error):
    """Without the frame of this file, which would be the plugin's own, too."""
    return error.with_traceback(error.__traceback__.tb_next)


def test_a_fault_of_a_built_in_criterion_is_no_line_of_the_user(tmp_path):
    with pytest.raises(AttributeError) as error:
        registry.group("criteria").classes["snip"]().score(None)

    (frame, _) = list(traceback.walk_tb(error.value.__traceback__))[-1]
    assert "criteria" in frame.f_code.co_filename
    assert "snip" not in registry.place(error.value)


def test_the_file_of_a_built_in_criterion_is_no_second_one(tmp_path):
    """In a clone that is installed from where it lies, `--plugin criteria/grasp.py` is what is there already."""
    grasp = registry.plugin("criteria", "grasp")

    loaded = registry.load(inspect.getfile(grasp))

    assert loaded == registry.Loaded((grasp,))
    assert registry.plugin("criteria", "grasp") is grasp
