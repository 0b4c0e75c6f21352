"""Small files that would make large work: submissions of which one document is hostile, and what judging them costs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pabench.store.envelope import seal

from ...forgery import Forgery, packed, sha

MIB = 2**20


def cells(forged: Forgery, n: int, how: Callable[[dict[str, Any], int], dict[str, Any]]) -> None:
    """A study of `n` cells without records."""
    one = json.loads((forged.folder / "study.json").read_text())["cells"][0]
    forged.study(lambda s: s.update(cells=[how(one, i) for i in range(n)]))


def study(forged: Forgery, **entries: Any) -> None:
    forged.study(lambda s: s.update(entries))


def suite(forged: Forgery, text: str) -> None:
    study(forged, suite=text)


def record(forged: Forgery, how: Callable[[dict[str, Any]], Any]) -> None:
    forged.change(forged.record(), how)


def whole(forged: Forgery, path: str, value: Any) -> None:
    (forged.folder / path).write_text(json.dumps(value))


def sealed(forged: Forgery, kind: str, **entries: Any) -> None:
    path = next(iter(sorted((forged.folder / kind).iterdir())), None) or forged.folder / kind / f"{'0' * 64}.json"
    path.write_bytes(seal({"key": path.stem, **entries}))


def mask(forged: Forgery, masks: dict[str, np.ndarray], **parameters: Any) -> None:
    """A mask file beside the others."""
    data = packed(masks, {"parameters": parameters})
    (forged.folder / "masks" / f"{sha(data)}.safetensors").write_bytes(data)


def source(forged: Forgery, text: str) -> None:
    """Another file for steep, by whose hash the cells name it."""
    (path,) = forged.folder.glob("criteria/steep-*.py")
    before = sha(path.read_bytes())
    path.write_text(text)
    after = sha(path.read_bytes())
    forged.study(lambda s: s.update(cells=json.loads(json.dumps(s["cells"]).replace(before, after))))


def listed(forged: Forgery, n: int, entry: Any) -> None:
    stated = json.loads((forged.folder / "submission.json").read_text())
    stated["files"] = {f"records/{n:064x}.json": entry for n in range(n)}
    whole(forged, "submission.json", stated)


def rows(forged: Forgery, n: int) -> None:
    row = json.loads((forged.folder / "aggregates.json").read_text())["rows"][0]
    whole(forged, "aggregates.json", {"schema": 1, "rows": [{**row, "top1_mean": i / 7} for i in range(n)]})


OF_FILES = {"sha256": "0" * 64, "bytes": 1}

HOSTILE: Mapping[str, Callable[[Forgery], None]] = {
    "20,000 valid cells": lambda f: cells(f, 20_000, lambda c, i: {**c, "seed": i}),
    "20,000 cells of as many pairs of models and criteria": lambda f: cells(
        f,
        20_000,
        lambda c, i: {
            **c,
            "seed": 0,
            "model": {**c["model"], "name": f"m{i % 141}"},
            "criterion": {"name": f"c{i // 141}"},
            "sparsity": 0.5,
        },
    ),
    "19,000 cells that share nothing": lambda f: cells(
        f, 19_000, lambda c, i: {**c, "model": {**c["model"], "args": {"x": i}}, "recipe": {**c["recipe"], "lr": i / 7}}
    ),
    "19,000 cells that are none": lambda f: cells(f, 19_000, lambda c, i: {**c, "model": i}),
    "9,000,000 numbers in place of cells": lambda f: study(f, cells=[0] * 9_000_000),
    "2,500,000 keys": lambda f: study(f, more={f"k{i}": 0 for i in range(2_500_000)}),
    "cells of 60,000 bytes": lambda f: cells(f, 500, lambda c, i: {**c, "more": [i, "x" * 60_000]}),
    "cells of 10,000 keys": lambda f: cells(f, 250, lambda c, i: {**c, **{f"{k}": i for k in range(10_000)}}),
    "cells cut in strings": lambda f: cells(f, 2_000, lambda c, i: {**c, "more": "},{" * 5_000 + str(i)}),
    "a list of cells that is not closed": lambda f: (f.folder / "study.json").write_bytes(b'{"cells":[{"a":1}' * 10**6),
    "cells in a list in a list": lambda f: (f.folder / "study.json").write_bytes(b'{"x":' * 20 + b'"cells":[{' * 10**6),
    "80,000 files in the list": lambda f: listed(f, 80_000, OF_FILES),
    "80,000 files in the list, each wrong": lambda f: listed(f, 80_000, {"sha256": "x", "bytes": -1}),
    "280,000 files in the list": lambda f: listed(f, 280_000, 0),
    "20,000 rows of means": lambda f: rows(f, 20_000),
    "2,000,000 rows of means": lambda f: whole(f, "aggregates.json", {"schema": 1, "rows": [{}] * 2_000_000}),
    "a curve of 240,000 wrong values": lambda f: record(f, lambda r: r["result"]["curve"].update(loss=["x"] * 240_000)),
    "120,000 wrong curves": lambda f: record(
        f, lambda r: r["result"]["curve"].update({f"c{i}": 0 for i in range(120_000)})
    ),
    "120,000 wrong pairings": lambda f: record(f, lambda r: r.update(pairing={f"c{i}": 0 for i in range(120_000)})),
    "80,000 wrong flags": lambda f: record(f, lambda r: r.update(flags=[{}] * 80_000)),
    "16,000 layers": lambda f: record(
        f,
        lambda r: r["receipt"].update(
            layers=[{"name": str(i), "shape": [], "total": 1, "kept": 1} for i in range(16_000)]
        ),
    ),
    "banks of banks": lambda f: record(f, lambda r: r.update(bank={"via": {"via": {"via": [{}] * 80_000}}})),
    "120,000 wrong numbers of a metric": lambda f: sealed(
        f,
        "metrics",
        status="ok",
        entries=[
            {
                "of": ["0" * 64],
                "metric": "a",
                "identity": "0" * 64,
                "numbers": {f"{i}": "x" for i in range(120_000)},
                "error": "",
            }
        ],
    ),
    "80,000 wrong entries of a metric": lambda f: sealed(f, "metrics", status="ok", entries=[{}] * 80_000),
    "16 MiB of one text": lambda f: record(f, lambda r: r.update(message="x" * (15 * MIB))),
    "a mask of 230 million weights": lambda f: mask(f, {"w": np.zeros((4_000, 57_500), bool)}),
    "a mask of 230 million weights in 2:4": lambda f: mask(f, {"w": np.zeros((4_000, 57_500), bool)}, pattern="2:4"),
    "a mask of one row of 230 million weights in 2:4": lambda f: mask(
        f, {"w": np.zeros((1, 230_000_000), bool)}, pattern="2:4"
    ),
    "a mask of one row of 230 million weights in channels": lambda f: mask(
        f, {"w": np.zeros((1, 230_000_000), bool)}, pattern="channels"
    ),
    "a mask of 25,000 layers": lambda f: mask(f, {f"{i}": np.zeros((), bool) for i in range(25_000)}),
    "a source of 65,000 numbers": lambda f: source(f, "x = [" + "0," * 65_000 + "]"),
    "a source of a sum of 65,000": lambda f: source(f, "x = " + "a+" * 65_000 + "a"),
    "a source of 130,000 brackets": lambda f: source(f, "(" * 130_000),
    "a source of 10,000 classes": lambda f: source(f, "class A:a=1\n" * 10_000),
    "a source of 2 MiB": lambda f: source(f, "#" * 2 * MIB),
    "a suite of 48,000 values": lambda f: suite(f, "seeds: [" + "1," * 48_000 + "]\n"),
    "a suite of 1 MiB of brackets": lambda f: suite(f, "[" * 1_000_000),
    "a suite of 1 MiB in one word": lambda f: suite(f, "protocol: " + "x" * 1_000_000),
    "a suite of 1 MiB of escapes": lambda f: suite(f, 'protocol: "' + "\\x41" * 260_000 + '"'),
    "a suite of 1 MiB of blank lines": lambda f: suite(f, "protocol: pai-v1\n" + "\n" * 1_000_000),
    "a suite of 1 MiB of comments": lambda f: suite(f, "protocol: pai-v1\n" + "# x\n" * 250_000),
    "100 overrides of 990 characters": lambda f: study(f, overrides=["seeds=[" + "1," * 490 + "]"] * 100),
    "100 overrides of deep paths": lambda f: study(f, overrides=[".".join("a" * 490) + "=1"] * 100),
    "numbers of 4,000 digits": lambda f: study(f, more=[10**4_000] * 4_000),
}


QUICK = (
    *("curve", "pairings", "flags", "layers", "banks", "metric"),
    *("brackets", "one word", "escapes", "a source", "overrides"),
)
"""What is made and judged in less than a second each."""


def costs(submission: Path, folder: Path, *, quick: bool) -> dict[str, Cost]:
    """Of each hostile submission what it cost, in memory beyond what an honest one does."""
    chosen = [name for name in HOSTILE if any(part in name for part in QUICK) == quick]
    found = {}
    with judge() as ask:
        honest = ask(submission)
        for name in chosen:  # one at a time: together they are gigabytes
            forged = Forgery(submission, folder / "forged")
            HOSTILE[name](forged)
            if "in the list" not in name:
                forged.listing()
            cost = ask(forged.folder)
            found[name] = replace(cost, mib=cost.mib - honest.mib)
            shutil.rmtree(forged.folder)
    return found


@dataclass(frozen=True)
class Cost:
    """What judging cost: seconds of CPU, and MiB at most."""

    seconds: float
    mib: float
    said: list[str]


@contextmanager
def judge() -> Iterator[Callable[[Path], Cost]]:
    """What judges a folder in a process of its own, forked from one that has its imports."""
    command = [sys.executable, "-c", f"from {__name__} import main; main()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:

        def ask(folder: Path) -> Cost:
            process.stdin.write(f"{folder}\n")
            return Cost(**json.loads(process.stdout.readline()))

        yield ask
        process.stdin.close()


def main() -> None:
    """In the process that judges."""
    import pabench.report.frame  # noqa: F401
    from pabench.leaderboard.verification.verify import verify

    while line := sys.stdin.readline():
        reading, writing = os.pipe()
        if (pid := os.fork()) == 0:
            os.close(reading)
            found = verify(Path(line.strip())).levels[-1]
            with open(writing, "w") as file:
                json.dump([str(flaw) for flaw in found.flaws[:20]], file)
            os._exit(0)
        os.close(writing)
        with open(reading) as file:
            text = file.read()
        _, status, used = os.wait4(pid, 0)
        said = json.loads(text) if text else [f"the judge ended with status {status}"]
        cost = {"seconds": used.ru_utime + used.ru_stime, "mib": used.ru_maxrss / 1024, "said": said}
        print(json.dumps(cost), flush=True)
