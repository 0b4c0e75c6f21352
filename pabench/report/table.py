"""A results folder as one table."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from pabench.errors import SuiteError
from pabench.report.folders import read
from pabench.store import files


def load(folder: str | Path) -> pd.DataFrame:
    """The table of a results folder, one row per expected cell, whatever became of it: what `pabench export` writes.

    Columns are described in docs/results.md; `flags` are one text, numbers that a cell has not are NaN. MissingError:
    there is no study in the folder.
    """
    if not isinstance(folder, (str, os.PathLike)):
        raise SuiteError(f"load: expected the path of a results folder, not a {type(folder).__name__}")
    frame = read(Path(folder)).frame.copy()
    frame["flags"] = frame["flags"].map(lambda flags: "; ".join(map(str, flags)))
    # pages count hundredths of R² as points; a table of its own has what the records have
    frame.loc[frame["r2"].notna(), "top1"] = float("nan")
    frame.loc[frame["training_r2"].notna(), "training_top1"] = float("nan")
    texts = [column for column, kind in frame.dtypes.items() if kind is np.dtype(object)]
    return frame.astype(dict.fromkeys(texts, "str"))  # as pandas has them


def export(folder: Path, output: Path) -> int:
    """Write one row per expected cell; returns how many."""
    frame = load(folder)
    files.make_folders(output.parent)
    if output.suffix == ".csv":
        frame.to_csv(output, index=False)
    elif output.suffix == ".json":
        frame.to_json(output, orient="records", indent=2)
    elif output.suffix == ".parquet":
        frame.to_parquet(output, index=False)
    else:
        raise SuiteError(f"{output}: expected a name that ends in .csv, .json or .parquet")
    return len(frame)
