"""Studies that a reviewer looks at, and ways to change them: what is asked for is met, or is missing."""

from __future__ import annotations

from dataclasses import replace

from pabench_reports.checklist import answers

from pabench.report import frame
from pabench.suite.specs import CriterionSpec, DatasetSpec

from ..synthetic import CRITERIA, cells, manifest, record

RULES = [CRITERIA["random"], CRITERIA["magnitude"], CRITERIA["snip"]]
LINE = CriterionSpec("late", {"rewind_epochs": 2}, {"rewind_epochs": 2}, 1, trains=True, reference_line="trained first")
SMALL = {"models": ("resnet20",), "sparsities": (0.9,), "seeds": 2}
# three studies that together meet everything: all questions to one would take hundreds of cells
PLAIN = {"rules": (*RULES, LINE)}
BROAD = {
    "rules": RULES[:1],
    "models": ("resnet20", "vgg11_bn", "vgg16_cifar"),
    "sparsities": (0.8, 0.9, 0.95, 0.98, 0.99),
    "seeds": 3,
}
ERK = CriterionSpec("random", {"allocation": "erk"}, {"allocation": "erk"}, 1)
LAYERED = {"rules": (*RULES, ERK)}
ABLATED = {"rules": RULES, "ablations": ("shuffle", "reinit", "invert")}


def study(rules=RULES, *, make=record, change=lambda cell: cell, strays=0, **axes):
    expected = [change(cell) for cell in cells(rules, **{**SMALL, **axes})]
    records = {cell.key: made for cell in expected if (made := make(cell)) is not None}
    kept = expected[: len(expected) - strays]
    return frame.study(manifest(kept), records)


def states(of):
    return {one.question: one.state for one in answers(of)}


def told(of, start):
    (one,) = [one for one in answers(of) if one.question.startswith(start)]
    return one.state, one.text


def named(name):
    return lambda cell: cell.criterion is not None and cell.criterion.name == name


def where(test, other):
    """Records of which those that pass a test are made otherwise."""
    return lambda cell: other(cell) if test(cell) else record(cell)


def within(part, **entries):
    """A record with other entries in one of its parts."""

    def made(cell):
        whole = record(cell)
        return {**whole, part: {**whole[part], **entries}} if whole[part] else whole

    return made


def first_seed(cell):
    return cell.seed == 0


def flagged(flag):
    return lambda cell: record(cell, flags=[{"flag": flag, "detail": ""}])


def declined(cell):
    empty = {"pairing": {}, "receipt": None, "result": None, "cost": {}}
    return record(cell, status="skipped", kind="degenerate", message="all zero", **empty)


def without(part, entry):
    def made(cell):
        whole = record(cell)
        return {**whole, part: {k: v for k, v in whole[part].items() if k != entry}} if whole[part] else whole

    return made


def other_recipe(cell):
    return replace(cell, recipe=replace(cell.recipe, epochs=80)) if named("snip")(cell) else cell


def partly(cell):
    return replace(cell, dataset=DatasetSpec("cifar10", {"train_per_class": 300}, fingerprint="f" * 64))


def other_protocol(cell):
    return replace(cell, protocol="theirs-v3")


def other_images(cell):
    other = replace(cell, dataset=replace(cell.dataset, fingerprint="e" * 64))
    return other if named("snip")(cell) else cell


def unknown_images(cell):
    return replace(cell, dataset=DatasetSpec("cifar10"))


def on_imagenet(cell):
    return replace(cell, dataset=DatasetSpec("imagenet", fingerprint="f" * 64))


def at_80(cell):
    return cell.criterion is not None and cell.sparsity == 0.8


LARGE = {"rules": RULES, "change": on_imagenet}
TWICE = CriterionSpec("snip", {"examples_per_class": 20}, {"examples_per_class": 20}, 1)


def turns(sound, changed, question, says):
    """Assert that a question is met by a sound study and missing in a changed one, which `says` what is missing."""
    assert told(study(**sound), question)[0] == "met"

    state, text = told(study(**{**sound, **changed}), question)

    assert state == "missing"
    assert says in text
