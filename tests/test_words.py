"""Words for numbers, and names that cannot write to a terminal."""

from __future__ import annotations

import doctest

from pabench import words
from pabench.words import plain


def test_terminal_escapes_and_broken_unicode_are_stripped():
    assert plain("a\x1b[31mb\x1b]0;title\x07c\x00\ud800\n") == "abc?\n"


def test_doctests_of_the_wording_hold():
    assert doctest.testmod(words) == (0, 14)
