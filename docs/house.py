"""The picture of the house: rooms, how large they are, and who imports whom, measured from the imports themselves."""

from __future__ import annotations

import ast
from collections import Counter
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOORS = (
    ("cli", "commands, and what they print"),
    ("leaderboard", "submit, verify, bank, boards, site"),
    ("run", "a study carried out: tasks, engines, session"),
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
LEFT, ROW, TOP, CELL = 620, 46, 70, 40


def imports() -> Counter[tuple[str, str]]:
    """How many import statements lead from a room to another; those that only type checkers read are left out."""
    found: Counter[tuple[str, str]] = Counter()
    for path in sorted((ROOT / "pabench").rglob("*.py")):
        inside = path.relative_to(ROOT / "pabench").parts
        if inside in {("plugins.py",), ("__init__.py",)}:
            continue  # doors: they name modules by strings
        here = room(inside[0]) if len(inside) > 1 else "root"
        for module in _modules(ast.parse(path.read_text(encoding="utf-8"))):
            there = room(module)
            if there != here:
                found[here, there] += 1
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


def sizes() -> dict[str, tuple[int, int]]:
    """Modules and lines of each room, `__init__` not counted as a module."""
    found = {}
    for name, _ in FLOORS:
        folder = ROOT / "pabench" / name
        files = list(folder.rglob("*.py")) if folder.is_dir() else list((ROOT / "pabench").glob("*.py"))
        lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
        found[name] = (sum(path.name != "__init__.py" for path in files), lines)
    return found


def picture() -> str:
    """An SVG: floors from the top down on the left; on the right how many imports lead from a row to a column."""
    counts, measured = imports(), sizes()
    order = [name for name, _ in FLOORS]
    width, height = LEFT + CELL * len(order) + 20, TOP + ROW * len(order) + 60
    frame = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame} font-family="system-ui, sans-serif" role="img">',
        "<title>The rooms of pabench and who imports whom</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(10, 24, "A room imports only from rooms below it", size=16, weight="bold"),
        _text(10, 46, "rooms, the way of a cell (numbers), modules / lines", fill="#555"),
        _text(LEFT, 24, "imports from the row's room to the column's", fill="#555"),
    ]
    for row, (name, what) in enumerate(FLOORS):
        y = TOP + row * ROW
        modules, lines = measured[name]
        shown = "errors and their like" if name == "root" else name
        parts += [
            f'<rect x="10" y="{y}" width="{LEFT - 30}" height="{ROW - 6}" rx="5" fill="#eef3fa" stroke="#9db4d0"/>',
            _text(20, y + 17, "at the root" if shown != name else name, weight="bold"),
            _text(20, y + 33, what, fill="#444", size=12),
            _text(LEFT - 30, y + 17, f"{modules} / {lines:,}", fill="#666", size=12, anchor="end"),
        ]
        if name in WAY:
            parts.append(_text(LEFT - 30, y + 33, WAY[name], fill="#a23b00", size=12, anchor="end"))
        parts.append(_text(LEFT + CELL * row + CELL / 2, TOP - 8, name[:5], size=11, anchor="middle", fill="#555"))
        for column, other in enumerate(order):
            x = LEFT + CELL * column
            n = counts[name, other]
            fill = "#f7f7f7" if column <= row else "#fff"
            if n:
                fill = "#cfe0f5" if column > row else "#f6c1b4"
            parts.append(f'<rect x="{x}" y="{y}" width="{CELL - 2}" height="{ROW - 6}" fill="{fill}"/>')
            if n:
                parts.append(_text(x + CELL / 2 - 1, y + 25, str(n), anchor="middle", size=12))
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
