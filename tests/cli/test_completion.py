"""The Tab key: names of every kind, through the shell's own function, without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pabench import catalogue
from pabench.cli import completion

BIN = Path(sys.executable).parent


def tab(line: str, *, cwd: Path | None = None) -> list[str]:
    """What bash offers at the end of a line, by the script that `--show-completion` prints."""
    script = (
        'eval "$(_PABENCH_COMPLETE=source_bash pabench)"; '
        f"COMP_WORDS=({line}); COMP_CWORD=$(({len(line.split())} - 1)); "
        "_pabench_completion pabench; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=cwd, env=environment)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1] if done.stdout.strip() else []


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("pabench cri", ["criteria"]),
        ("pabench run qu", ["quickstart"]),
        ("pabench score lenet", ["lenet_300_100", "lenet_5"]),
        ("pabench doctor resnet18 -c gras", ["grasp", "grasp@official", "grasp@synaptic-flow"]),
        ("pabench criteria test phe", ["phew"]),
        ("pabench fetch cifar", ["cifar10", "cifar100"]),
        ("pabench run quickstart --engine in", ["inline"]),
        ("pabench list m", ["models", "metrics"]),
    ],
)
def test_bash_completes_names(line, offered):
    words = tab(line)

    assert [word for word in words if word in offered] == offered
    assert all(word.startswith(line.split()[-1]) for word in words)


def test_bash_completes_suites_and_criteria_of_the_working_directory_and_leaves_other_files_to_itself(tmp_path):
    (tmp_path / "quicker.yaml").touch()
    (tmp_path / "quit;$(exit).yaml").touch()  # some shells would run it
    (tmp_path / "criteria").mkdir()
    (tmp_path / "criteria" / "quaint.py").write_text("class Quaint:\n    name = 'quaint'\nraise SystemExit\n")

    assert tab("pabench run qui", cwd=tmp_path) == ["quickstart", "quicker.yaml"]
    assert tab("pabench run quickstart -c qu", cwd=tmp_path) == ["quaint"]
    assert tab("pabench report cri", cwd=tmp_path) == []  # then bash completes files


def test_every_completion_answers_without_torch(tmp_path):
    """In a fresh interpreter, as a shell asks: no torch, timm, pandas or numpy."""
    code = (
        "import sys; from pabench.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'timm', 'pandas', 'numpy') if m in sys.modules])"
    )
    for line in ("run qui", "score lenet_5 -c sni", "doctor resnet1", "fetch dig"):
        words = ["pabench", *line.split()]
        environment = {
            **os.environ,
            "PABENCH_CACHE": str(tmp_path),
            "_PABENCH_COMPLETE": "complete_bash",
            "COMP_WORDS": "\n".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        program = f"import sys; sys.argv = ['pabench']; {code}"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
        first, *_, last = done.stdout.splitlines()
        assert first.startswith(words[-1])
        assert last == "[]"


def test_networks_of_the_papers_come_first():
    assert completion.models("resnet")[0] == ("resnet20", "pabench")
    assert completion.models("resnet18")[0] == ("resnet18", "timm")


def test_a_name_is_offered_with_what_it_is():
    assert completion.criteria("snip")[0] == ("snip", catalogue.built_in("criteria").known["snip"].about)
    assert dict(completion.suites(""))["cifar"] == "comes with pabench"
    assert completion.datasets("nothing") == []
    assert [name for name, _ in completion.devices("c")] == ["cpu", "cuda"]
