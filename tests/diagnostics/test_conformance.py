"""Every criterion passes every check, and every check can fail."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pabench.cli import conformance as testimony
from pabench.diagnostics import conformance
from pabench.diagnostics.conformance import MaskOverlap, examine, names, overlap, overlaps
from pabench.diagnostics.laws import LAWS, purity, robustness
from pabench.diagnostics.specimens import PERCEPTRON
from pabench.errors import SuiteError

from ..broken_criteria import ChangesTheDefaultType, ChangesTheThreads, SignReversed, Sound, every
from ..conftest import REFERENCE

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


DEAR = {"prospr", "prospr@official", "ntk_sap", "widetopo"}
"""Criteria whose examination takes many seconds."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in DEAR else []) for name in names()]
)
def test_every_criterion_and_variant_passes_every_check(name):
    found = examine(name)

    assert testimony.summary(found).splitlines()[1:] == []
    assert list(found.outcomes) == [law.name for law in LAWS]


def test_a_sound_criterion_of_a_plugin_passes_every_check():
    """What the broken ones derive from: without this, they could fail for what they inherit."""
    assert examine(Sound()).failed == []


def one_for_each_check():
    """All of the broken; those whose checks have failed for an earlier one already are slow."""
    caught = set()
    for broken in every():
        known = set(broken.caught_by) <= caught
        caught |= set(broken.caught_by)
        yield pytest.param(broken, marks=[pytest.mark.slow] if known else [], id=broken.__name__)


@pytest.mark.parametrize("broken", list(one_for_each_check()))
def test_what_is_wrong_with_a_criterion_is_found_by_the_checks_meant_for_it(broken):
    assert set(examine(broken()).failed) == set(broken.caught_by)


def test_every_check_that_can_fail_fails_for_one_of_the_broken():
    """Signs and precision are told for information; official results have a test of their own below."""
    caught = {check for broken in every() for check in broken.caught_by}

    assert {law.name for law in LAWS} - caught == {"signs", "precision", "reference"}
    assert caught <= {law.name for law in LAWS}


def test_a_criterion_that_is_not_what_official_code_computes_is_found(tmp_path):
    """The same files, and an index that gives SNIP's results to another criterion."""
    for path in REFERENCE.iterdir():
        if path.name != "index.json":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "index.json").write_text('[{"file": "sf_snip", "criterion": "magnitude", "cases": ["a"]}]')

    mine, wrong = (examine("magnitude", reference=folder).outcomes["reference"] for folder in (REFERENCE, tmp_path))

    assert mine.verdict == "pass"
    assert wrong.verdict == "FAIL"
    # at 50, 90, 98, 99.9 % two masks that have nothing to do with each other differ in hundreds of 4,928 weights
    assert int(wrong.figure.split(", ")[1].split()[0]) > 1000


def test_unknown_laws_and_exemptions_are_refused_with_the_likely_one():
    class Typo(Sound):
        laws = ("homogenous",)

    class Elsewhere(Sound):
        exempt = {"batch ordre": "by definition"}

    with pytest.raises(SuiteError, match="sound: laws: there is no 'homogenous'; did you mean 'homogeneous'"):
        examine(Typo())
    with pytest.raises(SuiteError, match="sound: exempt: there is no 'batch ordre'; did you mean 'batch order'"):
        examine(Elsewhere())


def test_a_generator_that_nothing_was_drawn_from_makes_no_random_criterion():
    class Prepared(Sound):
        def score(self, ctx):
            torch.randint(0, 2, (0, 3), generator=ctx.generator("never"))
            return super().score(ctx)

    class Drawn(Sound):
        def score(self, ctx):
            torch.randint(0, 2, (1, 3), generator=ctx.generator("once"))
            return super().score(ctx)

    assert examine(Prepared()).failed == []
    assert examine(Drawn()).failed == ["seed"]


def test_an_exemption_takes_its_check_away_and_gives_its_reason():
    class ByDefinition(SignReversed):
        exempt = {"finite differences": "upside down", "removal": "upside down"}

    found = examine(ByDefinition())

    assert found.failed == []
    assert found.outcomes["removal"].verdict == "does not apply"
    assert found.outcomes["removal"].reason == "upside down"


def test_a_criterion_that_declines_a_network_is_not_blamed_for_it(monkeypatch):
    class Picky(Sound):
        def declines(self, ctx):
            return "" if len(ctx.weights) > 1 else "one layer is too few"

    monkeypatch.setattr(conformance, "LAWS", robustness.LAWS)

    outcome = examine(Picky()).outcomes["linear layer"]

    assert (outcome.verdict, outcome.reason) == ("does not apply", "declines: one layer is too few")


def test_an_examination_leaves_the_process_as_it_was(monkeypatch):
    """Whatever a criterion does to global states is over when its check is."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    monkeypatch.setattr(conformance, "LAWS", purity.LAWS)  # all checks run in the same frame: those of one file do
    examine(ChangesTheDefaultType())
    examine(ChangesTheThreads())

    assert torch.equal(torch.rand(3), expected)
    assert torch.get_default_dtype() == torch.float32


def test_overlap_and_what_chance_gives_are_those_of_a_hand():
    """Layers of 4 and 2 weights: a keeps 2 and 1, b 2 and 0; expected in common 2 * 2 / 4 = 1 of 3 + 2 - 1."""
    a = {"x": torch.tensor([1, 1, 0, 0]), "y": torch.tensor([1, 0])}
    b = {"x": torch.tensor([1, 0, 1, 0]), "y": torch.tensor([0, 0])}

    assert overlap(a, b) == MaskOverlap(found=1 / 4, chance=1 / 4)
    assert overlap(a, a).found == 1.0


def test_overlaps_of_random_masks_are_what_chance_gives():
    """Two seeds would differ; here random meets magnitude, which knows nothing of the noise."""
    found = overlaps(["magnitude", "random"], PERCEPTRON)["magnitude", "random"]

    # 160 of 1,600 weights each: by chance 0.1 / 1.9 = 0.053 for equal densities, with a spread of 0.02
    assert found.found == pytest.approx(found.chance, abs=0.05)
    assert 0.03 < found.chance < 0.06


def test_the_page_of_the_documentation_explains_every_check():
    explained = PAGE.read_text()

    assert all(f"**{law.name}**" in explained for law in LAWS)
