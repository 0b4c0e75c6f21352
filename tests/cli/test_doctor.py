"""What `pabench doctor` prints of a checkup: a table, why, what to write in the suite, and what nothing heals."""

from __future__ import annotations

from dataclasses import replace

from pabench.cli.doctor import describe
from pabench.diagnostics.checkup import Checkup, Row
from pabench.diagnostics.remedy import Treatment
from pabench.store.verdict import Finding
from pabench.suite.specs import ModelSpec

MODEL = ModelSpec("resnet20")
WELL = Finding(total=100, layers=4)
ILL = Finding(total=100, layers=4, zeros=60, dead=("a.weight", "b.weight"))


def row(before, after=None, name="snip", given=None):
    found = Treatment(name, {}, MODEL, finding=before)
    return Row(found, replace(found, given=given or {}, finding=after) if after else found)


def checkup(*rows, **what):
    told = {
        "model": MODEL,
        "by_run": MODEL,
        "prescribed": MODEL,
        "shape": (3, 32, 32),
        "classes": 10,
        "dtype": "float64",
        "family": "convolutional",
        "weights": {"a.weight": 40, "b.weight": 60},
        "include": (),
        "unprunable": {},
        "dense": {},
        "standardised": (),
        "rows": rows,
        **what,
    }
    return Checkup(**told)


def test_a_healthy_criterion_is_a_row_and_nothing_more():
    text = describe(checkup(row(WELL)))

    assert text.startswith(
        "resnet20: convolutional, 100 prunable weights in 2 layers\n3 x 32 x 32 pixels, 10 classes, scored in float64"
    )
    assert "snip       healthy  0 %          0           0 of 4" in text
    assert not any(word in text for word in ("why", "remedy, for a suite", "no remedy"))


def test_what_ails_is_said_with_its_numbers():
    text = describe(checkup(row(ILL)))

    assert "degenerate  60.0 %       0           2 of 4" in text
    assert "why\n  snip: 60 of 100 scores are exactly 0 (60.0 %)" in text
    assert "no remedy makes these healthy: snip; leave them out, or read their flags" in text


def test_a_remedy_that_heals_is_shown_as_lines_of_a_suite():
    text = describe(checkup(row(ILL, WELL, name="synflow", given={"clamps": "off"})))

    assert "healthy: 0 % zero, 0 not finite, 0 of 4 dead" in text
    assert "remedy, for a suite (tried: the last column)\n  models:\n    - resnet20" in text
    assert "    - {name: synflow, clamps: off}" in text
    assert "no remedy" not in text


def test_a_criterion_that_cannot_score_has_no_figures():
    text = describe(checkup(row(Finding(reason="declines: no convolution"))))

    assert "unsupported  -            -           -            -" in text
    assert "  snip: declines: no convolution" in text


def test_rounds_that_were_not_seen_are_named_unless_the_first_failed():
    rounds = {"rounds": 100, "seen": 3}
    unseen = describe(checkup(row(replace(WELL, **rounds), name="synflow")))
    failed = describe(checkup(row(replace(WELL, **rounds, non_finite=1), name="synflow")))

    assert "rounds that were looked at: synflow (3 of 100); a later one may fail" in unseen
    assert "rounds that were looked at" not in failed


def test_what_stays_dense_is_counted_and_the_option_that_prunes_it_named():
    """50 numbers beside 100 prunable weights are a third of all."""
    attention = {"blocks.0.attn": 50}
    text = describe(checkup(row(WELL), unprunable={"attention": attention}, dense={"attention": attention}))

    assert (
        "  attention: 50 numbers in 1 (blocks.0.attn), 33.3 % of all weights; prunable with --include attention" in text
    )
    assert "not prunable\n  nothing else has parameters" in describe(checkup(row(WELL)))


def test_another_model_that_a_run_would_build_is_named():
    text = describe(checkup(row(WELL), by_run=ModelSpec("resnet20", {"width": 8})))

    assert text.endswith("`pabench run` builds {name: resnet20, args: {width: 8}} where the suite says resnet20")
