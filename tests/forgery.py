"""Submissions that lie: what a forger of some diligence would do to a folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from pabench.leaderboard.aggregates import aggregates
from pabench.source import code_digest
from pabench.store import imagebits, maskbits
from pabench.store.envelope import seal, unseal
from pabench.store.record import labels
from pabench.suite.cell import Cell
from pabench.suite.digest import canonical, digest

Change = Callable[[dict[str, Any]], None]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Forgery:
    """A copy of a submission, its records by what they are of."""

    def __init__(self, submission: Path, folder: Path) -> None:
        self.folder = shutil.copytree(submission, folder)

    def record(self, criterion: str = "snip", sparsity: float = 0.9, seed: int = 0, train: str = "plain") -> Path:
        """The file of a record."""
        for path in self.folder.glob("records/*.json"):
            cell = Cell.from_json(unseal(path.read_bytes())["cell"])
            name = cell.criterion.name if cell.criterion else "dense"
            if (name, cell.sparsity, cell.seed, cell.train.name) == (criterion, sparsity, seed, train):
                return path
        raise AssertionError("no such record")

    def receipt(self, record: Path) -> Path:
        cell = Cell.from_json(unseal(record.read_bytes())["cell"])
        return self.folder / "receipts" / f"{cell.pruning_key}.json"

    def change(self, path: Path, how: Change) -> None:
        """Alter a sealed file and seal it again."""
        data = unseal(path.read_bytes())
        how(data)
        path.write_bytes(seal(data))

    def scored(self, path: Path, top1: float) -> None:
        """Give a record another accuracy, and a bit for each test image that adds up to it."""

        def how(record: dict[str, Any]) -> None:
            images = record["result"]["test"]["images"]
            right = np.arange(images) < round(top1 * images / 100)
            record["result"].update(top1=top1, top5=100.0, right=imagebits.packed(right))

        self.change(path, how)

    def both(self, record: Path, how: Change) -> None:
        """Alter a record and the receipt of its pruning alike."""
        self.change(self.receipt(record), how)
        self.change(record, how)

    def study(self, how: Change) -> None:
        """Alter the manifest and hash it again."""
        path = self.folder / "study.json"
        data = json.loads(path.read_text())
        del data["sha256"]
        how(data)
        path.write_text(canonical({**data, "sha256": digest(data)}))

    def mask(self, record: Path, how: Callable[[np.ndarray], None], **header: Any) -> None:
        """Alter the bits of all layers, as one row, and point the record and its receipt to the new file."""
        old = unseal(record.read_bytes())["receipt"]["mask"]
        masks, receipt = maskbits.read((self.folder / "masks" / f"{old}.safetensors").read_bytes())
        flat = np.concatenate([m.reshape(-1) for m in masks.values()])
        how(flat)
        new, start = {}, 0
        for name, m in masks.items():
            new[name] = flat[start : start + m.size].reshape(m.shape)
            start += m.size
        data = packed(new, {**receipt, **header})
        (self.folder / "masks" / f"{old}.safetensors").unlink()
        (self.folder / "masks" / f"{sha(data)}.safetensors").write_bytes(data)
        self.both(record, lambda found: found["receipt"].update({**header, "mask": sha(data)}))

    def cells(self, how: Change) -> None:
        """Alter what cells say and derive keys, labels and file names from it, as the program would have."""
        renamed: dict[str, str] = {}
        changed: dict[str, Cell] = {}
        manifest = json.loads((self.folder / "study.json").read_text())
        for data in manifest["cells"]:
            old = Cell.from_json(json.loads(json.dumps(data)))
            how(data)
            new = changed[old.key] = Cell.from_json(data)
            renamed |= {old.key: new.key, old.pruning_key: new.pruning_key, old.check_key: new.check_key}
            renamed |= {old.block: new.block}
        for file in [p for kind in ("records", "receipts", "checks") for p in self.folder.glob(f"{kind}/*.json")]:
            found = unseal(file.read_bytes())
            data = json.loads(_replaced(canonical(found), renamed))
            if "cell" in data:
                new = changed[found["key"]]
                data |= {"cell": json.loads(canonical(new.to_json())), "labels": labels(new)}
            file.unlink()
            (file.parent / f"{data['key']}.json").write_bytes(seal(data))
        for file in self.folder.glob("metrics/*.json"):
            file.unlink()
        self.study(lambda s: s.update(cells=manifest["cells"]))

    def means(self) -> None:
        """Compute the aggregates anew."""
        records = {p.stem: unseal(p.read_bytes()) for p in self.folder.glob("records/*.json")}
        cells = [Cell.from_json(data) for data in json.loads((self.folder / "study.json").read_text())["cells"]]
        rows = aggregates(cells, records)
        (self.folder / "aggregates.json").write_text(json.dumps({"schema": 1, "rows": rows}))

    def listing(self) -> Path:
        """Make the list of files anew, as an honest `pabench submit` would."""
        path = self.folder / "submission.json"
        stated = json.loads(path.read_text())
        files = [p for p in self.folder.rglob("*") if p.is_file() and p != path]
        data = {str(p.relative_to(self.folder)): p.read_bytes() for p in sorted(files)}
        stated["files"] = {name: {"sha256": sha(d), "bytes": len(d)} for name, d in data.items()}
        stated["digest"] = digest({name: sha(d) for name, d in data.items()})
        path.write_text(json.dumps(stated))
        return self.folder

    def source(self, criterion: str, old: str, new: str) -> None:
        """Edit the source of a criterion and derive all keys and masks' headers from the new one: a perfect forgery."""
        (path,) = self.folder.glob(f"criteria/{criterion}-*.py")
        text = path.read_text()
        assert old in text
        edited = text.replace(old, new)
        before, after = code_digest(text.encode()), code_digest(edited.encode())
        path.unlink()
        (path.parent / f"{criterion}-{sha(edited.encode())[:8]}.py").write_text(edited)
        renamed: dict[str, str] = {before: after, sha(text.encode()): sha(edited.encode())}
        for mask in list(self.folder.glob("masks/*")):
            masks, receipt = maskbits.read(mask.read_bytes())
            if receipt["source"] == before:
                data = packed(masks, {**receipt, "source": after})
                renamed[mask.stem] = sha(data)
                mask.unlink()
                (mask.parent / f"{sha(data)}.safetensors").write_bytes(data)
        for record in self.folder.glob("records/*.json"):
            cell = Cell.from_json(unseal(record.read_bytes())["cell"])
            if cell.criterion and cell.criterion.source == before:
                other = Cell.from_json(json.loads(_replaced(json.dumps(cell.to_json()), {before: after})))
                renamed |= {cell.key: other.key, cell.pruning_key: other.pruning_key, cell.check_key: other.check_key}
        for file in [p for kind in ("records", "receipts", "checks") for p in self.folder.glob(f"{kind}/*.json")]:
            data = json.loads(_replaced(canonical(unseal(file.read_bytes())), renamed))
            file.unlink()
            (file.parent / f"{data['key']}.json").write_bytes(seal(data))
        for file in self.folder.glob("metrics/*.json"):
            file.unlink()
        self.study(lambda s: s.update(cells=json.loads(_replaced(json.dumps(s["cells"]), renamed))))


def packed(masks: dict[str, np.ndarray], receipt: dict[str, Any]) -> bytes:
    """A mask file as pabench writes it."""
    shapes = {n: list(m.shape) for n, m in masks.items()}
    header = {"format": maskbits.FORMAT, "shapes": json.dumps(shapes), "receipt": canonical(receipt)}
    return save({n: np.packbits(m.reshape(-1)) for n, m in masks.items()}, {"pabench": canonical(header)})


def _replaced(text: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        text = text.replace(old, new)
    return text
