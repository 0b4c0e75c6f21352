"""The files of a site that are no pages: tables, JSON, citation, and the front matter that hosts read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pabench.comparable import Published
from pabench.wording import plain

_MARKDOWN = re.compile(r"[\\\[\]<>`*_]")


def table(frame: pd.DataFrame) -> bytes:
    """A table whose texts, headers included, no spreadsheet takes for a formula."""
    safe = frame.copy()
    safe.columns = [_harmless(str(column)) for column in safe.columns]
    for column in safe.columns[safe.dtypes.map(lambda kind: not pd.api.types.is_numeric_dtype(kind))]:
        safe[column] = safe[column].map(_harmless)
    return safe.to_csv(index=False, lineterminator="\n").encode()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value


def document(value: Any) -> bytes:
    """JSON with sorted keys."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"


def citation(title: str, authors: Sequence[str], studies: Sequence[Published]) -> bytes:
    """Citation File Format 1.2.0; JSON strings are YAML strings."""
    names = authors or [f"Contributors to {title}"]
    lines = ["cff-version: 1.2.0", 'message: "Please cite the studies that you use, and this leaderboard."']
    lines += ["type: dataset", f"title: {json.dumps(title)}", "authors:"]
    lines += [f"  - name: {json.dumps(plain(name))}" for name in names]
    lines += ["identifiers:"]
    for study in studies:
        lines += ["  - type: other", f"    value: {json.dumps(f'sha256:{study.digest}')}"]
        lines += [f"    description: {json.dumps(f'The submission {study.slug}: {study.title}')}"]
    return "\n".join([*lines, ""]).encode()


def readme(title: str, links: Sequence[tuple[str, str]]) -> bytes:
    """What Hugging Face reads to serve a static Space; on GitHub it is the front page of the repository."""
    front = ["---", f"title: {json.dumps(title)}", "sdk: static", "app_file: index.html", "pinned: false", "---", ""]
    body = [f"# {plain(title)}", "", "A static site made by `pabench publish`. Open `index.html`.", ""]
    body += [f"- [{_MARKDOWN.sub(_escaped, name)}]({target})" for name, target in links]
    return "\n".join([*front, *body, ""]).encode()


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found.group()}"
