"""What programs need to load the tables of a site: its `croissant.json` (MLCommons Croissant 1.0, JSON-LD)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pabench.leaderboard.boards import Published
from pabench.source import bytes_digest
from pabench.suite.cell import PROTOCOL
from pabench.suite.digest import digest
from pabench.words import one_line

NAME = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
TABLE = re.compile(r"data/v1/(?P<kind>cells|boards)/(?P<name>[^/]+)\.csv")
TEXT, NUMBER, INTEGER = "sc:Text", "sc:Float", "sc:Integer"

CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""That of the specification, whole: a reader warns of another."""

CELLS: Mapping[str, tuple[str, str]] = {
    "key": (TEXT, "The cell: SHA-256 of all that can change its result"),
    "block": (TEXT, "SHA-256 of protocol, dataset, model and seed: cells of a block share all but the mask"),
    "dataset": (TEXT, "What it was trained and tested on"),
    "model": (TEXT, "The network"),
    "criterion": (TEXT, "The pruning criterion with the parameters that were given; dense: nothing is pruned"),
    "reference_line": (TEXT, "Why it is shown beside the ranking and not in it; empty for a criterion"),
    "sparsity": (NUMBER, "Removed fraction of the prunable weights that was asked for; 0 of the dense baseline"),
    "seed": (INTEGER, "The repetition"),
    "batch": (INTEGER, "Scoring images of each class; 0 of a criterion that looks at none"),
    "status": (TEXT, "ok, failed, skipped or missing (it was not run)"),
    "ablation": (TEXT, "Which sanity check the cell is; empty for a plain one"),
    "parent": (TEXT, "Of an ablation the key of its plain cell"),
    "train": (TEXT, "How the masked network was trained; plain: the mask stays as it is"),
    "top1": (NUMBER, "Test accuracy after the last epoch, in percent; on regression data 100 R²"),
    "top5": (NUMBER, "Share of test images whose class is among the five highest logits, in percent"),
    "r2": (NUMBER, "On regression data 1 - mean squared error / variance of the test targets"),
    "loss": (NUMBER, "Mean test loss after the last epoch"),
    "training_top1": (NUMBER, "Of a dense network its accuracy on training images as they are, in percent"),
    "training_r2": (NUMBER, "The same on regression data"),
    "weights_on_paths": (
        NUMBER,
        "Of a network that gives one class: kept weights on a path from the input to a logit",
    ),
    "parameters_dense": (NUMBER, "All parameters of the network"),
    "parameters_pruned": (NUMBER, "Those that are left under the mask"),
    "flops_dense": (NUMBER, "Forward FLOPs of one image, two a multiply-accumulate"),
    "flops_pruned": (NUMBER, "The same, counting kept weights only"),
    "sparsity_reached": (NUMBER, "Removed fraction of the prunable weights, counted in the mask"),
    "weights_total": (NUMBER, "Prunable weights"),
    "weights_kept": (NUMBER, "Those that the mask keeps"),
    "tied_at_threshold": (NUMBER, "Weights that share the lowest kept score"),
    "kept_of_tied": (NUMBER, "How many of them are kept"),
    "zero_scores": (NUMBER, "Scores of the dense network that are exactly 0"),
    "rounds": (NUMBER, "Rounds of scoring and pruning"),
    "gradient_norm_before": (NUMBER, "Norm of the gradient of the loss on the scoring batch before pruning"),
    "gradient_norm_after": (NUMBER, "The same over kept weights after pruning"),
    "scoring_seconds": (NUMBER, "Seconds of scoring"),
    "scoring_peak_bytes": (NUMBER, "Bytes of memory at most while scoring"),
    "scoring_images": (NUMBER, "Images that the criterion saw"),
    "gradient_seconds": (NUMBER, "Seconds of one forward and one backward pass of gradient_images"),
    "gradient_images": (NUMBER, "Images of that pass"),
    "training_seconds": (NUMBER, "Seconds of the training"),
    "wall_seconds": (NUMBER, "Seconds from the start of the process of the training to its end"),
    "kind": (TEXT, "Of a failed or skipped cell what kind of end it was"),
    "message": (TEXT, "What was said of it"),
    "source": (TEXT, "Hash of what the code of the criterion says"),
    "dtype": (TEXT, "What scores were computed in"),
    "device": (TEXT, "The kind of processor"),
    "created": (TEXT, "When the record was written, UTC, ISO 8601"),
    "flags": (TEXT, "What is to be known of the result, joined by '; '"),
    "rerun": (TEXT, "The command that runs the cell again"),
    "outcome": (TEXT, "What it counts as in comparisons: trained, collapsed, failed, declined or missing"),
    "chance": (NUMBER, "Accuracy of guessing, in percent"),
}
"""Type and meaning of the columns of a study's cells. Every other column is a number of a metric."""

BOARDS: Mapping[str, tuple[str, str]] = {
    r"criterion": (TEXT, "The pruning criterion with the parameters that were given"),
    r"note": (TEXT, "Why it is shown beside the ranking and not in it; empty for a criterion"),
    r"rank_(low|high)": (NUMBER, "The first and the last place that the tests leave possible; 1 is best"),
    r"group": (TEXT, "Criteria that share a letter cannot be told apart"),
    r"mean_rank": (NUMBER, "Mean over blocks of its rank within the block"),
    r"difference_to_.*_method": (TEXT, "How the interval of the difference was made"),
    r"difference_to_.*_n": (NUMBER, "Blocks of the difference"),
    r"difference_to_.*": (NUMBER, "Mean paired difference in points to the criterion named, and its 95 % interval"),
    r"top1_.*_method": (TEXT, "How the interval of the mean was made"),
    r"top1_.*_n": (NUMBER, "Cells of the mean"),
    r"top1_.*": (NUMBER, "Mean test accuracy in percent at the sparsity named, and its 95 % interval"),
    r"failed_blocks_.*": (
        NUMBER,
        "Blocks in which a cell failed by itself: count, of n, the exact 95 % interval",
    ),
    r"collapsed_.*": (NUMBER, "Cells no better than guessing: count, of n, the exact 95 % interval"),
    r"ok|failed|skipped|missing": (INTEGER, "Cells that ended so"),
    r"checked": (TEXT, "self-reported, mask-verified or reproduced"),
    r"checked_detail": (TEXT, "What was checked, or why nothing was"),
    r"studies": (TEXT, "The studies that ran it, joined by spaces"),
}
"""The same of boards, by a pattern of the name: the first that is the whole name counts."""


def croissant(
    tables: Mapping[str, bytes],
    studies: Sequence[Published],
    title: str,
    authors: Sequence[str],
    published: str,
    *,
    licence: str,
) -> dict[str, Any]:
    """The description of these tables, CSV by path; other paths are passed over. `licence` is an SPDX identifier."""
    found = {path: data for path, data in sorted(tables.items()) if TABLE.fullmatch(path)}
    files = [_file(path, data) for path, data in found.items()]
    number = f"{len(studies)} {'study' if len(studies) == 1 else 'studies'}"
    what = (
        f"Accuracies of neural networks pruned at initialization: {number}, and the boards that compare them. A row of "
        "a table in data/v1/cells is one training, a row of one in data/v1/boards is one criterion. What the data are "
        f"and are not good for is in datasheet.md, the rules of the comparison in {PROTOCOL}.md."
    )
    return {
        "@context": dict(CONTEXT),
        "@type": "sc:Dataset",
        "name": one_line(title),
        "description": what,
        "conformsTo": CONFORMS_TO,
        "citeAs": _cited(studies, title, authors, published),
        "creator": [{"@type": "sc:Person", "name": one_line(author)} for author in authors],
        "license": f"https://spdx.org/licenses/{licence}",
        "datePublished": published,
        # the build part is another as soon as a table is, and the number before it as soon as data/v1 is data/v2
        "version": f"1.0.0+{digest([file['sha256'] for file in files])[:12]}",
        "keywords": ["neural network pruning", "pruning at initialization", "benchmark"],
        "isLiveDataset": True,
        "distribution": files,
        "recordSet": [_records(path, data) for path, data in found.items()],
    }


def _id(path: str) -> str:
    return str(PurePosixPath(path).relative_to("data/v1").with_suffix(""))


def _file(path: str, data: bytes) -> dict[str, str]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{len(data)} B",
        "encodingFormat": "text/csv",
        "sha256": bytes_digest(data),
    }


def _records(path: str, data: bytes) -> dict[str, Any]:
    own, kind = _id(path), TABLE.fullmatch(path)["kind"]  # type: ignore[index]
    key = "key" if kind == "cells" else "criterion"
    told = "The cells of a study: one training a row." if kind == "cells" else "A board: one criterion a row."
    return {
        "@type": "cr:RecordSet",
        "@id": own,
        "name": own,
        "description": told,
        "key": {"@id": f"{own}/{key}"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{own}/{column}",
                "name": column,
                "description": description,
                "dataType": data_type,
                "source": {"fileObject": {"@id": path}, "extract": {"column": column}},
            }
            for column, data_type, description in _fields(kind, data)
        ],
    }


def _fields(kind: str, data: bytes) -> Iterator[tuple[str, str, str]]:
    """The columns of a table with their types and meanings, by its own first line."""
    for column in next(csv.reader(io.StringIO(data.decode()))):
        if kind == "cells":
            metric = column.partition(".")[0]
            yield column, *CELLS.get(column, (NUMBER, f"A number of the metric {metric}"))
        else:
            yield column, *next(told for pattern, told in BOARDS.items() if re.fullmatch(pattern, column))


def _cited(studies: Sequence[Published], title: str, authors: Sequence[str], published: str) -> str:
    """BibTeX, in which braces and backslashes of a stranger's text would be commands."""
    names = " and ".join(map(_harmless, authors)) or f"{{Contributors to {_harmless(title)}}}"
    digests = ", ".join(f"{_harmless(study.slug)} sha256:{study.digest}" for study in studies)
    entries = {"title": _harmless(title), "author": names, "year": published[:4], "note": f"Studies: {digests}"}
    return "\n".join(["@misc{pabench_site,", *(f"  {name} = {{{text}}}," for name, text in entries.items()), "}"])


def _harmless(text: str) -> str:
    return one_line(re.sub(r"[\\{}]", "", text))
