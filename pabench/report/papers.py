"""The papers of built-in criteria: where they are found, and how they are cited."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pabench.source import declared

ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


@dataclass(frozen=True)
class Paper:
    """What a criterion's class calls its paper (`name`), its `address` and BibTeX entry ("" for none), and how a text
    cites it."""

    name: str = ""
    address: str = ""
    bibtex: str = ""

    @property
    def cited(self) -> str:
        """Authors and year, its name where no entry tells them.

        >>> paper("snip").cited, paper("phew").cited, Paper("a book").cited
        ('Lee et al. 2019', 'Patil & Dovrolis 2021', 'a book')
        """
        authors, year = (re.search(rf"^  {field} = {{(.*)}},?$", self.bibtex, re.M) for field in ("author", "year"))
        if not authors or not year:
            return self.name
        names = [_last(name) for name in authors[1].split(" and ")]
        who = " & ".join(names) if len(names) < 3 and names[-1] != "others" else f"{names[0]} et al."
        return f"{who} {year[1]}"


def paper(criterion: str) -> Paper:
    """That of a built-in criterion or variant of one (`grasp@official`); an empty one for a criterion of others."""
    name = criterion.partition("@")[0]
    named = declared()[name].paper if name in declared() else ""
    return Paper(named, address(named), _entries().get(named, ""))


def address(name: str) -> str:
    """Where a paper is found; "" for one without an address.

    >>> address("arXiv:1810.02340"), address("a book")
    ('https://arxiv.org/abs/1810.02340', '')
    """
    if match := ARXIV.fullmatch(name):
        return f"https://arxiv.org/abs/{match[1]}"
    return name if re.fullmatch(r"https://[\w./?=&%-]+", name) else ""


@cache
def _entries() -> dict[str, str]:
    """The entries of `criteria/papers.bib` by what classes call their paper: an arXiv number or an address."""
    text = (files("pabench_criteria") / "papers.bib").read_text(encoding="utf-8")
    found = {}
    for entry in re.findall(r"^@.*?^}$", text, re.M | re.S):
        number, url = (re.search(rf"^  {field} = {{(.*)}},?$", entry, re.M) for field in ("eprint", "url"))
        found[f"arXiv:{number[1]}" if number else url[1] if url else ""] = f"{entry}\n"
    return found


def _last(name: str) -> str:
    """
    >>> _last("Pau de Jorge"), _last("Ivo {Gollini Navarrete}")
    ('de Jorge', 'Gollini Navarrete')
    """
    if braced := re.search(r"{([^{}]{2,})}$", name):
        return braced[1]
    words = name.split()
    return " ".join(words[next((i for i, word in enumerate(words) if word[0].islower()), -1) :])
