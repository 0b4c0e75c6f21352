"""The reviewer's checklist as a whole: its page, its table, and what it says of a study without a record."""

from __future__ import annotations

from pabench_reports import checklist, conduct, coverage
from pabench_reports.answer import SOURCES
from pabench_reports.checklist import answers

from pabench.report.folders import read
from pabench.suite.specs import CriterionSpec

from ..synthetic import battery, collapsed
from .reviewed import RULES, named, states, study, where


def test_all_questions_are_asked_once():
    of = study(seeds=1)

    assert len(answers(of)) == len({one.question for one in answers(of)}) == 33
    assert {one.question for one in (*coverage.answers(of), *conduct.answers(of))} == {
        one.question for one in answers(of)
    }


def test_nothing_is_claimed_of_a_study_without_a_record():
    found = states(study(make=lambda cell: None))

    assert found["Does every pruned cell name its mask by a hash, so that anybody can check it?"] == "not applicable"
    assert found["Are all cells computed by the same libraries?"] == "not applicable"
    assert found["Is every planned cell finished, and none left out?"] == "missing"
    assert found["Can every criterion score every model (the doctor's findings before training)?"] == "not applicable"


def test_the_page_says_missing_in_words_and_with_a_sign():
    html = checklist.Checklist().render(study(RULES, seeds=1, models=["resnet20"]))

    assert '<td class="status failed">✗ missing</td>' in html
    assert '<td class="status ok">✓ met</td>' in html
    assert all(title in html for title in SOURCES.values())
    assert html.index("✗ missing") < html.index("✓ met")


def test_the_latex_table_has_a_line_for_every_answer_and_no_command_of_a_name():
    hostile = CriterionSpec("a_b}\\input{/etc/passwd}%", version=1)
    of = study([*RULES, hostile], seeds=1, models=["resnet20"], make=where(named(hostile.name), collapsed))

    made = checklist.table(of)

    assert made.count(r" \\" + "\n") == len(answers(of)) + 1
    assert r"\textcolor{red}{missing}" in made
    assert "\\input" not in made
    assert r"a\_b\}\textbackslash{}input\{/etc/passwd\}\%" in made


def test_the_checklist_asks_for_the_battery():
    def states(study):
        asked = ("Is each mask", "Is each ranking")
        return {one.question: one.state for one in answers(study) if one.question.startswith(asked)}

    assert set(states(battery()).values()) == {"met"}
    assert list(states(battery(["shuffle"])).values()) == ["met", "missing", "missing"]


def test_of_several_trainings_the_first_is_looked_at_and_no_seed_counts_twice(trained):
    study = read(trained)
    assert checklist.answers(study) == checklist.answers(study.under("plain"))
    assert checklist.Checklist().table(study) == checklist.Checklist().table(study.under("plain"))
