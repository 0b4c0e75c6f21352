"""The overview: how many cells there are, and what is wrong with them."""

from __future__ import annotations

from html import unescape

from pabench_reports.overview import Overview

from pabench.report import frame
from pabench.report.conclusion import conclusion

from ..synthetic import battery, cells, collapsed, failed, record, study_of


def test_the_first_screen_says_the_conclusion_and_folds_what_is_wrong():
    study = study_of(cells(models=["resnet20"], seeds=3), snip=collapsed)
    said = conclusion(study)

    html = unescape(Overview().render(study))

    assert f'<p class="found">{said.found}</p>' in html
    assert said.detects.said in html
    assert said.detects.basis in html
    assert said.evidence in html
    assert "failed or skipped" not in Overview().render(battery())


def test_cells_that_should_be_paired_and_are_not_are_told_at_the_top():
    study = study_of(cells(models=["resnet20"], seeds=3))
    key = study.frame.loc[(study.frame["criterion"] == "snip") & (study.frame["seed"] == 1), "key"].iloc[0]
    other = {**study.records[key], "pairing": {**study.records[key]["pairing"], "weights": "e" * 64}}

    html = Overview().render(frame.study(study.manifest, {**study.records, key: other}))

    assert "Initial weights differ within 1 of 3 blocks: what is called paired there is not." in html
    assert "differ within" not in Overview().render(study)


def test_failures_and_collapses_are_told_at_the_top_with_their_rates():
    study = study_of(
        cells(models=["resnet20"], sparsities=[0.9], seeds=4),
        snip=lambda c: failed(c) if c.seed == 0 else record(c),
        grasp=lambda c: collapsed(c) if c.seed < 2 else record(c),
        magnitude=lambda c: {**failed(c), "kind": "timeout"},
    )

    html = Overview().render(study)

    assert "snip: failed by itself in 1 of 4 blocks, 25 % [0.6, 80.6]" in html
    assert "grasp: 2 of 4 cells collapsed to chance" in html
    assert "magnitude: failed by itself" not in html
