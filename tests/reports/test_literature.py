"""Published figures beside ours: which correspond, what differs, and that no agreement is claimed."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest
from pabench_reports import correspondence, literature, publication
from pabench_reports.literature import against, beside, nearest
from pabench_reports.publication import Literature, Quoted

from pabench.report import frame

from ..synthetic import CRITERIA, cells, failed, manifest, record

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


def test_the_difference_is_ours_minus_the_papers():
    """91, 92, 93 against 89.0, SD 0.2 over 3: +3; error 0.5888, 2.16 degrees of freedom, t = 4.012."""
    found = against([91.0, 92.0, 93.0], FIGURE)

    assert (found.mean, found.method, found.n) == (3.0, "two samples", 6)
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


def test_doctests_hold():
    for module in (correspondence, literature, publication):
        assert doctest.testmod(module).failed == 0
