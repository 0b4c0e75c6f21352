"""Ranks of names within tasks, groups that share a letter or a bar, and an order that no test contradicts."""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations_with_replacement, product

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

MOST_GROUPS = len(string.ascii_lowercase)
"""Of so many groups each has a letter without a number."""


def mean_ranks(tasks: Iterable[Mapping[str, float]], weights: ArrayLike | None = None) -> dict[str, float]:
    """The mean over tasks of each name's rank, 1 for the highest value; equal values share their mean rank.

    >>> mean_ranks([{"a": 90.0, "b": 80.0, "c": 80.0}, {"a": 70.0, "b": 75.0, "c": 60.0}])
    {'a': 1.5, 'b': 1.75, 'c': 2.75}
    """
    rows = list(tasks)
    if not rows:
        return {}
    names = list(rows[0])
    ranks = stats.rankdata([[-row[name] for name in names] for row in rows], axis=1)
    return {name: float(rank) for name, rank in zip(names, np.average(ranks, axis=0, weights=weights), strict=True)}


def tie_groups(names: Sequence[str], separated: Mapping[tuple[str, str], bool]) -> dict[str, str]:
    """Letters such that two names share one exactly if they are not separated (Piepho 2004, insert and absorb).

    Not being separable is not transitive, so a name may carry several letters; `a` holds the first of `names`. Groups
    are as large as they can be. Of many criteria there may be more of these than can be counted: where they are more
    than `MOST_GROUPS`, so many are taken as each pair needs to stand in one.

    >>> tie_groups(["x", "y", "z"], {("x", "y"): False, ("y", "z"): False, ("x", "z"): True})
    {'x': 'a', 'y': 'ab', 'z': 'b'}
    """
    apart = [frozenset(pair) for pair, told in separated.items() if told]
    groups = _largest(names, apart) or _enough(names, set(apart))
    position = {name: i for i, name in enumerate(names)}
    groups.sort(key=lambda group: sorted(position[name] for name in group))
    return {name: "".join(_letter(i) for i, group in enumerate(groups) if name in group) for name in names}


def _largest(names: Sequence[str], apart: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """All largest groups without a pair that is apart; none where there are more than `MOST_GROUPS`."""
    groups = [frozenset(names)]
    for pair in apart:
        split = [group - {name} if pair <= group else group for group, name in product(groups, sorted(pair))]
        distinct = list(dict.fromkeys(split))
        groups = [group for group in distinct if not any(group < other for other in distinct)]
        if len(groups) > MOST_GROUPS:
            return []
    return groups


def _enough(names: Sequence[str], apart: Collection[frozenset[str]]) -> list[frozenset[str]]:
    """Largest groups without a pair that is apart, until each name and each other pair stands in one."""
    near = {name: {other for other in names if frozenset((name, other)) not in apart} for name in names}
    groups: list[frozenset[str]] = []
    for one, other in combinations_with_replacement(names, 2):
        if other in near[one] and not any(one in group and other in group for group in groups):
            group = {one, other}
            for name in names:
                if group <= near[name]:
                    group.add(name)
            groups.append(frozenset(group))
    return groups


def shared(letters: str, others: str) -> bool:
    """Whether two names share a group, by their letters; from the 27th group on these have a number.

    >>> shared("ab", "b"), shared("a", "a1"), shared("a1b1", "b1")
    (True, False, True)
    """
    one, other = (set(re.findall(r"[a-z]\d*", found)) for found in (letters, others))
    return not one.isdisjoint(other)


def cliques(ranks: Mapping[str, float], difference: float) -> list[list[str]]:
    """The bars of a critical-difference diagram: largest runs of two or more names whose mean ranks lie less than
    `difference` apart (Demsar 2006), best first.

    >>> cliques({"x": 1.0, "y": 2.0, "z": 3.0}, 1.5)
    [['x', 'y'], ['y', 'z']]
    """
    order = sorted(ranks, key=lambda name: (ranks[name], name))
    runs = [[other for other in order[i:] if ranks[other] - ranks[name] < difference] for i, name in enumerate(order)]
    return [
        run for i, run in enumerate(runs) if len(run) > 1 and not any(run[-1] == earlier[-1] for earlier in runs[:i])
    ]


def ordered(ranks: Mapping[str, float], better: Collection[tuple[str, str]]) -> list[str]:
    """Names by rank, except that none stands before one that is separably better.

    The two can disagree: a rank sees order only, a mean sees how far a collapsed network falls.

    >>> ordered({"x": 1.0, "y": 2.0, "z": 3.0}, {("z", "y")})
    ['x', 'z', 'y']
    """
    left, found = sorted(ranks, key=lambda name: (ranks[name], name)), []
    while left:
        free = [name for name in left if not any((other, name) in better for other in left)]
        found.append((free or left)[0])
        left.remove(found[-1])
    return found


def rank_range(name: str, names: Collection[str], better: Collection[tuple[str, str]]) -> tuple[int, int]:
    """The ranks a name may have: after all that are separably better, before all that are separably worse.

    `better` holds (better, worse) pairs.

    >>> rank_range("y", ["x", "y", "z"], {("x", "z")})
    (1, 3)
    """
    above = sum((other, name) in better for other in names)
    below = sum((name, other) in better for other in names)
    return 1 + above, len(names) - below


def _letter(index: int) -> str:
    letters = string.ascii_lowercase
    return letters[index] if index < len(letters) else f"{letters[index % 26]}{index // 26}"
