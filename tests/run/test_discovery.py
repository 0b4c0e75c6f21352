"""Plugins of others, the hostile ones too: whatever one does costs its own cells and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from pabench.cli.running import carry_out
from pabench.errors import SuiteError
from pabench.run import discovery
from pabench.run.engine import Outcome
from pabench.run.session import Options, Session
from pabench.store.store import VOLATILE, Store

from .test_processes import is_running

pytestmark = pytest.mark.timeout(900)  # the run of all of them is half a minute of computing
SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 10, test_per_class: 10}]
models: [lenet_300_100]
criteria: [random, snip, %s]
sparsities: [0.9]
seeds: 1
recipe: {epochs: 1, batch_size: 32, lr: 0.05, augment: none}
"""
PLUGIN = """from dataclasses import dataclass
import os, signal, sys, threading, time
import numpy, torch
from pabench.plugins import ScoreCriterion
%s

@dataclass(frozen=True, kw_only=True)
class Mine(ScoreCriterion):
    name = "%s"

    def score(self, ctx):
        %s
        return {n: w.abs() for n, w in ctx.kept.items()}
"""
BROKEN = {
    "exits": ("os._exit(0)", "importing it ended its process (exited with code 0)"),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "importing it ended its process (killed by signal 9 (SIGKILL))"),
    "raises": ("raise ValueError('\\x1b[31mred\\ud800\\x00')", "line 5: ValueError: red?"),
    "leaves": ("sys.exit(0)", "line 5: SystemExit: 0"),
    "interrupts": ("raise KeyboardInterrupt", "line 5: KeyboardInterrupt:"),
    "unfinished": ("def score(", "line 5: SyntaxError: "),
}
"""What the import does, and what is told of it: the cells are left out."""
CHANGED = {
    "dtype": ("torch.set_default_dtype(torch.float64)", "the default dtype"),
    "topk": ("torch.topk = lambda *args, **kwargs: None", "torch.topk"),
    "accuracy": ("import pabench.training.train as T; T.evaluate = print", "pabench.training.train.evaluate"),
    "threads": ("torch.set_num_threads(7)", "the number of threads"),
    "seeds": ("torch.manual_seed(0); numpy.random.seed(0)", "torch's random state, numpy's random state"),
    "moves": ("os.chdir('/')", "the working directory"),
    "environ": ("os.environ['OMP_NUM_THREADS'] = '64'", "the environment variable OMP_NUM_THREADS"),
    "modules": ("sys.modules['json'] = torch", "sys.modules['json']"),
}
"""What the import does, and what is said to be changed: the cells fail."""
FAILING = {
    "message": (
        "raise ValueError('\\x1b[31mred\\ud800\\x00' + 'x' * 10**6)",
        "message.py:12 in score: ValueError: red?xx",
    ),
    "leaving": ("sys.exit(0)", "leaving.py:12 in score: SystemExit: 0"),
    "interrupting": ("raise KeyboardInterrupt", "interrupting.py:12 in score: KeyboardInterrupt"),
    "vanishing": ("os._exit(0)", "exited with code 0 before it was done"),
}
"""What scoring does, and what the record says."""
DAEMON = (
    "if os.fork() == 0: os.setsid(); os.fork() and os._exit(0); os.closerange(0, 99); "
    "os.write(os.open({!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT), b'%d ' % os.getpid()); time.sleep(600)"
)
"""A grandchild in a session of its own, without a file of its parent's."""
LOUD = "print('\\x1b[31m' + 'x' * 3_000_000, flush=True); os.write(2, b'\\x00the end\\n')"


def run(folder, names, *options):
    (folder / "study.yaml").write_text(SUITE % ", ".join(names) if names else SUITE.replace(", %s", ""))
    plugins = [word for name in names for word in ("--plugin", f"{name}.py")]
    command = [sys.executable, "-m", "pabench", "run", "study.yaml", "-o", "out", "--device", "cpu", *plugins, *options]
    return subprocess.run(command, cwd=folder, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def records(folder):
    """By criterion what every execution of a cell must agree on."""
    found = {}
    for file in (folder / "out" / "records").iterdir():
        record = json.loads(file.read_text())["record"]
        found[record["cell"]["criterion"]["name"]] = {k: v for k, v in record.items() if k not in VOLATILE}
    return found


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calm")
    assert run(folder, []).returncode == 0
    return records(folder)


@pytest.fixture(scope="module")
def stormy(tmp_path_factory):
    """One run with all of them: what it left, and what it said."""
    folder = tmp_path_factory.mktemp("stormy")
    daemon = DAEMON.format(str(folder / "pids"))
    for name, (line, _) in {**BROKEN, **CHANGED}.items():
        (folder / f"{name}.py").write_text(PLUGIN % (line, name, "pass"))
    for name, (line, _) in FAILING.items():
        (folder / f"{name}.py").write_text(PLUGIN % ("", name, line))
    (folder / "loud.py").write_text(PLUGIN % (LOUD, "loud", LOUD))
    (folder / "daemon.py").write_text(PLUGIN % (daemon, "daemon", daemon))
    return folder, run(folder, [*BROKEN, *CHANGED, *FAILING, "loud", "daemon"])


@pytest.mark.slow
def test_the_records_of_others_are_those_of_a_run_without_them(calm, stormy):
    folder, done = stormy
    assert set(calm) == {"random", "snip"}
    assert {name: record for name, record in records(folder).items() if name in calm} == calm
    assert done.returncode == 3


@pytest.mark.slow
def test_a_file_that_cannot_be_imported_is_told_and_its_cells_are_left_out(stormy):
    folder, done = stormy
    assert not set(BROKEN) & set(records(folder))
    for name, (_, told) in BROKEN.items():
        assert f"broken plugin, its cells are left out: {name}.py: {told}" in done.stderr.decode()


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGED)
def test_what_an_import_changes_is_named_and_its_cells_fail(stormy, name):
    folder, done = stormy
    record = records(folder)[name]
    assert (record["status"], record["kind"]) == ("failed", "plugin-error")
    assert f"{name}.py: importing it changes {CHANGED[name][1]}" in record["message"]
    assert f"plugin, whose cells will fail: {name}.py: importing it changes {CHANGED[name][1]}" in done.stderr.decode()


@pytest.mark.slow
@pytest.mark.parametrize("name", FAILING)
def test_a_cell_whose_scoring_fails_says_where_and_why(stormy, name):
    record = records(stormy[0])[name]
    assert record["status"] == "failed"
    assert FAILING[name][1] in record["message"]
    assert len(record["message"]) < 700


@pytest.mark.slow
def test_what_plugins_print_goes_to_the_logs_of_their_cells_up_to_a_cap(stormy):
    folder, done = stormy
    said = (done.stdout + done.stderr).decode()
    assert len(said) < 20_000
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", said)
    logs = [file.read_text() for file in (folder / "out" / "logs").iterdir()]
    loud = [text for text in logs if "bytes are left out here" in text]
    assert loud
    assert all(abs(len(text) - 2**20) < 2**17 and text.endswith("xxx\nthe end\n") for text in loud)
    assert not any(re.search(r"[\x00-\x08\x0b-\x1f]", text) for text in logs)


@pytest.mark.slow
def test_what_left_its_group_and_closed_its_files_ends_with_its_cell(stormy):
    folder, _ = stormy
    pids = [int(line) for line in (folder / "pids").read_text().split()]
    assert len(pids) > 2  # of looking at the file, of the check, of the scoring
    assert not any(map(is_running, pids))
    assert records(folder)["daemon"]["status"] == "ok"


@pytest.mark.slow
def test_a_run_again_finds_everything_done_and_says_the_same(stormy):
    folder, first = stormy
    before = records(folder)
    names = [*BROKEN, *CHANGED, *FAILING, "loud", "daemon"]
    again = run(folder, names)
    assert again.returncode == first.returncode
    assert records(folder) == before
    assert b" 0 to do" in again.stdout


# --- What is found, told and left out ---------------------------------------------------------------------------------


def opened(folder, criteria, *plugins, more=""):
    (folder / "study.yaml").write_text(SUITE % criteria + more)
    files = [folder / f"{name}.py" for name in plugins]
    return Session.open(
        Options(suite=str(folder / "study.yaml"), output=folder / "out", device="cpu", plugins=files, jobs=2)
    )


def write(folder, name, line="", called=""):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(PLUGIN % (line, called or name, "pass"))


def test_nothing_of_others_is_imported_by_the_runner(tmp_path):
    write(tmp_path, "mine", f"open({str(tmp_path / 'pids')!r}, 'a').write(f'{{os.getpid()}} ')")
    session = opened(tmp_path, "mine", "mine")
    assert carry_out(session) == 0
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) > 2
    assert str(os.getpid()) not in pids
    assert not any("mine" in name for name in sys.modules if name.startswith("pabench_plugin_"))


def test_an_import_that_loops_is_ended_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr(discovery, "IMPORTING", 3.0)
    write(tmp_path, "loops", "while True: pass")
    session = opened(tmp_path, "loops", "loops")
    (broken,) = session.broken
    assert broken.endswith("loops.py: importing it ran longer than 3 s")
    assert {cell.criterion.name for cell in session.chosen} == {"random", "snip"}


def test_a_plugin_without_cells_that_is_broken_is_exit_code_5(tmp_path):
    write(tmp_path, "raises", "1 / 0")
    session = opened(tmp_path, "magnitude", "raises")
    assert carry_out(session) == 5
    assert {record["status"] for record in Store(tmp_path / "out").records().values()} == {"ok"}


@pytest.mark.parametrize("beside", [False, True])
def test_two_files_of_one_name_are_refused_with_both_places(tmp_path, beside):
    for name in ("one", "two"):
        write(tmp_path / "criteria" if beside else tmp_path, name, called="same")
    told = r"'same' is defined by .*one\.py and by .*two\.py; rename one of the two"
    for criteria in ("same", "magnitude"):  # named by the suite, or not
        with pytest.raises(SuiteError, match=told):
            opened(tmp_path, criteria, *([] if beside else ["one", "two"]))


def test_a_name_of_two_listed_files_is_told_at_its_place_with_all_else_that_is_wrong(tmp_path):
    """Once: where the suite names it, else where it lists the second file; missing data are told in the same pass."""
    for name in ("one", "two"):
        write(tmp_path, name, called="same")
    more = "plugins: [one.py, two.py]\ndatasets: [{name: mnist, path: /nowhere}]\n"
    text = re.sub("(?m)^datasets.*\n", "", SUITE)
    for criteria, place in (("magnitude", ":8:19: plugins.1"), ("same", ":4:26: criteria.2")):
        (tmp_path / "study.yaml").write_text(text % criteria + more)
        with pytest.raises(SuiteError) as refused:
            Session.open(Options(suite=str(tmp_path / "study.yaml"), output=tmp_path / "out", device="cpu"))
        told = str(refused.value)
        assert told.count("'same' is defined by") == 1
        assert f"study.yaml{place}: 'same' is defined by" in told
        assert "study.yaml:9:12: datasets.0: mnist: /nowhere" in told


@pytest.mark.parametrize("beside", [False, True])
def test_a_file_of_a_built_in_name_is_refused(tmp_path, beside):
    write(tmp_path / "criteria" if beside else tmp_path, "mine", called="snip")
    with pytest.raises(SuiteError, match=r"mine\.py: 'snip' is already defined by pabench_criteria"):
        opened(tmp_path, "magnitude", *([] if beside else ["mine"]))


def test_parameters_of_a_plugin_are_checked_and_completed_by_its_process(tmp_path):
    write(tmp_path, "mine", called="mine")
    text = (tmp_path / "mine.py").read_text().replace('"mine"\n', '"mine"\n    power: float = 2.0\n')
    (tmp_path / "mine.py").write_text(text)
    cells = {cell.criterion.label: cell for cell in opened(tmp_path, "{name: mine, steps: 2}", "mine").cells}
    assert cells["mine (steps=2)"].criterion.args["power"] == 2.0
    assert cells["mine (steps=2)"].criterion.given == {"steps": 2}
    with pytest.raises(SuiteError, match=r"study.yaml:5:39: criteria.2.powr: unknown .* did you mean 'power'"):
        opened(tmp_path, "{name: mine, powr: 2}", "mine")


def test_a_built_in_criterion_takes_over_the_layers_of_a_plugin_in_its_process_alone(tmp_path):
    write(tmp_path, "mine")
    session = opened(tmp_path, "{name: magnitude, allocation: 'as:mine'}", "mine")
    needing = {task.title for task in session.plan().tasks if task.payload["plugins"]}
    assert {title.split(" / ")[2].split(" ")[0] for title in needing} == {"magnitude"}
    assert carry_out(session) == 0


DATASET = """
from dataclasses import dataclass
import numpy as np
from pabench.plugins import InMemory

@dataclass(frozen=True, kw_only=True)
class Dots(InMemory):
    name = "dots"
    classes, shape, mean, std = 2, (1, 6, 6), (0.5,), (0.5,)

    def missing(self): return ""
    def fetch(self): pass
    def fingerprint(self): return "0" * 64
    def read(self, part):
        labels = np.arange(40) % 2
        return (labels[:, None, None, None] * np.ones((1, 1, 6, 6)) * 200).astype(np.uint8), labels
"""
METRIC = """
from pabench.plugins import CurveMetric

class Length(CurveMetric):
    name, title = "length", "length"
    def measure(self, training): return {"length": len(training.loss)}
"""


def test_datasets_and_metrics_of_others_need_no_code_of_theirs_in_the_runner(tmp_path):
    (tmp_path / "dots.py").write_text(DATASET)
    (tmp_path / "length.py").write_text(METRIC)
    text = SUITE.replace(", %s", "").replace("{name: digits, train_per_class: 10, test_per_class: 10}", "dots")
    (tmp_path / "study.yaml").write_text(text)
    files = [tmp_path / "dots.py", tmp_path / "length.py"]
    options = Options(suite=str(tmp_path / "study.yaml"), output=tmp_path / "out", device="cpu", plugins=files)
    session = Session.open(options)
    cell = session.cells[0]
    clock = session.clock()
    assert clock.training(cell) > 0
    assert clock.pruning([cell]) > 0
    assert set(session.pairing(cell)) == {"weights", "order", "augmentation", "scoring_batch"}
    assert carry_out(session) == 0
    entries = [e for found in Store(tmp_path / "out").records("metrics").values() for e in found["entries"]]
    assert [e["numbers"] for e in entries if e["metric"] == "length"] == [{"length": 1.0}] * 2
    measured = {task.key: set(task.payload["plugins"]) for task in session.survey(session.plan()).tasks}
    assert measured == {}


def test_what_a_process_says_may_be_anything():
    found = discovery.Found()
    for number, answer in enumerate([None, {"classes": 3}, {"classes": [{"kind": "criteria", "name": "../x\x1b"}]}]):
        found.add(f"/{number}.py", Outcome("", True), answer)
    assert found.broken == {
        "/0.py": "the process that imported it said nothing of use",
        "/1.py": "the process that imported it said nothing of use",
        "/2.py": "'../x\\x1b' is no name of a plugin",
    }


def test_one_file_that_is_beside_the_suite_and_installed_is_one_plugin():
    """`pabench criteria new` writes a file that `pip install -e .` installs, too."""
    found = discovery.Found()
    answer = {"classes": [{"kind": "criteria", "name": "mine", "file": "/here/criteria/mine.py"}]}
    sources = ["/here/criteria/mine.py", "pabench.criteria:pabench_mine.mine"]
    for source in sources:
        found.add(source, Outcome("", True), answer)

    assert found.sources["criteria"] == {"mine": "/here/criteria/mine.py"}
    assert (found.clashes, found.refused, found.broken) == ({}, [], {})

    found.add("pabench.criteria:other", Outcome("", True), {"classes": [{**answer["classes"][0], "file": "/other.py"}]})
    assert list(found.clashes) == [("criteria", "mine")]
