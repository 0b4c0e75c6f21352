"""The code of plugin classes: what identifies it, and what built-in criteria say of themselves without being imported.

A class has two hashes: one of what its code says, which is part of every key, and one of the bytes that it stands in,
which is what verification trusts.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from os.path import isfile, realpath
from pathlib import Path
from typing import Any

FOREIGN = {"pabench", *sys.stdlib_module_names}
"""Top-level packages that are never a plugin's own."""
INSTALLED = ("site-packages", "dist-packages")
"""Folders in which neighbours have nothing to do with each other."""
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What reading a file may raise that is no Python, or, from a stranger, nested beyond all measure."""
ASIDE: Mapping[str, tuple[object, ...]] = {
    "precision": ("float32", "float64"),
    "first_order": (True, False),
    "second_order": (True, False),
}
"""Of a criterion's class: a key has the type that scores are computed in, a gradient is the same whoever takes it, and
the layout of images moves rounding."""


def real(path: str | Path) -> Path:
    """An absolute path without links. `Path.resolve` of Python 3.11 and 3.12 ends with an error in a loop of links;
    this one leaves the loop to whoever opens the file."""
    return Path(realpath(path))


@cache
def source_digest(cls: type) -> str:
    """Hash of the code that defines a class, part of every key: an edited criterion is another one.

    Docstrings, comments, layout, imports of pabench and what a class says of how it is computed (`ASIDE`) do not count,
    and every Python gives the same hash. All else in the class's file does, in the files of its own that it imports,
    and in those of the classes it extends. "" for a class that is in no file (typed into a notebook): the library takes
    it, a suite cannot name it.
    """
    return _together(code_digest, source_files(cls))


@cache
def file_digest(cls: type) -> str:
    """SHA-256 of the bytes of the same files: what a record's reader can compare with a file in hand."""
    return _together(bytes_digest, source_files(cls))


def bytes_digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def code_digest(data: bytes) -> str:
    """Hash of what a Python file says; of its bytes where it is not Python."""
    try:
        said = json.dumps(_canonical(ast.parse(data)), separators=(",", ":"))
    except UNREADABLE:
        return bytes_digest(data)
    return bytes_digest(said.encode())


@cache
def source_files(cls: type) -> tuple[Path, ...]:
    """The file of a class, those of the classes it extends, and all files of their own that they import, in this order.

    Imports are read, not followed at run time: relative ones, those of the file's own package, and for a file outside
    any package those of modules beside it, also where a file is named by a string that ends in `.py`.
    """
    extended = [c for c in cls.__mro__[1:] if c.__module__.partition(".")[0] not in FOREIGN]
    try:
        return _with_imports([Path(inspect.getfile(c)).resolve() for c in (cls, *extended)])
    except (OSError, TypeError):
        return ()


def _with_imports(waiting: list[Path]) -> tuple[Path, ...]:
    found: dict[Path, None] = {}
    while waiting:
        file = waiting.pop(0)
        if file not in found:
            found[file] = None
            waiting += _own_imports(file)
    return tuple(found)


def libraries(file: Path) -> list[str]:
    """Modules that a file, and the files of its own that it imports, import when they are imported themselves, and that
    are none of its own."""
    found: dict[str, None] = {}
    for path in _with_imports([file.resolve()]):
        with suppress(OSError, *UNREADABLE):
            for node in _at_once(ast.parse(path.read_bytes()).body):
                for statement, module in _imports(node):
                    if not any(isfile(meant) for meant in _meant(statement, path)):
                        found[module] = None
    return list(found)


def _at_once(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The statements that importing a file runs, those in its functions left out."""
    for node in body:
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.ExceptHandler, ast.With)):
            yield from _at_once(ast.iter_child_nodes(node))


def _imports(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """The modules that a statement imports from outside its package, each with a statement of its own."""
    if isinstance(node, ast.Import):
        yield from ((ast.Import([alias]), alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node, node.module


def _together(digest: Callable[[bytes], str], files: Iterable[Path]) -> str:
    """One hash of several files; that of the file itself where it stands alone."""
    digests = [digest(file.read_bytes()) for file in files]
    if len(digests) == 1:
        return digests[0]
    return bytes_digest("".join(digests).encode()) if digests else ""


def _own_imports(file: Path) -> list[Path]:
    """The files beside or below a file that it imports, in the order of its lines."""
    try:
        tree = ast.parse(file.read_bytes())
    except UNREADABLE:
        return []
    meant = [path for node in ast.walk(tree) for path in _meant(node, file)]
    # a string may be no possible name of a file: this asks without raising
    found = [path.resolve() for path in meant if isfile(path)]
    return [path for path in found if path != file]


def _meant(node: ast.AST, file: Path) -> Iterator[Path]:
    """Files that an import may mean, of a module or of a name in one, and what a string names that ends in `.py`."""
    names: list[list[str]] = []
    if isinstance(node, ast.ImportFrom):
        module = node.module.split(".") if node.module else []
        names = [module, *([*module, alias.name] for alias in node.names)]
    elif isinstance(node, ast.Import):
        names = [alias.name.split(".") for alias in node.names]
    elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
        names = [text.split(".") for a in node.args if (text := _text(a))]
    if isinstance(node, ast.ImportFrom) and node.level:
        folder = file.parents[node.level - 1]
    else:
        names = [name for name in names if _is_own(name[0], file)]
        folder = _root(file) if names else file.parent  # most nodes of a file import nothing, and finding it takes long
    for name in names:
        path = folder.joinpath(*name)
        yield from (path.with_suffix(".py"), path / "__init__.py") if name else (path / "__init__.py",)
    if _text(node).endswith(".py"):
        yield file.parent / _text(node)


def _is_own(package: str, file: Path) -> bool:
    """Whether an absolute import from `package` may lead to a file of one's own: of the same package, or beside a file
    that is in none. Beside a file among installed packages are those of others."""
    root = _root(file)
    if package in FOREIGN:
        return False
    if root != file.parent:
        return package == file.relative_to(root).parts[0]
    return root.name not in INSTALLED


def _text(node: ast.AST) -> str:
    """The string that a node is; "" where it is none."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _root(file: Path) -> Path:
    """The folder that a file's absolute imports start from: the one around its outermost package, or its own."""
    return next(folder for folder in file.parents if not (folder / "__init__.py").is_file())


def _canonical(value: Any) -> Any:
    """A syntax tree as nested lists. What is empty is left out, since each Python adds fields of its own."""
    if isinstance(value, ast.Constant):
        return ["Constant", type(value.value).__name__, _constant(value.value)]
    if isinstance(value, ast.ClassDef):
        value.body = [part for part in value.body if not _is_aside(part)]
    if isinstance(value, ast.JoinedStr):
        return ["JoinedStr", _canonical(_joined(value.values))]
    if isinstance(value, ast.AST):
        fields = sorted((name, _canonical(part)) for name, part in ast.iter_fields(value) if name != "type_comment")
        return [type(value).__name__, *([name, part] for name, part in fields if part not in (None, []))]
    if isinstance(value, list):
        return [_canonical(part) for part in value if not _is_silent(part)]
    return value


def _is_silent(node: Any) -> bool:
    """Whether a statement, or a name that one imports, says nothing that counts: a docstring, an import of pabench."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if isinstance(node, ast.ImportFrom):
        return not node.level and _is_ours(node.module or "")
    if isinstance(node, ast.Import):
        return all(_is_ours(alias.name) for alias in node.names)
    return isinstance(node, ast.alias) and _is_ours(node.name)


def _is_aside(node: ast.stmt) -> bool:
    """Whether a line of a class body says how scores are computed, and not what they are."""
    if isinstance(node, ast.Assign):
        targets, value = node.targets, node.value
    elif isinstance(node, ast.AnnAssign) and node.value:
        targets, value = [node.target], node.value
    else:
        return False
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return len(names) == 1 and isinstance(value, ast.Constant) and value.value in ASIDE.get(names[0], ())


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "pabench"


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string, neighbouring texts as one: where they are cut differs between Pythons."""
    found: list[ast.expr] = []
    for part in parts:
        if isinstance(part, ast.Constant) and found and isinstance(found[-1], ast.Constant):
            found[-1] = ast.Constant(found[-1].value + part.value)  # type: ignore[operator]
        elif not (isinstance(part, ast.Constant) and part.value == ""):
            found.append(part)
    return found


def _constant(value: Any) -> str:
    """A literal as text that no version of Python prints otherwise (`repr` of a string follows its Unicode tables)."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | float):
        return value.hex()
    return hex(value) if type(value) is int else repr(value)


READ = ("name", "paper", "trains", "reference_line", "variants", "cost")


@dataclass(frozen=True)
class Declared:
    """A built-in criterion: its `file` as it is here, those of the classes that it `extends`, what its class declares.

    `paper` is `arXiv:1810.02340` or an address.
    """

    file: Path | None = None
    extends: tuple[Path, ...] = ()
    paper: str = ""
    trains: bool = False
    reference_line: str = ""
    control: bool = False
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @cached_property
    def source(self) -> str:
        """The hash of what its files say, as `source_digest` has it."""
        return _together(code_digest, self._files)

    @cached_property
    def sha256(self) -> str:
        """That of their bytes, as `file_digest` has it."""
        return _together(bytes_digest, self._files)

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        return _with_imports([path.resolve() for path in (self.file, *self.extends)]) if self.file else ()


@cache
def declared() -> dict[str, Declared]:
    """The built-in criteria by name."""
    found = stated(sorted(Path(str(files("pabench_criteria"))).glob("*.py")))[0]
    return {one.name: Declared(one.file, one.extends, **one.says) for one in found}


@dataclass(frozen=True)
class Stated:
    """A class that has a name, as its file says it: the docstrings of both, and the plain values of `READ` that it and
    its bases among the same files give, `control` where it is one. `extends` are the files of these bases, in the order
    in which Python looks through them."""

    name: str
    file: Path
    extends: tuple[Path, ...]
    heading: str
    doc: str
    says: Mapping[str, Any]


def stated(paths: Iterable[Path]) -> tuple[list[Stated], dict[Path, str]]:
    """The named classes of files, which are read and not run, and what is wrong with those that are no Python."""
    classes: dict[str, tuple[ast.ClassDef, Path]] = {}
    headings: dict[Path, str] = {}
    broken: dict[Path, str] = {}
    for path in paths:
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError as error:
            broken[path] = f"line {error.lineno}: SyntaxError: {error.msg}"
        except (OSError, *UNREADABLE) as error:
            broken[path] = f"{type(error).__name__}: {error}"
        else:
            headings[path] = _heading(tree)
            classes |= {node.name: (node, path) for node in tree.body if isinstance(node, ast.ClassDef)}
    found = []
    for node, path in classes.values():
        # a class without a name of its own is the base of some that have one
        if isinstance(_stated(node).get("name"), str):
            with suppress(RecursionError):  # of strangers: two classes that extend each other
                says = _inherited(node, classes)
                order = list(_lineage(node, classes))
                extends = tuple(reversed(dict.fromkeys(reversed(order))))  # what several extend comes after all of them
                found.append(Stated(says.pop("name"), path, extends, headings[path], _heading(node), says))
    return found, broken


def _heading(node: ast.Module | ast.ClassDef) -> str:
    """The first line of a docstring, without its full stop."""
    return (ast.get_docstring(node) or "").partition("\n")[0].rstrip(".")


def is_built_in(name: str) -> bool:
    """Whether a criterion of this name comes with pabench, of this version or of another."""
    return name.partition("@")[0] in declared()


def is_built_in_file(sha256: str) -> bool:
    """Whether this is the SHA-256 of a built-in criterion as it is here."""
    return any(one.sha256 == sha256 for one in declared().values())


def _inherited(node: ast.ClassDef, classes: Mapping[str, tuple[ast.ClassDef, Path]]) -> dict[str, Any]:
    """What a class and its bases among `classes` state, its own word before theirs, and whether it is a `control`."""
    entries: dict[str, Any] = {}
    for base in node.bases:
        name = base.id if isinstance(base, ast.Name) else ""
        if name == "Control":  # `scoring.control`, which would load torch
            entries["control"] = True
        elif name in classes:
            entries |= _inherited(classes[name][0], classes)
    return entries | _stated(node)


def _lineage(node: ast.ClassDef, classes: Mapping[str, tuple[ast.ClassDef, Path]]) -> Iterator[Path]:
    """The files of what a class extends among `classes`, base by base, each with its own bases."""
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            extended, path = classes[base.id]
            yield path
            yield from _lineage(extended, classes)


def _stated(node: ast.ClassDef) -> dict[str, Any]:
    """The plain values that a class body gives to the names in `READ`."""
    found = {}
    for line in node.body:
        if isinstance(line, ast.Assign):
            target, value = line.targets[0], line.value
        elif isinstance(line, ast.AnnAssign) and line.value:
            target, value = line.target, line.value
        else:
            continue
        if isinstance(target, ast.Name) and target.id in READ:
            with suppress(*UNREADABLE):  # a stranger may compute it
                found[target.id] = ast.literal_eval(value)
    return found
