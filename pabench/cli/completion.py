"""What the Tab key offers for arguments and options. No plugin is imported, and no torch, which takes seconds.

Where nothing is offered the shell completes files and folders itself, so that a name and a path can stand in one place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from pabench import catalogue

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]*")
"""What is offered: the scripts of some shells evaluate it, and files of the working directory may be anybody's."""
Offers = list[tuple[str, str]]
"""Words, each with what it is: shells that can show that do."""


def suites(incomplete: str) -> Offers:
    """Suites that ship, and files of the working directory beside them."""
    files = [(path.name, "a file here") for path in sorted(Path().glob("[!.]*.y*ml"))]
    return _begun([*((name, "comes with pabench") for name in catalogue.suites()), *files], incomplete)


def criteria(incomplete: str) -> Offers:
    """Criteria and their variants, those of `criteria/` in the working directory among them."""
    known = catalogue.built_in("criteria").known.values()
    named = [(name, one.about) for one in known for name in (one.name, *one.variants)]
    return _begun([*named, *((name, "in criteria/ here") for name in catalogue.here())], incomplete)


def datasets(incomplete: str) -> Offers:
    """Built-in datasets."""
    return _begun([(one.name, one.about) for one in catalogue.built_in("datasets").known.values()], incomplete)


def models(incomplete: str) -> Offers:
    """Networks of the papers, then timm's."""
    own_first = sorted(catalogue.models().items(), key=lambda entry: entry[1] != "pabench")
    return _begun(own_first, incomplete)


def devices(incomplete: str) -> Offers:
    """Kinds of devices, whether they are here or not: asking takes torch."""
    return _begun([(name, "") for name in ("auto", "cpu", "cuda", "mps")], incomplete)


def engines(incomplete: str) -> Offers:
    """Engines that are installed."""
    from pabench import registry

    return _begun([(entry.name, "") for entry in registry.installed().select(group="pabench.engines")], incomplete)


def _begun(offers: Iterable[tuple[str, str]], incomplete: str) -> Offers:
    return [(word, told) for word, told in offers if word.startswith(incomplete) and WORD.fullmatch(word)]
