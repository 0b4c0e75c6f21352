"""Which cells of a study are computed, which masks are used again, and what becomes of failures."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest.mock import Mock

import pytest

from pabench import registry
from pabench.report.status import counts
from pabench.run.session import Session
from pabench.run.tasks import plan, pruned, untrained
from pabench.scoring.gradients import by_criterion
from pabench.store.store import Store, outcome

from ..conftest import forget_plugins
from ..training.conftest import session
from .conftest import FOUR, ONE_SEED, SUITE, run, write


def test_every_cell_has_one_record_and_the_dense_baseline_one_a_block(study):
    _, records = study

    criteria = {"random", "snip", "grasp@official", "synflow (steps=3)"}
    pruned = {(c, s, seed) for c in criteria for s in (0.5, 0.9) for seed in (0, 1)}
    assert set(records) == pruned | {("dense", 0.0, 0), ("dense", 0.0, 1)}
    assert all(r["status"] == "ok" for r in records.values())


def test_one_scoring_pass_serves_all_sparsities_of_a_one_shot_criterion(tmp_path, monkeypatch):
    snip = registry.plugin("criteria", "snip")
    score, calls = snip.score, []
    monkeypatch.setattr(snip, "score", lambda self, ctx: calls.append(self.steps) or score(self, ctx))
    text = ONE_SEED.replace(FOUR, "snip, {name: snip, steps: 3}")

    run(write(tmp_path, text), tmp_path / "out")

    assert calls.count(1) == 1  # one pass for the two sparsities, which is the check, too
    assert calls.count(3) == 1 + 6  # the check, and three rounds for each


def test_criteria_that_need_one_gradient_are_one_task(tmp_path):
    """Of the same images, with BatchNorm in the same mode, in one type, and scored once: whoever differs in these is
    alone, and so is a plugin that inherits from one of them."""
    (tmp_path / "theirs.py").write_text(
        "from pabench_criteria.snip import Snip\n\n\nclass Theirs(Snip):\n    name = 'theirs'\n"
    )
    together = "snip, grad_norm, {name: snip, allocation: uniform}"
    apart = "{name: snip, bn: eval}, {name: snip, examples_per_class: 5}, {name: snip, steps: 2}, grasp, theirs"
    text = ONE_SEED.replace(FOUR, f"{together}, {apart}") + "plugins: [theirs.py]\nablations: [invert, shuffle]\n"
    forget_plugins()
    opened = session(tmp_path, text)

    found = plan(opened.store, opened.chosen, device="cpu", plugins=opened.plugins)

    scorings = [t.title for t in found.tasks if t.kind == "prune" and "shuffle" not in t.title]
    labels = ["snip, grad_norm, snip (allocation=uniform)", "snip (bn=eval)", "snip (examples_per_class=5)"]
    labels += ["snip (steps=2)", "grasp", "theirs"]
    where = "digits / lenet_300_100 /"
    ablated = [f"{where} {label}{of} / seed 0: masks" for of in ("", " / invert") for label in labels]
    assert sorted(scorings) == sorted(ablated)
    (task,) = (t for t in found.tasks if t.title == ablated[0])
    assert [len(own) for own in by_criterion(found.by_task[task.key])] == [2, 2, 2]
    forget_plugins()


def test_a_plan_without_trainings_has_every_scoring_and_its_masks_are_counted_once(tmp_path):
    """`reinit` has the mask of its plain cell; of the two sparsities one scoring gives both masks."""
    opened = session(tmp_path, ONE_SEED.replace(FOUR, "snip") + "ablations: [reinit]\n")
    whole = plan(opened.store, opened.chosen, device="cpu")

    found = untrained(whole)

    assert [task.kind for task in found.tasks] == ["prune"]
    assert (len(found.cells), len(whole.tasks)) == (5, 6)
    assert pruned(opened.store, found.cells) == {"missing": 2}


def test_a_run_of_masks_alone_trains_nothing_and_a_whole_run_goes_on_from_it(tmp_path, monkeypatch):
    text = ONE_SEED.replace(FOUR, "random, snip")
    with monkeypatch.context() as patch:
        patch.setattr("pabench.training.train.train", lambda *a: pytest.fail("trained"))
        code, none = run(write(tmp_path, text), tmp_path / "out", masks_only=True)
    masks = set((tmp_path / "out" / "masks").iterdir())
    metrics = {entry["metric"] for file in Store(tmp_path / "out").each("metrics") for entry in file["entries"]}

    assert (code, none, len(masks)) == (0, {}, 4)
    assert metrics == {"effective_density", "gradient_norm", "layer_collapse", "overlap", "synflow_r"}
    with monkeypatch.context() as patch:
        patch.setattr("pabench.training.prune.scored", lambda *a: pytest.fail("scored again"))
        code, records = run(write(tmp_path, text), tmp_path / "out")
    assert (code, len(records)) == (0, 5)
    assert set((tmp_path / "out" / "masks").iterdir()) == masks


def test_a_study_in_parts_is_the_study_and_counts_all_of_its_cells(study, tmp_path, monkeypatch, capsys):
    """A block at a time, first from nothing, then where masks of one are gone and a record of the other."""
    folder, records = study
    monkeypatch.setattr("pabench.run.session.PART", 1)
    monkeypatch.setattr("pabench.run.session.CELLS_EACH", 0)
    surveyed, survey = [], Session.survey
    monkeypatch.setattr(Session, "survey", lambda self, plan: surveyed.append(len(plan.open)) or survey(self, plan))

    code, found = run(folder / "study.yaml", tmp_path / "out")

    told = capsys.readouterr().out
    assert (code, surveyed) == (0, [9, 9])
    assert {where: outcome(record) for where, record in found.items()} == {
        where: outcome(record) for where, record in records.items()
    }
    assert [f"[{n}/18]" in told for n in (1, 9, 10, 18, 19)] == [True] * 4 + [False]
    assert Store(tmp_path / "out").records("metrics").keys() == Store(folder / "out").records("metrics").keys()

    (tmp_path / "out" / "records" / f"{found['snip', 0.5, 1]['key']}.json").unlink()
    (tmp_path / "out" / "masks" / f"{found['snip', 0.9, 0]['receipt']['mask']}.safetensors").unlink()
    code, again = run(folder / "study.yaml", tmp_path / "out")

    told = capsys.readouterr().out
    assert (code, surveyed[2:]) == (0, [0, 1])
    assert "17 done, 1 to do, 1 mask to make again" in told
    assert "[18/18]" in told
    assert (tmp_path / "out" / "masks" / f"{found['snip', 0.9, 0]['receipt']['mask']}.safetensors").exists()
    assert outcome(again["snip", 0.5, 1]) == outcome(records["snip", 0.5, 1])


def test_a_finished_study_computes_nothing(study, monkeypatch):
    folder, records = study
    monkeypatch.setattr("pabench.training.train.train", lambda *a: pytest.fail("trained again"))

    code, again = run(folder / "study.yaml", folder / "out")

    assert code == 0
    assert again == records


def test_one_more_sparsity_computes_only_that_one(tmp_path):
    text = ONE_SEED.replace("random, snip, grasp@official", "random, snip")
    _, before = run(write(tmp_path, text), tmp_path / "out")

    _, after = run(write(tmp_path, text.replace("0.9]", "0.9, 0.95]")), tmp_path / "out")

    assert all(after[k] == r for k, r in before.items())
    assert {k[:2] for k in set(after) - set(before)} == {("random", 0.95), ("snip", 0.95), ("synflow (steps=3)", 0.95)}


def test_lost_masks_are_made_again(tmp_path):
    """A receipt without its mask file must not fail every later cell."""
    text = ONE_SEED.replace(FOUR, "snip")
    _, before = run(write(tmp_path, text), tmp_path / "out")
    for mask in (tmp_path / "out" / "masks").iterdir():
        mask.unlink()

    code, _ = run(write(tmp_path, text.replace("lr: 0.05", "lr: 0.06")), tmp_path / "out")

    assert code == 0
    store = Store(tmp_path / "out")
    assert all(store.has_mask(r["receipt"]["mask"]) for r in before.values() if r["receipt"])


def test_a_damaged_mask_of_a_finished_cell_is_made_again(tmp_path):
    """Its content is looked at, and not only whether there is such a file."""
    text = ONE_SEED.replace(FOUR, "snip")
    _, before = run(write(tmp_path, text), tmp_path / "out")
    store = Store(tmp_path / "out")
    names = {r["receipt"]["mask"] for r in before.values() if r["receipt"]}
    damaged = store.folder / "masks" / f"{min(names)}.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])

    code, after = run(write(tmp_path, text), tmp_path / "out")

    assert code == 0
    assert after == before
    assert all(store.has_mask(name) for name in names)


def test_a_scoring_that_failed_is_tried_again_for_a_new_cell(tmp_path, monkeypatch):
    """An out-of-memory of yesterday says nothing about today's recipe."""
    text = ONE_SEED.replace(FOUR, "snip").replace("[0, 0.5, 0.9]", "[0.9]")
    snip = registry.plugin("criteria", "snip")
    score = snip.score

    def full(self, ctx):
        raise MemoryError("out of memory")

    monkeypatch.setattr(snip, "score", full)
    code, records = run(write(tmp_path, text), tmp_path / "out")
    assert code == 3
    assert [r["kind"] for r in records.values()] == ["oom"]
    monkeypatch.setattr(snip, "score", score)

    code, _ = run(write(tmp_path, text.replace("lr: 0.05", "lr: 0.06")), tmp_path / "out")

    assert code == 0


def test_other_augmentation_reuses_the_masks_too(tmp_path):
    """Masks depend on weights and scoring batch, and not on how the network is trained afterwards."""
    text = ONE_SEED.replace(FOUR, "snip")
    run(write(tmp_path, text), tmp_path / "out")

    code, records = run(write(tmp_path, text.replace("{crop: 1}", "none")), tmp_path / "out")

    assert code == 0
    assert len(records) == 3
    assert len(Store(tmp_path / "out").records()) == 6


def test_a_changed_recipe_reuses_the_masks_and_keeps_the_old_records(tmp_path):
    text = ONE_SEED.replace(FOUR, "snip")
    run(write(tmp_path, text), tmp_path / "out")
    receipts = set(Store(tmp_path / "out").records("receipts"))

    run(write(tmp_path, text.replace("lr: 0.05", "lr: 0.06")), tmp_path / "out")

    store = Store(tmp_path / "out")
    assert set(store.records("receipts")) == receipts
    assert len(store.records()) == 6
    assert counts(tmp_path / "out")["cells"] == 3  # the report is about the suite as it is now


PLUGIN = """
from dataclasses import dataclass
from pabench.plugins import ScoreContext, ScoreCriterion, Tensors

@dataclass(frozen=True, kw_only=True)
class Theirs(ScoreCriterion):
    name = "theirs"

    def score(self, ctx: ScoreContext) -> Tensors:
        {body}
"""

FAILURES = {
    "unlucky": ("raise ValueError('no luck')", "ValueError: no luck"),
    "leaving": ("raise SystemExit(0)", "SystemExit: 0"),
    "interrupting": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "undefined": ("return {n: w / 0 * 0 for n, w in ctx.kept.items()}", "scores are not a number"),
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """One study of four plugins that fail, each in its own way, beside a criterion that does not."""
    folder = tmp_path_factory.mktemp("failed")
    (folder / "criteria").mkdir()
    for name, (body, _) in FAILURES.items():
        (folder / "criteria" / f"{name}.py").write_text(
            PLUGIN.format(body=body).replace("theirs", name).replace("Theirs", name.capitalize())
        )
    forget_plugins()
    text = SUITE.replace(FOUR, f"random, {', '.join(FAILURES)}")
    found = run(write(folder, text), folder / "out", engine="processes", jobs=2)
    forget_plugins()
    return found


@pytest.mark.parametrize("name", FAILURES)
def test_a_plugin_that_fails_costs_its_own_cells_only(failed, name):
    code, records = failed

    assert code == 3
    assert {r["status"] for (criterion, _, _), r in records.items() if criterion in ("random", "dense")} == {"ok"}
    theirs = [r for (criterion, _, _), r in records.items() if criterion == name]
    assert len(theirs) == 4
    for record in theirs:
        assert (record["status"], record["kind"]) == ("failed", "plugin-error")
        assert FAILURES[name][1] in record["message"]
        assert f"{name}.py" in record["traceback"] or "selection" in record["traceback"]


@pytest.mark.usefixtures("fresh_registry")
def test_a_mended_plugin_is_another_criterion_and_its_cells_run(tmp_path):
    plugin = tmp_path / "theirs.py"
    plugin.write_text(PLUGIN.format(body="raise ValueError('no luck')"))
    text = SUITE.replace(FOUR, "theirs")
    suite = write(tmp_path, text.replace("seeds: 2", "seeds: 1") + "plugins: [theirs.py]\n")
    first, _ = run(suite, tmp_path / "out")

    forget_plugins()
    plugin.write_text(PLUGIN.format(body="return dict(ctx.kept)  # mended"))
    second, _ = run(suite, tmp_path / "out")

    assert (first, second) == (3, 0)
    assert counts(tmp_path / "out")["ok"] == 3
    assert counts(tmp_path / "out")["failures"] == []


def test_failed_cells_run_again_only_when_asked(tmp_path, monkeypatch):
    text = SUITE.replace("lr: 0.05", "lr: 1e30").replace(FOUR, "random")
    suite = write(tmp_path, text)
    code, records = run(suite, tmp_path / "out")
    created = {k: r["created"] for k, r in records.items()}
    assert code == 3
    assert all(r["kind"] == "diverged" and "epoch 1" in r["message"] for r in records.values())

    later = datetime(2100, 1, 1, tzinfo=UTC)
    monkeypatch.setattr("pabench.store.record.datetime", Mock(now=lambda _: later))
    _, untouched = run(suite, tmp_path / "out")
    _, retried = run(suite, tmp_path / "out", retry=True)

    assert {k: r["created"] for k, r in untouched.items()} == created
    assert all(r["created"] != created[k] for k, r in retried.items())
    assert len(list((tmp_path / "out" / "history").iterdir())) == len(records)


def test_a_shuffle_waits_for_its_parent_and_training_for_its_shuffle(tmp_path):
    opened = session(tmp_path, only=("criterion=snip",))

    tasks = {t.title: t for t in plan(opened.store, opened.chosen, device="cpu").tasks}

    where = "digits / lenet_300_100 / snip"
    scoring, shuffles = tasks[f"{where} / seed 0: masks"], f"{where} / shuffle / seed 0: masks"
    trained = tasks[f"{where} 0.9 / shuffle / seed 0"]
    (shuffling,) = [t for t in plan(opened.store, opened.chosen, device="cpu").tasks if t.key in trained.after]
    assert shuffling.title == shuffles
    assert shuffling.after == (scoring.key,)
    assert tasks[f"{where} 0.9 / reinit / seed 0"].after == (scoring.key,)
    assert len(scoring.payload["cells"]) == 2  # two sparsities, whatever is derived from them
