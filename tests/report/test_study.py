"""A study as its results folder tells it: environments, pairing and columns of metrics."""

from __future__ import annotations

from dataclasses import replace

from pabench.report import frame

from ..synthetic import CRITERIA, ENVIRONMENT, cells, manifest, study_of


def test_the_environments_are_those_of_the_records_and_without_any_the_studys_own():
    expected = cells([CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=2)
    bare = frame.study({**manifest(expected), "environment": {"torch": "1"}}, {})

    assert study_of(expected).environments == [ENVIRONMENT] * 4
    assert bare.environments == [{"torch": "1"}]


def test_an_ablation_is_paired_with_its_like_in_the_part_that_it_changes_alone():
    """Re-drawn weights are like one another; the order of images is that of all cells of the block."""
    expected = cells([CRITERIA["snip"]], models=["resnet20"], sparsities=[0.9], seeds=1, ablations=["reinit"])

    found = study_of(expected).pairing.set_index(["key", "part"])["like"]

    redrawn = next(cell for cell in expected if cell.ablation)
    assert (found[redrawn.key, "weights"], found[redrawn.key, "order"]) == ("reinit", "")
    assert set(found.drop(redrawn.key, level="key")) == {""}


def test_columns_of_a_metric_are_those_of_its_name_or_below_it():
    made = study_of(cells([CRITERIA["snip"]], models=["resnet20"], seeds=1))
    wide = replace(made, frame=made.frame.assign(**{"ntk": 0.0, "ntk.trace": 0.0, "ntkx": 0.0}))

    assert wide.columns("ntk") == ["ntk", "ntk.trace"]


def test_each_model_has_its_board_and_so_have_all_of_them_together():
    made = study_of(cells([CRITERIA["snip"], CRITERIA["random"]], sparsities=[0.9], seeds=2))

    assert {title: found.strata for title, found in made.boards.items()} == {
        "cifar10 · resnet20": ("cifar10 · resnet20",),
        "cifar10 · vgg11_bn": ("cifar10 · vgg11_bn",),
        "": ("cifar10 · resnet20", "cifar10 · vgg11_bn"),
    }
