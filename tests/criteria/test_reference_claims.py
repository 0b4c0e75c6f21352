"""What criteria say they were compared with, held against the results that are stored and the tests that read them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pabench import registry
from pabench.cli.plugins import reference
from pabench.diagnostics.oracle import index

from ..conftest import REFERENCE

CODE = re.compile(r"([\w.-]+/[\w.-]+) at ([0-9a-f]{7})\b")
CLAIMS = {name: reference(cls) for name, cls in registry.group("criteria").classes.items()}
BUILT_IN = sorted(
    name for name, cls in registry.group("criteria").classes.items() if "pabench_criteria" in cls.__module__
)


def results_of(repository: str, commit: str) -> set[str]:
    """Stored results of this code, without the letter of their case."""
    found = set()
    for path in REFERENCE.glob("*.npz"):
        with np.load(path) as file:
            meta = json.loads(str(file["meta"])) if "meta" in file else {}
        if (meta.get("repo"), meta.get("commit")) == (repository, commit):
            found.add(re.sub("^[a-z]__", "", path.stem))
    return found


def read_by_tests(criterion: str) -> set[str]:
    """Stored results that the tests of a criterion read: by the index, or by name in files that speak of it."""
    indexed = {entry.file for entry in index(REFERENCE) if entry.criterion.partition("@")[0] == criterion}
    texts = [path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path.name != Path(__file__).name]
    named = {path.stem.split("__")[-1] for path in REFERENCE.glob("*.npz")}
    own = [text for text in texts if re.search(rf"\b{criterion}(@|\b)", text)]
    return indexed | {name for name in named if any(name in text for text in own)}


@pytest.mark.parametrize("criterion", BUILT_IN)
def test_a_criterion_that_claims_code_has_results_of_it_that_a_test_reads(criterion):
    code = CODE.findall(CLAIMS[criterion])

    assert code or CLAIMS[criterion].startswith("the formula alone")
    for repository, commit in code:
        assert results_of(repository, commit) & read_by_tests(criterion), f"{criterion}: {repository} at {commit}"


def test_every_stored_result_is_claimed():
    """Official results of a code that no criterion names would be a comparison that nobody hears of."""
    claimed = {code for claim in CLAIMS.values() for code in CODE.findall(claim)}
    stored = set()
    for path in REFERENCE.glob("*.npz"):
        with np.load(path) as file:
            if "meta" in file and "repo" in (meta := json.loads(str(file["meta"]))):
                stored.add((meta["repo"], meta["commit"]))

    assert stored <= claimed


def test_variants_that_claim_nothing_are_not_said_to_equal_code():
    """A reference names variants that exist."""
    for name in BUILT_IN:
        cls = registry.plugin("criteria", name)
        assert set(re.findall(r"`@([\w.+-]+)`", CLAIMS[name])) <= set(getattr(cls, "variants", {})), name
