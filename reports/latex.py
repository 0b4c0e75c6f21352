"""Text and tables for LaTeX: every character stands for itself, whatever a name holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pabench.words import plain

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu "
    "nu xi pi rho sigma tau upsilon phi chi psi omega"
)
_CAPITALS = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
    **{"−": r"\(-\)", "±": r"\(\pm\)", "×": r"\(\times\)", "≤": r"\(\le\)", "≥": r"\(\ge\)", "≠": r"\(\ne\)"},
    **{"–": "--", "…": r"\dots{}", "·": r"\(\cdot\)", "→": r"\(\to\)", "≈": r"\(\approx\)", "∞": r"\(\infty\)"},
    **{letter: rf"\(\{name}\)" for letter, name in zip("αβγδεζηθικλμνξπρστυφχψω", _GREEK.split(), strict=True)},
    **{letter: rf"\(\{name}\)" for letter, name in zip("ΓΔΘΛΞΠΣΥΦΨΩ", _CAPITALS.split(), strict=True)},
    "\u00a0": "~",
    **dict.fromkeys("\t\n\r\u2028\u2029", " "),
}
"""What LaTeX prints a character by. Other scripts than Latin and Greek stay: LuaLaTeX and XeLaTeX print them."""
_TABLE = str.maketrans(ESCAPES)


def escape(text: Any) -> str:
    """Text that LaTeX prints as it is, on one line; \\textquotedbl needs the T1 encoding.

    >>> escape("50 % of a_b & $c$ {d}")
    '50 \\\\% of a\\\\_b \\\\& \\\\$c\\\\$ \\\\{d\\\\}'
    """
    return plain(text).translate(_TABLE)


def table(columns: str, heading: Sequence[Any], rows: Iterable[Sequence[Any]], *, comment: str = "") -> str:
    """A tabular of booktabs rules; `columns` is LaTeX (`lrr`), everything else is escaped.

    A cell that begins with a bracket is braced, so that LaTeX does not read it as the argument of the line break above.
    """
    lines = [f"% {' '.join(plain(comment).split())}"] if comment else []
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _line(heading), r"\midrule"]
    lines += [_line(row) for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _line(cells: Sequence[Any]) -> str:
    texts = [escape(cell) for cell in cells]
    return " & ".join(f"{{{text}}}" if text.startswith(("[", "*")) else text for text in texts) + r" \\"
