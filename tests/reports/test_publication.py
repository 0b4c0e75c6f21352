"""Published figures are read strictly, line by line."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

import pytest
from pabench_reports.publication import COLUMNS, read, shipped

from .test_literature import FIGURE

HEADER = ",".join(COLUMNS)
LINE = 'SynFlow,2006.05467,Fig. 6,cifar10,lottery_vgg11_bn,snip,0.9,"top1 %, BEST epoch",89.5,0.2,3,decoded,'


def test_the_shipped_files_hold_on_every_line():
    """Where it fails: mend the line that is named."""
    found = shipped()

    assert found.problems == ()
    assert len(found.figures) >= 1356
    known = {(f.source, f.table, f.dataset, f.model) for f in found.figures}
    assert set(found.recipes) <= known  # a recipe of no figure is a slip of the pen


def test_every_shipped_figure_says_which_epoch_it_is_and_a_quoted_one_which_document_it_is_from():
    for figure in shipped().figures:
        assert figure.selection.startswith(("maximum over epochs", "best test epoch", "last epoch", "not stated"))
        assert figure.reading == "last epoch" or not figure.selection.startswith("last epoch"), figure.line
        assert figure.reading in ("unstated", "drop") or figure.selection != "not stated", figure.line
    quoted = [figure.how_obtained for figure in shipped().figures if figure.how_obtained.startswith("secondary")]
    assert len(quoted) == 49
    assert all("HaroonKhawaja/BaCP@e5c02ff docs/published_comparators.md" in text for text in quoted)


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


def test_the_files_are_part_of_the_package():
    assert {"published.csv", "published_recipes.csv"} <= {p.name for p in files("pabench_reports").iterdir()}
