"""A study from suite to records: paired, reproducible, resumed, refused where it must be, and seen by the library."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from pabench_reports.checklist import answers

import pabench
from pabench.cli.display import Lines
from pabench.cli.running import tell_data
from pabench.data import cache, digits
from pabench.errors import MissingError, RefusedError, SuiteError
from pabench.report.folders import read
from pabench.report.status import counts
from pabench.run.claims import Runner
from pabench.run.session import Options, Session
from pabench.scoring.masks import unpack
from pabench.store.store import VOLATILE, Store

from .conftest import FOUR, ONE_SEED, SUITE, named, run, write
from .test_resolve import ZERO

HANGS = """
import time
from pabench.plugins import ScoreCriterion

class Hangs(ScoreCriterion):
    \"\"\"Never gives a score.\"\"\"
    name = "hangs"

    def score(self, ctx):
        time.sleep(600)
"""


def lasting(record: dict) -> dict:
    return {k: v for k, v in record.items() if k not in VOLATILE}


@pytest.mark.parametrize(("precision", "told_of"), [("bfloat16", True), ("float32", False)])
def test_a_precision_that_the_processor_only_emulates_is_told_before_anything_runs(
    tmp_path, monkeypatch, capsys, precision, told_of
):
    lacking = {"avx512_bf16": False, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: lacking, raising=False)
    overrides = (f"recipe.precision={precision}",)

    tell_data(Session.open(Options(suite=str(write(tmp_path)), device="cpu", overrides=overrides)))

    said = "recipe: precision bfloat16: this device has no instructions for it"
    assert (said in capsys.readouterr().err) is told_of


def test_criteria_of_a_block_share_weights_order_augmentation_and_scoring_batch(study):
    """And two seeds share none of them."""
    _, records = study
    by_seed = {seed: [r["pairing"] for (_, _, s), r in records.items() if s == seed] for seed in (0, 1)}

    for found in by_seed.values():
        assert all(p == found[0] for p in found)
    first, second = by_seed[0][0], by_seed[1][0]
    assert set(first) == {"weights", "order", "augmentation", "scoring_batch"}
    assert all(first[part] != second[part] for part in first)


def test_the_same_study_again_gives_equal_bits(study, tmp_path):
    folder, records = study

    _, again = run(folder / "study.yaml", tmp_path / "again")

    assert {k: lasting(r) for k, r in again.items()} == {k: lasting(r) for k, r in records.items()}


def test_worker_processes_give_the_same_masks_as_this_one(study, tmp_path):
    folder, records = study

    code, again = run(folder / "study.yaml", tmp_path / "again", engine="processes", jobs=2, only=("criterion=snip",))

    assert code == 0
    assert len(again) == 4
    for key, record in again.items():
        assert record["receipt"]["mask"] == records[key]["receipt"]["mask"]


def test_masks_lie_beside_the_records_with_the_realised_density(study):
    folder, records = study
    record = records["snip", 0.9, 0]

    masks, receipt = unpack(Store(folder / "out").get_mask(record["receipt"]["mask"]))

    # 64 x 300 + 300 x 100 + 100 x 10 = 50,200 weights
    assert sum(int(m.sum()) for m in masks.values()) == record["receipt"]["kept"] == 5020
    assert receipt["requested_sparsity"] == 0.9
    assert [layer["kept"] for layer in receipt["layers"]] == [int(m.sum()) for m in masks.values()]


def test_a_record_has_what_was_measured(study):
    _, records = study
    record = records["grasp@official", 0.9, 0]

    result, receipt, cost = record["result"], record["receipt"], record["cost"]
    # 50,610 parameters with biases; 2 FLOPs a weight; a tenth of the weights is left
    assert result["parameters"] == {"dense": 50610, "pruned": 50610 - 45180}
    assert (result["flops"]["dense"], result["flops"]["pruned"]) == (100400, 10040)
    assert sorted(result["flops"]["layers"].values()) == [2000, 38400, 60000]
    assert 0 <= result["top1"] <= result["top5"] <= 100
    assert len(result["curve"]["loss"]) == 2
    assert receipt["gradient_norm"]["before"] > 0
    assert receipt["variant"] == "official"
    assert receipt["parameters"]["batch_split"] == "class-halves"
    assert cost["scoring_seconds"] > 0
    assert cost["training_seconds"] > 0
    assert record["environment"]["torch"]


def test_a_dataset_with_fewer_images_than_the_usual_batch_costs_data_free_criteria_nothing(tmp_path):
    text = ONE_SEED.replace("train_per_class: 20", "train_per_class: 4").replace(FOUR, "random, snip")

    code, records = run(write(tmp_path, text), tmp_path / "out")

    assert code == 3
    assert records["random", 0.9, 0]["receipt"]["gradient_norm"]["before"] > 0
    assert records["snip", 0.9, 0]["kind"] == "data"
    assert "has 4 images, 10 per class are needed" in records["snip", 0.9, 0]["message"]


@pytest.mark.parametrize(("policy", "status"), [("mark", "ok"), ("refuse", "skipped")])
def test_a_degenerate_ranking_is_marked_or_refused_and_never_fine(tmp_path, policy, status):
    text = (
        ZERO.replace("seeds: 2", "seeds: 1").replace("[0, 0.5, 0.9]", "[0.9]") + f"scoring: {{degenerate: {policy}}}\n"
    )

    _, records = run(write(tmp_path, text), tmp_path / "out")

    (record,) = records.values()
    assert record["status"] == status
    assert "degenerate" in {f["flag"] for f in record["flags"]}
    assert counts(tmp_path / "out")["flags"]["degenerate"] == 1


def test_a_missing_dataset_is_said_before_anything_runs_and_the_others_go_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PABENCH_DATA", str(tmp_path / "nowhere"))
    text = SUITE.replace("datasets: [", "datasets: [cifar10, ").replace(FOUR, "random")

    code, records = run(write(tmp_path, text.replace("seeds: 2", "seeds: 1")), tmp_path / "out")

    assert code == 5
    assert {r["labels"]["dataset"] for r in records.values()} == {"digits"}
    said = capsys.readouterr().err
    assert str(tmp_path / "nowhere" / "cifar10") in said
    assert "pabench fetch cifar10" in said
    assert "MB" in said
    assert counts(tmp_path / "out")["missing"] == 3


def test_a_folder_of_another_study_is_refused(study):
    folder, _ = study

    with pytest.raises(RefusedError, match="holds the study 'study', not 'other'"):
        run(write(folder, name="other"), folder / "out")


def test_another_suite_of_one_name_is_refused_while_a_run_is_at_work(tmp_path):
    """`study.json` is one: what the first run says at its end would be of the second's suite."""
    text = ONE_SEED.replace(FOUR, "random")
    suite = write(tmp_path, text)
    run(suite, tmp_path / "out")
    (tmp_path / "other").mkdir()
    other = write(tmp_path / "other", text.replace("random", "magnitude"))

    with Runner(tmp_path / "out", command="pabench run study", workers=1, threads=1):
        with pytest.raises(RefusedError, match=r"\(process \d+\) is at work here on another suite .*; wait until"):
            run(other, tmp_path / "out")
        with pytest.raises(RefusedError, match="at work here on another suite"):
            run(suite, tmp_path / "out", overrides=["seeds=2"])
        assert run(suite, tmp_path / "out")[0] == 0  # the same one shares the work
    assert run(other, tmp_path / "out")[0] == 0


def test_a_folder_begun_elsewhere_is_refused_unless_told_otherwise(tmp_path, monkeypatch):
    text = ONE_SEED.replace(FOUR, "random")
    suite = write(tmp_path, text)
    run(suite, tmp_path / "out")
    monkeypatch.setattr("torch.__version__", "2.99")

    with pytest.raises(RefusedError, match=r"begun elsewhere \(torch .* -> 2.99\)"):
        run(suite, tmp_path / "out")
    assert run(suite, tmp_path / "out", allow_env_drift=True)[0] == 0


def test_a_device_that_is_not_there_is_a_missing_requirement():
    with pytest.raises(MissingError, match="--device cuda:97: not on this machine"):
        Session.open(Options(suite="quickstart", device="cuda:97"))


def test_a_huge_grid_asks_first(tmp_path):
    text = SUITE.replace("seeds: 2", "seeds: 1000000000")

    began = time.monotonic()
    with pytest.raises(SuiteError, match="9,000,000,000 cells; --yes"):
        Session.open(Options(suite=str(write(tmp_path, text))))
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 75, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_resumes_to_the_uninterrupted_result(study, tmp_path, number, code):
    folder, records = study
    command = [sys.executable, "-m", "pabench", "run", str(folder / "study.yaml"), "-o", str(tmp_path / "out")]
    command += ["--device", "cpu", "-j", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("[3/18]"):
                process.send_signal(number)
                break
        rest = process.stdout.read()
    assert process.returncode == code
    assert "resume with: pabench run" in rest
    kept = named(tmp_path / "out")
    assert 3 <= len(kept) < 18

    done, resumed = run(folder / "study.yaml", tmp_path / "out")

    assert done == 0
    assert set(resumed) == set(records)
    assert all(resumed[k] == r for k, r in kept.items())
    # masks and pairing are equal to the bit whatever the number of threads
    for key, record in resumed.items():
        assert record["pairing"] == records[key]["pairing"]
        if record["receipt"]:
            assert record["receipt"]["mask"] == records[key]["receipt"]["mask"]


@pytest.mark.slow
def test_a_worker_killed_in_mid_cell_costs_nothing(study, tmp_path):
    """kill -9 of a worker: its cell runs again, the others are untouched."""
    folder, _records = study
    command = [sys.executable, "-m", "pabench", "run", str(folder / "study.yaml"), "-o", str(tmp_path / "out")]
    command += ["--device", "cpu", "-j", "2", "--set", "recipe.epochs=40", "--only", "criterion=random"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("[1/4]"):
                os.kill(children_of_forkserver(process.pid)[0], signal.SIGKILL)
                break
        rest = process.stdout.read()
    assert process.returncode == 0
    assert "cells: 4 ok" in rest


LONG = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 20, test_per_class: 10}]
models: [lenet_300_100]
criteria: [CRITERION]
sparsities: [0.9]
seeds: 1
recipe: {epochs: 30, batch_size: 32, lr: 0.05, augment: {crop: 1}}
"""


class Interrupting(Lines):
    """Sends this process a signal when the training of a task has come to an epoch, the first time it does."""

    number, epoch = signal.SIGTERM, 7
    met: ClassVar[set[str]] = set()
    stages: ClassVar[list[str]] = []

    def event(self, event):
        super().event(event)
        self.stages.extend(filter(None, [event.data.get("stage")]))
        if event.data.get("epoch") == self.epoch and event.key not in self.met:
            self.met.add(event.key)
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("engine", ["processes", "inline"])
def test_a_run_that_is_stopped_in_mid_training_goes_on_from_there(tmp_path, monkeypatch, engine):
    """Twice: in the training of the network that the masks are of, and in that of the pruned one."""
    suite = write(tmp_path, LONG.replace("CRITERION", "magnitude_after_training"))
    options = {"engine": engine, "jobs": 2, "only": ["criterion=magnitude_after_training"]}
    _, whole = run(suite, tmp_path / "calm", **options)
    monkeypatch.setattr("pabench.cli.running.display", Interrupting)
    monkeypatch.setattr(Interrupting, "met", set())
    monkeypatch.setattr(Interrupting, "stages", [])
    folder = tmp_path / "out"

    for training in ("dense", "masked"):
        assert run(suite, folder, **options)[0] == 75
        (kept,) = folder.glob("checkpoints/*/*/*.safetensors")
        assert kept.parent.name == training
        assert 7 * 7 <= int(kept.name[:12]) < 30 * 7
    code, resumed = run(suite, folder, **options)

    assert code == 0
    assert {k: lasting(r) for k, r in resumed.items()} == {k: lasting(r) for k, r in whole.items()}
    assert sum(stage.startswith("going on in epoch") for stage in Interrupting.stages) == 2
    assert list((folder / "checkpoints").iterdir()) == []
    (record,) = resumed.values()
    assert record["cost"]["resumed_seconds"] > 0


def test_going_on_with_another_number_of_threads_is_told(tmp_path, monkeypatch, capsys):
    """By the run, by the records and by the page's checklist; masks are the same."""
    suite, folder = write(tmp_path, ONE_SEED.replace(FOUR, "random")), tmp_path / "out"
    monkeypatch.setattr("pabench.run.session.Session.threads", 2)
    run(suite, folder, only=["sparsity=0.5"])
    monkeypatch.setattr("pabench.run.session.Session.threads", 1)
    capsys.readouterr()

    _, records = run(suite, folder)

    said = capsys.readouterr().out
    assert "threads: trained so far 1 cell with 2 threads, from now on with 1: on a CPU" in said
    assert {key[1]: record["environment"]["threads"] for key, record in records.items()} == {0: 1, 0.5: 2, 0.9: 1}
    (asked,) = [one for one in answers(read(folder)) if "as many threads" in one.question]
    assert asked.state == "missing"
    assert re.fullmatch(r"(cpu: .*), 1 thread \(2 cells\); \1, 2 threads \(1 cell\)", asked.text)
    run(suite, folder)
    assert "threads:" not in capsys.readouterr().out.replace(said, "")  # nothing is to come


@pytest.mark.slow
def test_a_plugin_that_hangs_is_ended_after_the_time_that_the_suite_gives(tmp_path):
    (tmp_path / "hangs.py").write_text(HANGS)
    suite = write(tmp_path, ONE_SEED.replace(FOUR, "hangs, random") + "plugins: [hangs.py]\ntimeout: 4\n")

    code, records = run(suite, tmp_path / "out", engine="processes", jobs=2)

    assert code == 3
    ended = {name: record for (name, sparsity, _), record in records.items() if sparsity}
    assert (ended["random"]["status"], ended["hangs"]["status"]) == ("ok", "failed")
    assert ended["hangs"]["kind"] == "timeout"
    assert ended["hangs"]["message"].startswith(
        "ran longer than 4 s; if it needs more, say timeout: SECONDS in the suite"
    )


def children_of_forkserver(runner: int) -> list[int]:
    """The working processes below a runner: those without children of their own that run a task."""
    found = []
    for _ in range(200):
        parents = {}
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(status.parent.name)] = int(fields[1])
        below = [p for p, parent in parents.items() if parent == runner]
        found = [p for p, parent in parents.items() if parent in below]
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("no worker seen")


def test_the_manifest_tells_the_whole_suite(study):
    folder, _ = study

    manifest = json.loads((folder / "out" / "study.json").read_text())

    assert manifest["suite"] == SUITE
    assert len(manifest["cells"]) == 18
    assert manifest["command"].startswith("pabench run")


def test_a_loaded_suite_has_the_cells_that_a_run_makes_records_of(study):
    """Of each of two seeds the dense network, and four criteria at two sparsities."""
    folder, records = study

    loaded = pabench.load_suite(folder / "study.yaml", device="cpu")

    assert len(loaded.cells) == 2 * (1 + 4 * 2)
    assert {cell.key for cell in loaded.cells} == {record["key"] for record in records.values()}
    assert loaded.cells[0].title == "digits / lenet_300_100 / dense / seed 0"
    assert [cell.seed for cell in loaded.cells] == [0] * 9 + [1] * 9
    assert loaded.gaps == []


def test_overrides_change_a_loaded_suite_and_nothing_is_written(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.chdir(tmp_path)

    loaded = pabench.load_suite("study.yaml", overrides=["seeds=1", "sparsities=[0.5]", "recipe.epochs=7"])

    assert [cell.sparsity for cell in loaded.cells] == [0.5] * 4  # four criteria; the dense network is sparsity 0
    assert {cell.recipe.epochs for cell in loaded.cells} == {7}
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_a_suite_that_ships_is_loaded_by_its_name_and_an_unknown_one_is_refused():
    assert {cell.dataset.name for cell in pabench.load_suite("quickstart").cells} == {"digits"}
    with pytest.raises(SuiteError, match="quickstar"):
        pabench.load_suite("quickstar")


def test_a_loaded_suite_says_which_data_is_missing_and_keeps_its_cells(tmp_path):
    text = ONE_SEED.replace("[{name: digits,", f"[{{name: cifar10, path: {tmp_path}/nowhere}}, {{name: digits,")

    loaded = pabench.load_suite(write(tmp_path, text), device="cpu")

    (gap,) = loaded.gaps
    assert "nowhere" in gap
    assert [cell.dataset.name for cell in loaded.cells] == ["cifar10"] * 9 + ["digits"] * 9
    assert {bool(cell.dataset.fingerprint) for cell in loaded.cells if cell.dataset.name == "cifar10"} == {False}
    assert {cell.dataset.name for cell in loaded.chosen} == {"digits"}


def test_all_that_is_wrong_with_a_suite_is_told_with_its_lines_when_it_is_loaded(tmp_path):
    path = write(tmp_path, SUITE.replace("seeds: 2", "seeds: -2").replace("epochs: 2", "epochz: 2"))

    with pytest.raises(SuiteError) as caught:
        pabench.load_suite(path)

    assert str(caught.value).splitlines() == [
        f"{path}:7:1: seeds: must be at least 1, not -2",
        f"{path}:8:1: recipe.epochs: missing; add `epochs: 160`",
        f'{path}:8:10: recipe.epochz: unknown key; did you mean "epochs"?',
    ]


def test_what_resumes_a_run_repeats_the_options_that_were_given_and_no_others():
    options = Options(
        suite="my suite.yaml", retry=True, jobs=2, only=("seed=0", "criterion=snip"), output=Path("out"), yes=True
    )

    assert options.command() == (
        "pabench run 'my suite.yaml' --only seed=0 --only criterion=snip -o out -j 2 --retry failed"
    )
    assert Options(suite="quickstart").command() == "pabench run quickstart"
    on_slurm = Options(suite="quickstart", engine="slurm", engine_args=("partition=gpu", "time=2:00:00"))
    assert on_slurm.command() == (
        "pabench run quickstart --engine slurm --engine-arg partition=gpu --engine-arg time=2:00:00"
    )


def test_a_cluster_may_have_gpus_that_this_machine_has_not(tmp_path, monkeypatch):
    """The manifest says who gives them, since each record says which it was; this machine looks at its CPU."""
    monkeypatch.setattr("pabench.run.session.devices", lambda: iter(["cpu"]))
    options = Options(
        str(write(tmp_path)), output=tmp_path / "out", device="cuda", engine="ray", engine_args=["cpus=3"]
    )
    session = Session.open(options)

    assert (str(session.device), session.workers) == ("cuda", 1000)
    assert {task.payload["device"] for task in session.plan().tasks} == {"cuda"}
    assert session.begin()["device"] == "cuda: what ray gives"
    assert session.pairing(session.cells[0]).keys() >= {"weights", "order"}
    assert Session.open(replace(options, jobs=8)).workers == 8


@pytest.mark.parametrize(("device", "workers"), [("cuda", 6), ("cuda:1", 3)])
def test_a_run_uses_all_gpus_that_it_sees_or_the_one_it_is_told(tmp_path, monkeypatch, device, workers):
    """Two GPUs of 12 GiB, as far as is told: three cells of 4 GiB on each."""
    monkeypatch.setattr("pabench.run.session.pick_device", torch.device)
    monkeypatch.setattr("pabench.run.engines.gpus.count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda _: SimpleNamespace(total_memory=12 * 2**30))
    monkeypatch.setattr("pabench.run.session.cores", lambda: 9)
    session = Session.open(Options(str(write(tmp_path)), output=tmp_path / "out", device=device))

    assert session.workers == workers


def test_a_suite_of_our_own_networks_imports_neither_timm_nor_the_compiler():
    """They take longer to import than all else, and what counts FLOPs and looks at banks long enough; a fresh
    interpreter, because the tests have imported them."""
    spared = ("timm", "torchvision", "torch._dynamo", "torch.utils.flop_counter", "pabench.store.schema")
    code = (
        "import sys, pabench.cli.forecast; from pabench import load_suite; load_suite('quickstart');"
        f"print([name for name in {spared} if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_study_of_our_own_networks_imports_no_compiler_either(tmp_path):
    """Every process that scores or trains would import it anew, which takes longer than many a cell."""
    suite = write(tmp_path, ONE_SEED.replace(FOUR, "snip, grasp").replace("[lenet_300_100]", "[resnet8]"))
    code = (
        "import sys; from pathlib import Path; from pabench.cli.running import carry_out;"
        "from pabench.run.session import Options, Session;"
        "options = Options(sys.argv[1], output=Path(sys.argv[2]), device='cpu', engine='inline');"
        "code = carry_out(Session.open(options));"
        "print(code, [name for name in ('timm', 'torchvision', 'torch._dynamo', 'sympy') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code, suite, tmp_path / "out"], capture_output=True, text=True)

    assert done.stdout.splitlines()[-1:] == ["0 []"], done.stderr


def test_tasks_are_told_what_the_runner_has_hashed(tmp_path, monkeypatch):
    """So that none of them reads the images twice."""
    monkeypatch.setattr(cache, "_hashed", {})
    session = Session.open(Options(str(write(tmp_path)), output=tmp_path / "out", device="cpu"))

    session.read_data()

    plan = session.plan()
    told = {file for task in [*plan.tasks, *session.survey(plan).tasks] for file in task.payload["hashed"]}
    assert told == {str(digits.FILE)}
    assert all(task.payload["hashed"] for task in plan.tasks)
