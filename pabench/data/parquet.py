"""Images in Parquet files with the schema of the Hugging Face Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pabench.data import images
from pabench.data.dataset import PARTS, Part, content_digest
from pabench.data.pictures import Bits, Pictures
from pabench.errors import DataError
from pabench.parameters import NonNegativeInt
from pabench.suite.specs import Augment
from pabench.words import count

PATTERNS: dict[Part, tuple[str, ...]] = {"train": ("train-*",), "test": ("test-*", "validation-*")}
"""Of the files of a split: the first that some files match."""


@dataclass(frozen=True, kw_only=True)
class Parquet(Pictures):
    """`train-*.parquet` and `test-*.parquet` (or `validation-*`) in one folder, images as a struct {bytes, path}.

    `title` is the name shown. `image` and `label` name the columns if there are several candidates. `size` brings all
    images to one size; `pixel_mean` and `pixel_std` replace the ones computed from the training images.
    `bits` says how many bits of 16-bit grey pictures count (12: 0 to 4095); 0: all. Colour if any picture is.
    Labels run from 0, and each has training images.
    """

    name = "parquet"
    augment = Augment(crop=4, flip=True)

    title: str = ""
    image: str = ""
    label: str = ""
    size: NonNegativeInt = 0
    bits: Bits = 0
    pixel_mean: Sequence[float] = ()
    pixel_std: Sequence[float] = ()

    def missing(self) -> str:
        for part, patterns in PATTERNS.items():
            if not self._files(part):
                pattern = " or ".join(patterns)
                get = f"`hf download OWNER/{self.title or 'NAME'} --repo-type dataset --local-dir {self.folder}`"
                hint = "path must be the folder of the files; how much room they take is on the dataset's page"
                return f"{self.title or self.name}: no {pattern}.parquet in {self.folder}; get it with {get}; {hint}"
        return ""

    def fingerprint(self) -> str:
        self.require()
        return content_digest(self.folder, [*self._files("train"), *self._files("test")])

    def notes(self) -> list[str]:
        """What was passed over in the folder, classes that are not tested, and what the pictures are."""
        read = {file for part in PARTS for file in self._files(part)}
        others = [file.name for file in sorted(self.folder.glob("*.parquet")) if file not in read]
        lines = [f"{count(len(others), 'Parquet file')} passed over: {images.some(others)}"] if others else []
        lines += [f"{part}: {told}" for part in PARTS if (told := _incomplete(self._files(part)))]
        if untested := sorted(set(range(self.classes)) - set(self.labels("test").tolist())):
            lines.append(f"{count(len(untested), 'class')} without test images: {images.some(untested)}")
        return [*lines, *self.of_pictures()]

    @cached_property
    def classes(self) -> int:
        labels = self._stored_labels("train")
        if labels.min() < 0:
            raise DataError(f"{self._where}: label {labels.min()} found, expected 0 and more; drop unlabelled rows")
        classes = int(labels.max()) + 1
        if absent := sorted(set(range(min(classes, len(labels) + 1))) - set(labels.tolist())):
            found = f"label {classes - 1} found, but no training image of {images.some(absent)}"
            raise DataError(f"{self._where}: {found}; number the classes from 0 without gaps")
        self._refuse_other_names()
        return classes

    def _refuse_other_names(self) -> None:
        """DataError: files call one label by two names, so that equal numbers are other classes."""
        files = [file for part in PARTS for file in self._files(part)]
        named = [(file, names) for file in files if (names := _class_names(file, self._columns[1]))]
        for file, names in named[1:]:
            first, others = named[0]
            for label, (one, other) in enumerate(zip(others, names, strict=False)):
                if one != other:
                    says = f"{one[:60]!r} in {images.shown(first.name)} and {other[:60]!r} in {images.shown(file.name)}"
                    remedy = "number the classes alike in all files"
                    raise DataError(f"{self._where}: label {label} is {says}, as they say themselves; {remedy}")

    def decoding(self) -> dict[str, Any]:
        return {"image": self.image, "label": self.label, "size": self.size, "bits": self.bits}

    def labels(self, part: Part) -> np.ndarray[Any, Any]:
        labels = self._stored_labels(part)
        if labels.min() < 0 or labels.max() >= self.classes:
            found = f"{part} labels {labels.min()} to {labels.max()}"
            raise DataError(f"{self._where}: {found}, expected 0 to {self.classes - 1} as in training")
        return labels

    @property
    def _where(self) -> str:
        return f"{self.title or self.name}: {images.shown(self.folder)}"

    def _files(self, part: Part) -> list[Path]:
        listed = (sorted(self.folder.glob(f"{pattern}.parquet")) for pattern in PATTERNS[part])
        found = next(filter(None, listed), [])
        if twice := _twice(found):
            raise DataError(f"{self._where}: {part}: {twice} hold the same rows, as their names say; keep one copy")
        return found

    @cached_property
    def _columns(self) -> tuple[str, str]:
        """Names of the image and the label column."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.require()
        file = self._files("train")[0]
        with _reading(file):
            schema = pq.read_schema(file)
        pictures = [f.name for f in schema if _holds_pictures(f.type)]
        labels = [f.name for f in schema if pa.types.is_integer(f.type)]
        return self._column("image", pictures, schema.names), self._column("label", labels, schema.names)

    def _column(self, what: str, fitting: list[str], known: list[str]) -> str:
        given = getattr(self, what)
        if given in fitting:
            return given
        # a column of the very name that does not fit is what was meant: another in its place would be a wrong answer
        if not given and (what in fitting or (len(fitting) == 1 and what not in known)):
            return what if what in fitting else fitting[0]
        kind = "a struct with bytes" if what == "image" else "integers"
        named = given or (what if what in known else "")
        found = f"column {named!r} is not one" if named else f"{len(fitting)} columns fit"
        columns = f"fitting: {', '.join(fitting) or 'none'}; all: {', '.join(known)}"
        raise DataError(f"{self._where}: {what}: expected one column of {kind}, {found}; set `{what}` ({columns})")

    def _stored_labels(self, part: Part) -> np.ndarray[Any, Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        column = self._columns[1]
        read = []
        for file in self._files(part):
            with _reading(file):
                labels = pq.read_table(file, columns=[column])[column]
                if not pa.types.is_integer(labels.type):
                    raise DataError(f"{images.shown(file)}: column {column!r} holds {labels.type}, expected integers")
                if labels.null_count:
                    raise DataError(f"{self._where}: column {column!r} has rows without a label; drop them")
                read.append(labels.to_numpy().astype(np.int64))
        if not sum(map(len, read)):
            raise DataError(f"{self._where}: no rows in {part}, expected images and labels")
        return np.concatenate(read)

    def pictures(self, part: Part) -> Iterator[tuple[str, bytes]]:
        import pyarrow.parquet as pq

        column = self._columns[0]
        for file in self._files(part):
            with _reading(file), pq.ParquetFile(file) as opened:
                if not _holds_pictures(held := opened.schema_arrow.field(column).type):
                    raise DataError(
                        f"{images.shown(file)}: column {column!r} holds {held}, expected a struct with bytes"
                    )
                batches = opened.iter_batches(batch_size=64, columns=[column])
                encoded = chain.from_iterable(batch[column].field("bytes") for batch in batches)
                for row, picture in enumerate(encoded):
                    yield f"{images.shown(file)}: row {row}", picture.as_py() or b""


def _holds_pictures(column: Any) -> bool:
    """Whether a column is a struct whose `bytes` are such: a text in their place would be taken for a path."""
    import pyarrow as pa

    if not pa.types.is_struct(column) or column.get_field_index("bytes") < 0:
        return False
    held = column.field("bytes").type
    return bool(pa.types.is_binary(held) or pa.types.is_large_binary(held) or pa.types.is_binary_view(held))


def _incomplete(files: Sequence[Path]) -> str:
    """What the names of files, such as train-00000-of-00002, say of others that are not here; else empty."""
    totals = {int(found[1]) for file in files if (found := re.search(r"-of-(\d+)$", file.stem))}
    return f"{len(files)} of {sum(totals)} files are here, as their names say" if sum(totals) > len(files) else ""


def _class_names(file: Path, column: str) -> list[str]:
    """What a file says that its labels mean: the ClassLabel of Hugging Face; empty where it says nothing."""
    import pyarrow.parquet as pq

    with _reading(file):
        told = (pq.read_schema(file).metadata or {}).get(b"huggingface", b"{}")
    try:
        names = json.loads(told)["info"]["features"][column]["names"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)")
"""As Hugging Face names the files of a split: train-00000-of-00002, once with a hash behind it."""


def _twice(files: Sequence[Path]) -> str:
    """Two files that their names make the same part of a split, or parts of two divisions of it; else empty."""
    first: dict[str, tuple[Path, str]] = {}  # of each split: a file, and into how many it is divided
    part: dict[tuple[str, ...], Path] = {}
    for file in files:
        if found := SHARD.match(file.stem):
            split, number, total = found.groups()
            one, others = first.setdefault(split, (file, total))
            if total != others or part.setdefault((split, number), file) != file:
                other = one if total != others else part[split, number]
                return f"{images.shown(other.name)} and {images.shown(file.name)}"
    return ""


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Whatever is wrong with a file, be it missing columns or a broken page, is told with its name."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # pyarrow's own, KeyError, OSError, OverflowError, ...
        why = " ".join(str(error).split()) or type(error).__name__
        where = images.shown(file)
        raise DataError(f"{where}: cannot be read as Parquet ({why}); download it again, or see its columns") from None
