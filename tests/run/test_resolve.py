"""What a suite names, made complete: plugins beside it, models with their defaults, and errors with their lines."""

from __future__ import annotations

import pytest

from pabench.errors import SuiteError
from pabench.run import resolve
from pabench.run.session import Options, Session

from .conftest import FOUR, ONE_SEED, SUITE, run, write
from .test_tasks import PLUGIN


@pytest.mark.usefixtures("fresh_registry")
def test_a_broken_file_beside_a_suite_matters_only_to_who_names_it(tmp_path):
    (tmp_path / "criteria").mkdir()
    (tmp_path / "criteria" / "half_saved.py").write_text("def score(")
    suite = write(tmp_path, ONE_SEED.replace(FOUR, "random"))

    assert run(suite, tmp_path / "out")[0] == 0
    with pytest.raises(SuiteError, match=r"'half_saved' could not be loaded: .*half_saved.py: line 1: SyntaxError"):
        Session.open(Options(suite=str(write(tmp_path, ONE_SEED.replace(FOUR, "half_saved")))))


@pytest.mark.usefixtures("fresh_registry")
def test_plugins_are_relative_to_the_suite_and_not_to_where_one_stands(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "theirs.py").write_text(PLUGIN.format(body="return dict(ctx.kept)"))
    write(tmp_path / "deep", ONE_SEED.replace(FOUR, "theirs") + "plugins: [theirs.py]\n")
    monkeypatch.chdir(tmp_path)

    assert len(Session.open(Options(suite="deep/study.yaml", device="cpu")).cells) == 3


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("train_per_class: 5000", "train_per_class: class 8 has 139 images, 5000 per class are needed"),
        ("test_per_class: 900", "test_per_class: class 2 has 35 images, 900 per class are needed"),
        ("held_out_per_class: 130, train_per_class: 20", "train_per_class, those held out aside: class 8 has 9 images"),
    ],
)
def test_more_images_of_a_class_than_it_has_are_an_error_of_the_suite(tmp_path, asked, found):
    """Every cell would fail by it."""
    text = ONE_SEED.replace("train_per_class: 20, test_per_class: 10", asked)
    with pytest.raises(SuiteError, match=rf"study.yaml:\d+:\d+: datasets.0: digits: {found}"):
        Session.open(Options(suite=str(write(tmp_path, text)), device="cpu"))


ZERO = SUITE.replace("[lenet_300_100]", "[{name: test_resnet, args: {zero_init_last: true}}]").replace(FOUR, "snip")


def test_zero_initialised_batchnorms_are_switched_off_by_default_and_in_the_key(tmp_path):
    text = ZERO.replace(", args: {zero_init_last: true}", "")
    by_default = Session.open(Options(suite=str(write(tmp_path, text)), device="cpu")).cells
    asked_for = Session.open(Options(suite=str(write(tmp_path, ZERO)), device="cpu")).cells

    assert {c.model.args["zero_init_last"] for c in by_default} == {False}
    assert not {c.key for c in by_default} & {c.key for c in asked_for}


def test_parameter_errors_name_the_line_of_the_suite(tmp_path):
    text = SUITE.replace("steps: 3", "stepz: 3").replace("random,", "random, {name: snp},")

    with pytest.raises(SuiteError) as error:
        Session.open(Options(suite=str(write(tmp_path, text))))

    lines = str(error.value).splitlines()
    assert len(lines) == 2
    assert "study.yaml:5:" in lines[0]
    assert "did you mean 'snip'?" in str(error.value)
    assert "did you mean 'steps'?" in str(error.value)


def test_a_study_that_has_begun_keeps_the_precision_that_auto_meant_then(tmp_path, monkeypatch):
    """Somebody goes on with it on a machine where `auto` means bfloat16: the same cells, and no others."""
    suite = str(write(tmp_path, SUITE))

    def opened(folder):
        return Session.open(Options(suite=suite, device="cpu", output=tmp_path / folder, allow_env_drift=True))

    first = opened("out")
    first.begin()
    monkeypatch.setattr(resolve, "automatic", lambda device, pixels: "bfloat16")

    assert {c.recipe.precision for c in first.cells} == {"float32"}
    assert [c.key for c in opened("out").cells] == [c.key for c in first.cells]
    assert {c.recipe.precision for c in opened("another").cells} == {"bfloat16"}
