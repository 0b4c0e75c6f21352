"""The picture of the house: its rooms and who imports whom, drawn from the imports themselves.

It shows whether, not how often, so that it changes only with the structure.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOORS = (
    ("cli", "commands, and what they print"),
    ("bench", "pabench raced against a plain loop"),
    ("leaderboard", "submit, verify, bank, boards, site"),
    ("run", "a study carried out: tasks, engines, session"),
    ("events", "event hooks, fed while a study runs"),
    ("training", "one cell: block, prune, train, evaluate"),
    ("diagnostics", "metrics, the doctor, conformance"),
    ("scoring", "criterion to mask: interface, selection, masks"),
    ("networks", "what is pruned"),
    ("data", "what is trained on"),
    ("report", "results folders as tables and pages"),
    ("statistics", "intervals, ranks, tests, power"),
    ("store", "records, receipts, masks on disk"),
    ("suite", "YAML to a grid of cells with keys"),
    ("root", "registry, source, parameters, words, errors"),
)
"""From the top down; a room imports only from rooms below its own."""
WAY = {
    "suite": "1 YAML becomes cells",
    "run": "2 cells become tasks",
    "data": "3 images",
    "networks": "4 weights",
    "scoring": "5 scores become masks",
    "training": "6 trained, evaluated",
    "store": "7 one record",
    "report": "8 a page",
}
"""The way of a cell through the rooms."""
LEFT, ROW, TOP, CELL = 620, 46, 100, 40
DOWN, UP = "#8fb4e3", "#e2583e"
"""Colours of an import that leads to a room below, and of one that climbs; there is none of these."""


def imports() -> set[tuple[str, str]]:
    """From which room imports lead to which other; those that only type checkers read are left out."""
    found = set()
    for path in sorted((ROOT / "pabench").rglob("*.py")):
        inside = path.relative_to(ROOT / "pabench").parts
        if inside in {("plugins.py",), ("__init__.py",), ("__main__.py",)}:
            continue  # doors from outside: the first two name modules by strings, the third starts the command line
        here = room(inside[0]) if len(inside) > 1 else "root"
        for module in _modules(ast.parse(path.read_text(encoding="utf-8"))):
            there = room(module)
            if there != here:
                found.add((here, there))
    return found


def room(name: str) -> str:
    """The room of a module or package directly below `pabench`."""
    return name if (ROOT / "pabench" / name).is_dir() else "root"


def _modules(node: ast.AST) -> list[str]:
    """First parts below pabench of what a piece of code imports, wherever it does."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return []
    found: list[str] = []
    if isinstance(node, ast.ImportFrom) and not node.level and node.module:
        parts = node.module.split(".")
        if parts[0] == "pabench":
            found = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
    elif isinstance(node, ast.Import):
        found = [alias.name.split(".")[1] for alias in node.names if alias.name.startswith("pabench.")]
    return [*found, *(module for child in ast.iter_child_nodes(node) for module in _modules(child))]


def modules(name: str) -> int:
    """How many modules a room has, `__init__` not counted."""
    folder = ROOT / "pabench" / name
    files = folder.rglob("*.py") if folder.is_dir() else (ROOT / "pabench").glob("*.py")
    return sum(path.name != "__init__.py" for path in files)


def picture() -> str:
    """An SVG: floors from the top down on the left; on the right which rooms a row imports."""
    known = imports()
    order = [name for name, _ in FLOORS]
    width, height = LEFT + CELL * len(order) + 30, TOP + ROW * len(order) + 60
    frame = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame} font-family="system-ui, sans-serif" role="img">',
        "<title>The rooms of pabench and who imports whom</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(10, 24, "A room imports only from rooms below it", size=16, weight="bold"),
        _text(10, 46, "rooms, their modules, and the way of a cell (numbers)", fill="#555"),
        _text(LEFT, 24, "filled: the row's room imports from the column's", fill="#555"),
    ]
    for row, (name, what) in enumerate(FLOORS):
        y = TOP + row * ROW
        shown = "errors and their like" if name == "root" else name
        parts += [
            f'<rect x="10" y="{y}" width="{LEFT - 30}" height="{ROW - 6}" rx="5" fill="#eef3fa" stroke="#9db4d0"/>',
            _text(20, y + 17, "at the root" if shown != name else name, weight="bold"),
            _text(20, y + 33, what, fill="#444", size=12),
            _text(LEFT - 30, y + 17, f"{modules(name)} modules", fill="#666", size=12, anchor="end"),
        ]
        if name in WAY:
            parts.append(_text(LEFT - 30, y + 33, WAY[name], fill="#a23b00", size=12, anchor="end"))
        head = _text(0, 0, "root" if name == "root" else name, size=12, fill="#555")
        parts.append(f'<g transform="translate({LEFT + CELL * row + CELL / 2:g} {TOP - 6}) rotate(-35)">{head}</g>')
        for column, other in enumerate(order):
            x = LEFT + CELL * column
            fill = "#f7f7f7" if column <= row else "#fff"
            if (name, other) in known:
                fill = DOWN if column > row else UP
            parts.append(f'<rect x="{x}" y="{y}" width="{CELL - 2}" height="{ROW - 6}" fill="{fill}"/>')
    foot = "Plugins stand outside: criteria/ and reports/ come in through pabench.plugins and the registry."
    parts += [_text(10, TOP + ROW * len(order) + 24, foot, fill="#444"), "</svg>"]
    return "\n".join(parts) + "\n"


def _text(
    x: float, y: float, text: str, *, size: int = 13, weight: str = "normal", fill: str = "#111", anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{fill}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
