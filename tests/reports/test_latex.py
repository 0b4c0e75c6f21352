"""Text for LaTeX: nothing in a name is a command."""

from __future__ import annotations

import doctest
import re

from pabench_reports import latex
from pabench_reports.latex import escape, table


def test_every_special_character_of_latex_stands_for_itself():
    assert escape(r"\input{x} ~^&%$#_{}") == (
        r"\textbackslash{}input\{x\} \textasciitilde{}\textasciicircum{}\&\%\$\#\_\{\}"
    )


def test_a_name_cannot_end_its_line_or_its_table():
    hostile = "a\\\\\n\\end{tabular}\x1b[31m% \u2028b"

    made = table("ll", ["name", "n"], [[hostile, 1]], comment="one\ntwo")

    assert made.count("\\end{tabular}") == 1
    lines = made.splitlines()
    assert len(lines) == 8
    assert lines[0] == "% one two"
    # every percent sign of the body is escaped, or it would hide the rest of the line
    assert all(not re.search(r"(?<!\\)%", line) for line in lines[1:])


def test_a_cell_that_begins_with_a_bracket_is_no_argument_of_the_line_break():
    assert r"{[1, 2]} & 3 \\" in table("ll", ["a", "b"], [["[1, 2]", 3]])


def test_signs_of_the_page_have_their_latex():
    assert escape("−1.5 ± 0.2 – 3 × 2") == r"\(-\)1.5 \(\pm\) 0.2 -- 3 \(\times\) 2"


def test_greek_names_are_set_in_any_latex():
    assert escape("α-SNIP, Ω") == r"\(\alpha\)-SNIP, \(\Omega\)"


def test_doctests_hold():
    assert doctest.testmod(latex).failed == 0
