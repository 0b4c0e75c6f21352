"""Other trainings of a mask, one a file: what lets signs flip, and what lets the mask move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pabench.errors import SuiteError, did_you_mean
from pabench.parameters import create
from pabench.suite.specs import PLAIN
from pabench.training.sparse.method import Held as Held, Method as Method
from pabench.training.sparse.rigl import Rigl
from pabench.training.sparse.set import Set
from pabench.training.sparse.signin import SignIn

METHODS: dict[str, type[Method]] = {cls.name: cls for cls in (SignIn, Rigl, Set)}


def method(name: str, parameters: Mapping[str, Any]) -> Method:
    """The method of a name with these parameters. SuiteError: there is none; ParameterError: it has no such ones."""
    if name not in METHODS:
        known = [PLAIN.name, *METHODS]
        what = "plain has no parameters; leave them out" if name == PLAIN.name else did_you_mean(name, known)
        raise SuiteError(what if name == PLAIN.name else f"no training named {name!r}; {what}")
    return create(METHODS[name], parameters, name)
