"""The section on trainings: a table where there are several, nothing where there is one."""

from __future__ import annotations

import re

from pabench_reports.cells import table
from pabench_reports.trainings import Trainings

from pabench.report.folders import read


def test_a_table_has_a_row_for_each_training_but_the_first(trained):
    html = Trainings().render(read(trained))
    assert re.findall(r'<th scope="row">(.*?)</th>', html) == ["signin", "rigl (every=2)", "set (layers=free)"]
    assert '<th scope="col">90 %</th>' in html
    assert len(re.findall(r"<td>-?\d\.\d\d</td>|<td>–</td>", html)) == 3


def test_a_study_of_one_training_has_no_such_section(results):
    assert Trainings().render(read(results)) is None


def test_the_table_of_cells_names_the_training_and_the_command_picks_it(trained):
    made = table(read(trained))
    places = {name: place for place, name in enumerate(made["criterion"])}
    assert made["only"]["criterion"][places["snip / signin"]] == "criterion=snip --only train=signin"
    assert made["only"]["criterion"][places["snip"]] == "criterion=snip --only train=plain"
    assert made["only"]["criterion"][places["dense"]] == "criterion=dense"
