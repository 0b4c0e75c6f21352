"""What `pabench diff` prints: the verdict for each exit code, and lists that end where a terminal's patience does."""

from __future__ import annotations

import pytest

from pabench.cli.difference import SHOWN, difference_text
from pabench.report.difference import Altered, Change, Difference, Older
from pabench.statistics.contrast import Contrast
from pabench.statistics.intervals import Interval

NOTHING = Difference("a", "b", (), (), (), (0, 0), 0, 0, (), (), (), (), 0, ())


def found(**what):
    return Difference(**{**vars(NOTHING), **what})


def contrast(mean, p, *, identical=False, paired=True, low=None, high=None):
    change = Interval(mean, low, high, 3, "t")
    return Contrast("cifar10", "resnet20", "snip", "", 0.9, change, paired, identical, p)


def altered(environment=""):
    return Altered("snip 90 % / seed 0", "k", ("top-1",), 70.0, 71.5, 0.2, environment)


@pytest.mark.parametrize(
    ("what", "code", "verdict"),
    [
        ({}, 4, "none: no finished cells correspond (same dataset, model, criterion, sparsity)"),
        ({"contrasts": (contrast(0.0, None, identical=True),)}, 0, "the same: every accuracy that both have is equal"),
        ({"contrasts": (contrast(0.5, 0.2),)}, 0, "not separable: no change beyond noise was found, which proves no"),
        ({"contrasts": (contrast(0.5, 0.01),)}, 3, "different: 1 change of accuracy beyond noise"),
        ({"contrasts": (contrast(0.5, None),)}, 4, "none: with so few seeds nothing can be tested"),
        ({"altered": (altered(),)}, 3, "different: 1 cell of one key with two results"),
        ({"altered": (altered("torch 2.11 -> 2.14"),), "contrasts": (contrast(0.5, 0.2),)}, 0, "not separable"),
    ],
)
def test_the_last_line_is_the_verdict_that_the_exit_code_stands_for(what, code, verdict):
    one = found(**what)

    assert one.code == code
    assert difference_text(one).splitlines()[-1].startswith(f"verdict: {verdict}")


def test_a_change_has_its_interval_its_pairs_and_its_p():
    text = difference_text(found(contrasts=(contrast(0.5, 0.013, low=0.25, high=0.75),)))

    assert "  cifar10 / resnet20 / snip 90 %: +0.50 (+0.25 to +0.75, n = 3, paired, p = 0.013): higher" in text
    assert "change of top-1, second minus first, points, 95 % interval; Holm over 1 comparison:" in text


def test_what_is_beyond_noise_comes_first():
    changes = (contrast(0.1, 0.5), contrast(0.2, None), contrast(-3.0, 0.001))

    told = [line for line in difference_text(found(contrasts=changes)).splitlines() if line.startswith("  cifar10")]

    assert [line.rpartition(": ")[2] for line in told] == ["lower", "not separable", "not tested"]


def test_two_results_of_one_key_say_where_they_ran():
    here = difference_text(found(altered=(altered(),)))
    elsewhere = difference_text(found(altered=(altered("torch 2.11 -> 2.14"),)))

    assert (
        "snip 90 % / seed 0: top-1 70.00 -> 71.50 (+1.50, seed SD 0.20); differs: top-1; ran on equal versions" in here
    )
    assert "one key and two results on other machines or versions, which may be why:" in elsewhere
    assert "; ran on torch 2.11 -> 2.14" in elsewhere


def test_long_lists_end_in_a_count():
    """12 lines of a kind, and how many there are beside them."""
    lines = difference_text(found(unlike=tuple(f"cell {n}" for n in range(SHOWN + 5)))).splitlines()

    assert sum(line.startswith("    cell ") for line in lines) == SHOWN
    assert "    and 5 more (--json)" in lines


def test_how_the_studies_were_made_is_told_side_by_side():
    text = difference_text(found(changes=(Change("torch", "2.11", ""),), older=(Older("right", "a", 2),)))

    assert "made differently:\n  torch: 2.11 -> –" in text
    assert "  right: not in a (2 cells)" in text
    assert "made alike: suite, recipe, data, criteria, versions" in difference_text(NOTHING)
