"""The papers of criteria, and what a page offers to cite them by."""

from __future__ import annotations

import doctest
import re

from pabench.report import papers
from pabench.source import declared


def test_every_built_in_criterion_has_an_address_and_an_entry_that_names_it():
    for name in declared():
        found = papers.paper(name)
        number = found.name.removeprefix("arXiv:")
        assert number in found.address
        assert f"{{{number}}}" in found.bibtex
        assert re.fullmatch(r"@\w+{\w+,\n(  \w+ = {.*},\n)+  \w+ = {.*}\n}\n", found.bibtex)
        assert re.fullmatch(r".+ (19|20)\d\d", found.cited)


def test_a_variant_has_the_paper_of_its_criterion_and_a_stranger_has_none():
    assert papers.paper("grasp@official") == papers.paper("grasp")
    assert papers.paper("mine") == papers.Paper()
    assert papers.paper("mine").cited == ""


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(papers).failed == 0
