"""How numbers read in a report: digits that mean something, units, and a dash where there is nothing."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOTHING = "–"
CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


def plain(text: Any) -> str:
    """Text without terminal escapes, control characters (tab and newline stay), marks that turn the direction of what
    follows, and unpaired surrogates.

    >>> plain("\\x1b[31mred\\x1b[0m\\x00"), plain("left \\u202eright")
    ('red', 'left right')
    """
    text = str(text)
    if text.isascii() and text.isprintable():  # nearly every text of a study, and 200,000 of them in a large one
        return text
    return CONTROL.sub("", text.encode("utf-8", "replace").decode())


def one_line(text: Any, most: int = 500) -> str:
    """Plain text on one line; of a longer one the beginning and how long it is.

    >>> one_line("two\\nlines"), one_line("x" * 9, most=4)
    ('two lines', 'xxxx... (9 characters)')
    """
    line = " ".join(plain(text).split())
    return line if len(line) <= most else f"{line[:most]}... ({len(line):,} characters)"


def absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def number(value: float | None, digits: int = 2) -> str:
    """Fixed digits after the point, a true minus sign.

    >>> number(-1.005, 1), number(None)
    ('−1.0', '–')
    """
    return NOTHING if value is None or absent(value) else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 2) -> str:
    """A difference: its sign is always shown.

    >>> signed(0.3), signed(-0.3)
    ('+0.30', '−0.30')
    """
    return NOTHING if value is None or absent(value) else f"{value:+.{digits}f}".replace("-", "−")


def percent(fraction: float) -> str:
    """A fraction in percent with the digits it has, six at most; only nothing is 0 %, and only all is 100 %.

    >>> percent(0.8), percent(0.995), percent(0.9999999), percent(1e-12)
    ('80 %', '99.5 %', '99.99999 %', '1e-10 %')
    """
    told = f"{round(fraction * 100, 6):g}"
    if told in ("0", "100") and fraction not in (0, 1):
        told = f"{100 * fraction:.15g}"
    return f"{told} %"


def percents(fractions: Iterable[float]) -> str:
    """
    >>> percents([0.8, 0.995])
    '80 and 99.5 %'
    """
    return f"{listed([percent(fraction).removesuffix(' %') for fraction in fractions])} %"


def listed(names: Sequence[str]) -> str:
    """
    >>> listed(["a"]), listed(["a", "b", "c"]), listed([])
    ('a', 'a, b and c', 'none')
    """
    if not names:
        return "none"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def seconds(value: float | None) -> str:
    """
    >>> seconds(0.0412), seconds(3.21), seconds(75), seconds(7200)
    ('41 ms', '3.2 s', '1 min 15 s', '2 h 0 min')
    """
    if value is None or absent(value):
        return NOTHING
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes = round(value) // 60
    return f"{minutes} min {round(value) % 60} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(value: float | None) -> str:
    """Bytes in binary units.

    >>> size(123456789), size(2048)
    ('118 MiB', '2.0 KiB')
    """
    if value is None or absent(value):
        return NOTHING
    unit = "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.1f} {unit}"


def count(n: int, noun: str) -> str:
    """
    >>> count(1, "seed"), count(3, "seed"), count(2, "class")
    ('1 seed', '3 seeds', '2 classes')
    """
    return f"{n:,} {noun}{'' if n == 1 else 'es' if noun.endswith('s') else 's'}"


def span(values: Iterable[int]) -> str:
    """The least and the largest, one number where they are equal.

    >>> span([3, 3]), span([5, 2, 3])
    ('3', '2 to 5')
    """
    found = sorted(set(values))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def tallied(values: Iterable[str]) -> list[str]:
    """Each distinct value, with the number of its cells where there are several.

    >>> tallied(["a", "b", "a"]), tallied(["a", "a"])
    (['a (2 cells)', 'b (1 cell)'], ['a'])
    """
    tally = sorted(Counter(values).items())
    return [f"{value} ({count(n, 'cell')})" if len(tally) > 1 else value for value, n in tally]


def environment_text(names: Iterable[str], environment: Mapping[str, Any]) -> str:
    """
    >>> environment_text(["torch", "timm"], {"torch": "2.14.1"})
    'torch 2.14.1, timm ?'
    """
    return ", ".join(f"{name} {plain(environment.get(name, '?'))}" for name in names)


FILTERS = {function.__name__: function for function in (number, signed, percent, seconds, size, count)}
"""What templates call them by."""


def percentage(part: int, whole: int) -> str:
    """Two digits where they say something: nothing at all is 0 %, and all but something is never 100 %.

    >>> percentage(0, 9), percentage(1, 10**6), percentage(999999, 10**6), percentage(9, 9)
    ('0 %', '<0.1 %', '>99.9 %', '100 %')
    """
    if part in (0, whole):
        return "100 %" if part else "0 %"
    share = 100 * part / whole
    return "<0.1 %" if share < 0.05 else ">99.9 %" if share >= 99.95 else f"{share:.1f} %"
