"""What the label of a criterion means, by the class that is installed here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pabench import registry
from pabench.cell import canonical
from pabench.errors import PabenchError


def meaning(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of what a suite calls so (`grasp@official`, and what is `given` besides), as a record holds them;
    empty where the class has no such variant or takes no such parameter."""
    try:
        return dict(json.loads(canonical(asdict(registry.criterion(name, given)))))
    except PabenchError:
        return {}
