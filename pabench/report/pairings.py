"""Whether the cells of a results folder are paired, by their hashes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pabench.report.folders import read
from pabench.report.study import Shared
from pabench.words import count


def pairings(folder: Path) -> dict[str, Any]:
    """Blocks whose finished cells share weights, order, augmentation and scoring batch, and those that do not.

    An ablation that changes one of these is compared with its like in that one, and must differ from the plain cells:
    it stands `apart`.
    """
    study = read(folder)
    apart = {f"{one.ablation} in {one.part}" for one in study.shared if one.ablation}
    return {
        "blocks": study.pairing["block"].nunique(),
        "cells": study.pairing["key"].nunique(),
        "unpaired": [line for one in study.shared for line in _unproven(one)],
        "apart": sorted(apart),
    }


def _unproven(one: Shared) -> Iterator[str]:
    where = f"block {one.block[:12]}{f' ({one.ablation})' if one.ablation else ''}: {one.part}"
    if len(one.hashes) > 1:
        yield f"{where} has {len(one.hashes)} different hashes"
    if one.nameless:
        yield f"{where} has {count(one.nameless, 'finished cell')} without a hash"
    if one.unchanged:
        yield f"{where} is that of the plain cells, which the ablation should have changed"
