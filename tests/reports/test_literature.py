"""Published figures beside ours: which correspond, what differs, and that no agreement is claimed."""

from __future__ import annotations

import doctest
from dataclasses import replace
from importlib.resources import files

import pytest
from pabench_reports import correspondence, literature, publication
from pabench_reports.correspondence import corresponds, differences, same_sparsity
from pabench_reports.literature import against, beside, nearest
from pabench_reports.publication import COLUMNS, Literature, Quoted, read, shipped

from pabench.report import frame
from pabench.suite.specs import CriterionSpec, DatasetSpec, ModelSpec

from ..synthetic import CRITERIA, cells, failed, manifest, record

HEADER = ",".join(COLUMNS)
LINE = 'SynFlow,2006.05467,Fig. 6,cifar10,lottery_vgg11_bn,snip,0.9,"top1 %, BEST epoch",89.5,0.2,3,decoded,'
FIGURE = Quoted(2, "A", "1", "T", "cifar10", "lottery_vgg11_bn", "snip", 0.9, "top1", 89.0, 0.2, 3, "seen", "")


def study(expected, **changed):
    return frame.study(manifest(expected), {c.key: changed.get("make", record)(c) for c in expected})


def section(of):
    return literature.Published().render(of)


def grid(**axes):
    return cells([CRITERIA["random"], CRITERIA["snip"]], **{"models": ["vgg11_cifar"], "sparsities": [0.9], **axes})


def cell(criterion="snip", sparsity=0.9, **changes):
    found = next(c for c in grid(sparsities=[sparsity]) if c.criterion and c.criterion.name == criterion)
    return replace(found, **changes).to_json()


def test_the_shipped_files_hold_on_every_line():
    """Where it fails: mend the line that is named."""
    found = shipped()

    assert found.problems == ()
    assert len(found.figures) >= 1357
    known = {(f.source, f.table, f.dataset, f.model) for f in found.figures}
    assert set(found.recipes) <= known  # a recipe of no figure is a slip of the pen


def test_the_shipped_recipes_are_of_keys_that_cells_have():
    one = cell()
    for recipe in shipped().recipes.values():
        assert set(recipe.training) <= {*one["recipe"], *one["recipe"]["augment"]}
        assert set(recipe.training) <= set(correspondence.TRAINING)
        assert {key for known in recipe.scoring.values() for key in known} <= set(correspondence.SCORING)


def test_how_a_figure_was_read_is_told_from_its_metric_and_selection():
    def reading(metric, selection=""):
        return replace(FIGURE, metric=metric, selection=selection).reading

    assert reading("top1 test acc %, BEST epoch") == "best epoch"
    assert reading("top1 test acc %", "best test epoch, according to the official code") == "best epoch"
    assert reading("top1 test acc %, FINAL epoch (epoch 160)") == "last epoch"
    assert reading("top1 test acc %") == "unstated"
    assert reading("top-1 accuracy DROP vs dense") == "drop"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (LINE.replace("89.5", "abc"), "mean: 'abc' is no number"),
        (LINE.replace("89.5", ""), "mean: '' is no percentage"),
        (LINE.replace("89.5", "895"), "mean: '895' is no percentage"),
        (LINE.replace("89.5", "nan"), "mean: 'nan' is no number"),
        (LINE.replace(",0.9,", ",90,"), "sparsity: 90 is not in [0, 1)"),
        (LINE.replace(",0.2,", ",-0.2,"), "std: -0.2 is negative"),
        (LINE.replace(",3,decoded", ",2.5,decoded"), "seeds: 2.5 is no number of trainings"),
        (LINE.replace("decoded", ""), "how_obtained: is empty"),
        (LINE + ",more", "14 fields, expected 13"),
        ("SynFlow", "1 fields, expected 13"),
        (LINE, "the same figure stands on line 2, which is used"),
        (LINE.replace('"top1', '"top1"x'), "the lines after it are not read"),
    ],
)
def test_a_broken_line_is_named_and_costs_no_other(line, told):
    found = read(f"{HEADER}\n{LINE}\n{line}\n".encode())

    assert found.figures[0].line == 2
    assert any(p.startswith("published.csv:3: ") and told in p for p in found.problems), found.problems


def test_what_is_said_not_to_be_used_is_not_used():
    """One figure on two lines, and another sparsity of it; two whose sparsity nobody knows may be two figures."""
    unknown = LINE.replace(",0.9,", ",,")
    found = read(
        "\n".join([HEADER, LINE, LINE.replace("89.5", "88"), LINE.replace("0.9,", "0.8,"), unknown, unknown]).encode()
    )

    assert [(figure.line, figure.mean) for figure in found.figures] == [(2, 89.5), (4, 89.5), (5, 89.5), (6, 89.5)]
    assert len(found.problems) == 1


def test_a_file_with_other_columns_is_refused_by_their_names():
    found = read(f"{HEADER.replace('seeds', 'runs')}\n{LINE}\n".encode())

    assert (found.figures, len(found.problems)) == ((), 1)
    assert found.problems[0].endswith("wrong: runs, seeds")
    assert read(b"").figures == ()


def test_columns_may_stand_in_any_order_after_a_mark_of_byte_order():
    turned = ["mean", *(c for c in COLUMNS if c != "mean")]
    values = dict(zip(COLUMNS, LINE.replace('"top1 %, BEST epoch"', "BEST epoch").split(","), strict=True))

    (figure,) = read(f"{','.join(turned)}\n{','.join(values[c] for c in turned)}\n".encode("utf-8-sig")).figures

    assert (figure.mean, figure.seeds, figure.arxiv) == (89.5, 3, "2006.05467")


@pytest.mark.parametrize(
    ("published", "ours", "same"),
    [
        (0.98221721, 0.98, False),  # keeps 1.78 %, not 2 %
        (0.98221721, 0.982, True),  # 1.78 % and 1.8 %: rounding explains it
        (0.98221721, 0.983, False),
        (0.98221721, 0.98221721, True),
        (0.99437659, 0.994, False),
        (0.99437659, 0.9944, True),
        (0.9, 0.9, True),
        (0.9822, 0.98221721, True),
        (0.9, 0.91, False),
        (0.0, 0.0, True),
        (None, 0.9, False),
    ],
)
def test_sparsities_correspond_as_far_as_rounding_explains(published, ours, same):
    assert same_sparsity(published, ours) is same


def test_names_of_papers_are_found_by_their_aliases():
    assert corresponds(FIGURE, cell())
    assert not corresponds(replace(FIGURE, model="lottery_vgg16_bn"), cell())
    assert not corresponds(replace(FIGURE, dataset="cifar100"), cell())
    assert not corresponds(replace(FIGURE, criterion="OBD"), cell())
    tiny = cell(dataset=DatasetSpec("tiny_imagenet"), model=ModelSpec("resnet18", stem="cifar"))
    assert corresponds(replace(FIGURE, dataset="tinyimagenet", model="resnet18"), tiny)
    assert not corresponds(replace(FIGURE, model="tiny_wide_resnet18"), cell(model=ModelSpec("resnet18")))


def test_a_variant_corresponds_and_says_in_what_it_scores_otherwise():
    """Synaptic-Flow scores with stored BatchNorm statistics: our own default differs, our variant of it does not."""
    figure = next(
        f
        for f in shipped().figures
        if (f.table, f.model, f.criterion, f.sparsity) == ("Fig. 6", "lottery_vgg11_bn", "grasp", 0.9)
    )
    recipe = shipped().recipe(figure)
    own = CriterionSpec("grasp", args={"bn": "train", "steps": 1, "examples_per_class": 10})
    theirs = CriterionSpec("grasp@synaptic-flow", args={"bn": "eval", "steps": 1, "examples_per_class": 10})

    assert corresponds(figure, cell(criterion="random") | {"criterion": theirs.identity()})
    told = {s.name: list(differences(figure, recipe, cell() | {"criterion": s.identity()}, 3)) for s in (own, theirs)}
    assert "BatchNorm while scoring: eval there, train here" in told["grasp"]
    assert not [t for t in told["grasp@synaptic-flow"] if "while scoring" in t]
    assert "milestones: 60 and 120 there, 80 and 120 here" in told["grasp"]
    assert "Nesterov: yes there, no here" in told["grasp"]


def test_a_part_of_the_images_is_named_with_its_number():
    """300 of each of 10 classes: 3,000 of CIFAR-10's 50,000."""
    part = DatasetSpec("parquet", {"title": "cifar10", "train_per_class": 300, "test_per_class": 200})

    told = list(differences(FIGURE, None, cell(dataset=part), 3))

    assert corresponds(FIGURE, cell(dataset=part))
    assert "training images: 50,000 there, 3,000 here (300 a class)" in told
    assert "test images: 10,000 there, 2,000 here (200 a class)" in told
    assert any("called cifar10 by its title" in text for text in told)
    assert any("training recipe is not in our table" in text for text in told)


def test_at_sparsity_0_every_criterion_is_the_dense_baseline():
    dense = grid()[0].to_json()

    assert corresponds(replace(FIGURE, sparsity=0.0), dense)
    assert not corresponds(replace(FIGURE, sparsity=0.9), dense)


def test_the_difference_is_ours_minus_the_papers():
    """91, 92, 93 against 89.0, SD 0.2 over 3: +3; error 0.5888, 2.16 degrees of freedom, t = 4.012."""
    found = against([91.0, 92.0, 93.0], FIGURE)

    assert (found.mean, found.method, found.n) == (3.0, "Welch", 6)
    assert found.half == pytest.approx(2.362, abs=1e-3)
    assert against([92.0], FIGURE).low is None
    assert against([91.0, 93.0], replace(FIGURE, std=None)).low is None


def test_figures_stand_beside_the_mean_of_finished_seeds():
    only = Literature((FIGURE, replace(FIGURE, line=3, sparsity=0.95)))

    def some(cell):
        return failed(cell) if cell.seed == 2 else record(cell)

    expected = grid()
    (source,) = beside(study(expected, make=some), only)

    (row,) = source.rows
    mine = [record(c)["result"]["top1"] for c in expected if c.criterion and c.criterion.name == "snip"][:2]
    assert (row.criterion, row.ours.n, row.planned) == ("snip", 2, 3)
    assert row.ours.mean == pytest.approx(sum(mine) / 2)
    assert row.difference.mean == pytest.approx(sum(mine) / 2 - 89.0)
    assert "trainings: 3 there, 2 here" in row.differs


def test_a_study_that_nothing_corresponds_to_is_told_what_there_is():
    (near,) = nearest(study(grid(sparsities=[0.8])), Literature((FIGURE,)))

    assert (near.known_as, near.criteria, near.sparsities, near.in_study) == ("vgg11_cifar", "snip", "90 %", True)


def test_the_page_marks_best_epochs_and_claims_no_agreement():
    page = section(study(grid()))

    assert "best epoch on test data: not comparable" in page
    assert "arXiv:2006.05467" in page
    assert "verbatim source: decoded ganguli-lab/Synaptic-Flow" in page
    assert "no reproduction" in page


def test_a_study_of_other_data_has_no_such_section():
    assert section(study(cells([CRITERIA["random"]], datasets=["digits"], models=["resnet20"], seeds=1))) is None


def test_a_broken_line_of_the_file_is_told_on_the_page(monkeypatch):
    monkeypatch.setattr(
        literature, "shipped", lambda: Literature((), {}, ("published.csv:7: mean: '<b>' is no number",))
    )

    assert "published.csv:7: mean: &#39;&lt;b&gt;&#39; is no number" in section(study(grid(seeds=1)))


def test_the_files_are_part_of_the_package():
    assert {"published.csv", "published_recipes.csv"} <= {p.name for p in files("pabench_reports").iterdir()}


def test_doctests_hold():
    for module in (correspondence, literature, publication):
        assert doctest.testmod(module).failed == 0
