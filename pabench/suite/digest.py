"""Equal values, equal text, equal hashes; and the seeds that follow from them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

# one for all: `json.dumps` would make one each time
_written = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True).encode


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: equal values give equal text.

    Half a surrogate pair, which no file can hold, is a question mark: texts of plugins may have some.

    >>> canonical({"b": 1, "a": "\\ud800"})
    '{"a":"?","b":1}'
    """
    text = _written(value)
    if "\\ud" not in text:  # nor any whole pair
        return text
    whole = json.loads(text, object_pairs_hook=lambda pairs: {_encodable(key): _whole(value) for key, value in pairs})
    return _written(_whole(whole))


def _whole(value: Any) -> Any:
    """A value of JSON without half surrogate pairs, the objects in it being so already."""
    if isinstance(value, list):
        return [_whole(part) for part in value]
    return _encodable(value) if isinstance(value, str) else value


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def digest_listed(*items: str) -> str:
    """The digest of a list, from the canonical JSON of each of its items.

    >>> digest_listed(canonical("cell"), canonical({"a": 1})) == digest(["cell", {"a": 1}])
    True
    """
    return hashlib.sha256(f"[{','.join(items)}]".encode()).hexdigest()


def derive_seed(*parts: Any) -> int:
    """A seed in [0, 2**63) that depends on all parts and on nothing else (never on `hash()`)."""
    return int(digest(list(parts))[:16], 16) >> 1
