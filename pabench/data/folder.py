"""Images in one folder per class: your own, Tiny ImageNet, ImageNet."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from pabench.data import images
from pabench.data.dataset import PARTS, Dataset, Part, content_digest
from pabench.data.pictures import Bits, Pictures
from pabench.data.split import Images, Streamed
from pabench.errors import DataError
from pabench.parameters import NonNegativeInt, PositiveInt
from pabench.suite.digest import digest
from pabench.suite.specs import Augment
from pabench.words import count

Labelled = list[tuple[Path, int]]
JUNK = frozenset({"__MACOSX"})  # what macOS puts into its archives beside the files
KINDS = 3  # of suffixes that a note names
OF_TWO = "a link makes it belong to another class too; an image has one"


class ClassFolders(Dataset):
    """`train/<class>/*` and the same under a held-out folder; classes are numbered in the order of their names.

    No dataclass: a subclass may have `title` among its fields. Held out is the first folder of `held_out` that is
    there: val where, as in both ImageNets, test holds images without labels.
    """

    title: str = ""
    held_out: ClassVar[tuple[str, ...]] = ("val",)
    get: ClassVar[str]  # how to come by it, and its size

    def missing(self) -> str:
        for parts in (("train",), self.held_out):
            if not any((self.folder / part).is_dir() for part in parts):
                looked_for = " or ".join(str(self.folder / part) for part in parts)
                return f"{self.title or self.name}: {looked_for} is not there; {self.get}"
        return ""

    def fingerprint(self) -> str:
        """SHA-256 over relative paths and sizes: the bytes of a million files are not read."""
        with _listing(self.folder):
            return digest([[file.relative_to(self.folder).as_posix(), file.stat().st_size] for file in self._paths])

    def notes(self) -> list[str]:
        """What was passed over in the folders, and what else looks like a mistake in them."""
        train, test = (self._listings[part] for part in PARTS)
        lines = [f"{part}: {line}" for part in PARTS for line in self._listings[part].told()]
        if both := sorted((set(train.read) & set(test.read)) or train.linked(test)):
            lines.append(
                f"test reads what train reads: {images.shown(both[0])}; its accuracy is that of training images"
            )
        tested = {label for _, label in test.files}  # each class has a folder in test, but where a list says the class
        if untested := [name for label, name in enumerate(_classes(self.folder)) if label not in tested]:
            lines.append(f"{count(len(untested), 'class')} without test images: {images.some(untested)}")
        alike = Counter(name.casefold() for name in _classes(self.folder))
        names = [name for name in _classes(self.folder) if alike[name.casefold()] > 1]
        if names:
            lines.append(f"class folders that differ in upper and lower case alone: {images.some(names)}")
        return lines

    def pictures(self, part: Part) -> Iterator[tuple[str, str]]:
        return ((images.shown(file), str(file)) for file, _ in self._listings[part].files)

    def labels(self, part: Part) -> np.ndarray[Any, Any]:
        return np.array([label for _, label in self._listings[part].files])

    @cached_property
    def _listings(self) -> dict[Part, _Listing]:
        """What lies in the folders of both splits."""
        self.require()
        classes = _classes(self.folder)
        train = self.folder / "train"
        if not classes or len(classes) != self.classes:
            found = f"{len(classes)} class folders, expected {self.classes or 'at least one'}"
            raise DataError(f"{images.shown(train)}: {found}; unpack it again")
        test = next(self.folder / part for part in self.held_out if (self.folder / part).is_dir())
        list_test = _annotated if (test / "val_annotations.txt").is_file() else _by_class
        return {"train": _by_class(train, classes), "test": list_test(test, classes)}

    @property
    def _paths(self) -> list[Path]:
        return [file for part in PARTS for file, _ in self._listings[part].files]


@dataclass(frozen=True, kw_only=True)
class Folder(ClassFolders, Pictures):
    """`train/<class>/*` and `test/<class>/*` (or `val`); classes are numbered in the order of their names.

    `size` brings all images to one size. `pixel_mean` and `pixel_std` replace the ones computed from the training
    images. `bits` says how many bits of 16-bit grey pictures count (12: 0 to 4095); 0: all. Colour if any picture is.
    """

    name = "folder"
    augment = Augment(crop=4, flip=True)
    held_out = ("test", "val")
    get = "put train/<class>/ and test/<class>/ there or give another path; it takes as much room as your pictures"

    title: str = ""
    size: NonNegativeInt = 0
    bits: Bits = 0
    pixel_mean: Sequence[float] = ()
    pixel_std: Sequence[float] = ()

    def missing(self) -> str:
        problem = super().missing()
        if problem and not (self.folder / "train").is_dir() and (found := _undivided(self.folder)):
            return (
                f"{problem}; {images.some(found)} in {self.folder} look like classes: of each put a part into train/ "
                "and a part into test/ (docs/datasets.md has the lines that do it)"
            )
        return problem

    def fingerprint(self) -> str:
        return content_digest(self.folder, self._paths)

    @cached_property
    def classes(self) -> int:
        self.require()
        return len(_classes(self.folder))

    def decoding(self) -> dict[str, Any]:
        return {"size": self.size, "bits": self.bits}

    def notes(self) -> list[str]:
        return [*super().notes(), *self.of_pictures()]


class TinyImagenet(ClassFolders, Pictures):
    """100,000 and 10,000 colour images of 64 x 64 pixels in 200 classes (CS231n): the folder tiny-imagenet-200.

    The test split is the validation set, in its own layout (val/images and val_annotations.txt) or in class folders.
    """

    name = "tiny_imagenet"
    classes = 200
    size = 64
    shape = (3, 64, 64)
    mean = (0.4802, 0.4481, 0.3975)
    std = (0.2770, 0.2691, 0.2821)
    augment = Augment(crop=4, flip=True)
    get = "`curl -O http://cs231n.stanford.edu/tiny-imagenet-200.zip`, unzip it there (248 MB), or give its path"


@dataclass(frozen=True, kw_only=True)
class Imagenet(ClassFolders):
    """ImageNet-1k (Russakovsky et al. 2015, arXiv:1409.0575): train/<wnid>/* and val/<wnid>/*, read file by file.

    The test split is the validation set. Training images are random resized crops; see `Streamed`.
    """

    name = "imagenet"
    classes = 1000
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    augment = Augment(crop=32, flip=True)
    get = "register at image-net.org, unpack train/<wnid>/ and val/<wnid>/ there (150 GB), or give its path"

    size: PositiveInt = 224

    @property
    def shape(self) -> tuple[int, int, int]:
        return (3, self.size, self.size)

    def train(self) -> Images | Streamed:
        return self._streamed("train")

    def test(self) -> Images | Streamed:
        return self._streamed("test")

    def _streamed(self, part: Part) -> Streamed:
        files = tuple(where for where, _ in self.pictures(part))
        return Streamed(files, torch.from_numpy(self.labels(part)), self.size)


@dataclass
class _Listing:
    """The labelled `files` of a split, sorted by class and name, and what else lies in its folders.

    Links are followed, and nothing is read twice, be it by a loop of links; `read` has the class of each folder by its
    real path.
    """

    files: Labelled = field(default_factory=list)
    read: dict[str, str] = field(default_factory=dict)
    hidden: int = 0
    others: Counter[str] = field(default_factory=Counter)
    again: list[Path] = field(default_factory=list)
    _links: set[Path] = field(default_factory=set)
    _folders: dict[Path, str] = field(default_factory=dict)

    def add(self, folder: Path, label: int) -> None:
        """Everything below the folder of a class."""
        found: list[Path] = []
        own, linked = [folder], list[Path]()
        while own or linked:
            # links last and in order: what lies here keeps its own name, whatever else leads to it
            place = own.pop() if own else linked.pop()
            if not self._is_new(place, folder.name):
                continue
            for entry in self._entries(place):
                path = Path(entry.path)
                if entry.is_dir():
                    (linked if entry.is_symlink() else own).append(path)
                elif path.suffix.lower() in images.SUFFIXES and entry.is_file():
                    found.append(path)
                    if entry.is_symlink():
                        self._links.add(path)
                else:
                    self._pass_over(path)
            linked.sort(reverse=True)
        self.files += [(file, label) for file in sorted(found)]  # listed in another order on every machine

    def add_beside(self, folder: Path) -> None:
        """What lies beside the folders of the classes."""
        for entry in self._entries(folder):
            if not entry.is_dir():
                self._pass_over(Path(entry.path))

    def leave_out_links(self) -> None:
        """Links to pictures that are here under their own name, or by another link. DataError: as another class."""
        if not self._links:
            return
        first: dict[str, tuple[Path, int]] = {}
        for file, label in sorted(self.files, key=lambda entry: entry[0] in self._links):
            other, as_label = first.setdefault(self._real(file), (file, label))
            if as_label != label:
                raise DataError(f"{images.shown(file)}: {OF_TWO} ({images.shown(other)})")
            if other != file:
                self.again.append(file)
        left_out = set(self.again)
        self.files = [(file, label) for file, label in self.files if file not in left_out]

    def linked(self, other: _Listing) -> set[str]:
        """Real paths of pictures that both have, by a link of one of them."""
        if not (self._links or other._links):
            return set()
        return {self._real(file) for file, _ in self.files} & {other._real(file) for file, _ in other.files}

    def _real(self, file: Path) -> str:
        if file in self._links:
            return os.path.realpath(file)
        if file.parent not in self._folders:  # a folder of thousands is looked up once
            self._folders[file.parent] = os.path.realpath(file.parent)
        return os.path.join(self._folders[file.parent], file.name)

    def told(self) -> Iterator[str]:
        """What was passed over, a line each."""
        if self.others:
            kinds = ", ".join(f"{n:,} {kind}" for kind, n in self.others.most_common(KINDS))
            more = ", ..." if len(self.others) > KINDS else ""
            yield f"{count(self.others.total(), 'file')} passed over: {kinds}{more}"
        if self.hidden:
            yield f"{self.hidden:,} hidden {'file or folder' if self.hidden == 1 else 'files or folders'} passed over"
        if self.again:
            yield f"{count(len(self.again), 'link')} to what is read already, passed over: {images.some(self.again)}"

    def _entries(self, folder: Path) -> Iterator[os.DirEntry[str]]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _hidden(entry.name):
                    self.hidden += 1
                else:
                    yield entry

    def _is_new(self, place: Path, name: str) -> bool:
        """Whether nothing has led here before. DataError: it was read as another class."""
        real = os.path.realpath(place)
        if real not in self.read:
            self.read[real] = name
            return True
        if self.read[real] != name:
            raise DataError(f"{images.shown(place)}: {OF_TWO} ({images.shown(self.read[real])})")
        self.again.append(place)
        return False

    def pass_over_unlisted(self, folder: Path) -> None:
        """Count what lies in a folder that is read by a list, and is not on it."""
        listed = {path for path, _ in self.files}
        for entry in self._entries(folder):
            if (path := folder / entry.name) not in listed:
                self._pass_over(path)

    def _pass_over(self, path: Path) -> None:
        if path.is_symlink() and not path.exists():
            target = images.shown(os.readlink(path))
            raise DataError(
                f"{images.shown(path)}: a link to {target}, which is not there; mount it or remove the link"
            )
        self.others[images.shown(path.suffix.lower()) or "without a suffix"] += 1


@contextmanager
def _listing(folder: Path) -> Iterator[None]:
    """Whatever cannot be listed is named: a folder without permission, a link to itself."""
    try:
        yield
    except OSError as error:
        place = images.shown(error.filename or folder)
        raise DataError(f"{place}: cannot be listed ({error.strerror}); expected a folder or a picture") from None


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in JUNK


def _classes(folder: Path) -> list[str]:
    with _listing(folder / "train"), os.scandir(folder / "train") as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not _hidden(entry.name))


def _undivided(folder: Path) -> list[str]:
    """Folders with something in them where the splits should be; none where nothing can be read."""
    with suppress(OSError):
        inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and not _hidden(path.name)]
        return [path.name for path in inside if path.name not in ("train", "test", "val") and any(path.iterdir())]
    return []


def _by_class(folder: Path, classes: Sequence[str]) -> _Listing:
    found = _Listing()
    known = set(classes)
    with _listing(folder):
        found.add_beside(folder)
        for entry in sorted(os.listdir(folder)):
            if entry not in known and not _hidden(entry) and (folder / entry).is_dir():
                remedy = "its images would not be judged; remove it, or give train such a folder"
                raise DataError(f"{images.shown(folder / entry)}: no class of train has this name: {remedy}")
        for label, name in enumerate(classes):
            before = len(found.files)
            if (folder / name).is_dir():
                found.add(folder / name, label)
            if len(found.files) == before:
                passed = "; ".join(found.told())
                raise DataError(
                    f"{images.shown(folder / name)}: no images, expected some of each class in train"
                    + (f" ({passed})" if passed else "")
                )
    found.leave_out_links()
    return found


def _annotated(folder: Path, classes: Sequence[str]) -> _Listing:
    """Tiny ImageNet's validation set: a line per image, file name, class and box separated by tabs."""
    numbers = {name: label for label, name in enumerate(classes)}
    table = folder / "val_annotations.txt"
    try:
        lines = table.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{images.shown(table)}: cannot be read ({error}); unpack it again") from None
    listed: dict[Path, int] = {}
    for number, line in enumerate(lines, 1):
        name, label = (*line.split("\t"), "")[:2]
        if label not in numbers:
            raise DataError(f"{images.shown(table)}:{number}: class {label!r} has no folder in train")
        file = folder / "images" / name
        if not file.is_file():
            raise DataError(
                f"{images.shown(table)}:{number}: images/{images.shown(name)} is not there; unpack it again"
            )
        if listed.setdefault(file, numbers[label]) != numbers[label]:
            raise DataError(f"{images.shown(table)}:{number}: images/{images.shown(name)} stands in two classes")
    found = _Listing(sorted(listed.items(), key=lambda entry: (entry[1], entry[0])))
    with _listing(folder):
        found.pass_over_unlisted(folder / "images")
    return found
