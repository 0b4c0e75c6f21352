"""Which published figure speaks of which cells, and in what the two were made differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pabench.suite.cell import DENSE
from pabench.suite.provenance import claimed
from pabench.words import percent, plain

from .publication import KnownRecipe, Quoted

SAME_KEPT = 0.02
"""Two sparsities whose shares of kept weights differ by more than this part are two operating points."""


@dataclass(frozen=True)
class Alias:
    """What a published name is called here, and why; `stem` is that of the papers' network, "" where it is its own."""

    ours: str
    reason: str
    stem: str = ""


DATASETS = {"tinyimagenet": "tiny_imagenet"}
FULL = {
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "fashion_mnist": (60_000, 10_000),
    "tiny_imagenet": (100_000, 10_000),
    "imagenet": (1_281_167, 50_000),
}
"""Training and test images of the whole dataset (ImageNet and Tiny ImageNet: validation images are tested on)."""
CLASSES = {"cifar10": 10, "cifar100": 100, "fashion_mnist": 10, "tiny_imagenet": 200, "imagenet": 1000}
_TINY_VGG = "one name, two networks: the paper's ends in linear layers of 1,024, timm's in 4,096"
_UNSEEN = "by its name alone: the paper's layout was not seen"
MODELS: dict[tuple[str, str], Alias] = {
    **{
        (f"lottery_vgg{n}_bn", dataset): Alias(f"vgg{n}_cifar", "same layout; the paper's convolutions have a bias too")
        for n in (11, 16)
        for dataset in ("cifar10", "cifar100")
    },
    **{("vgg19", dataset): Alias("vgg19_cifar", "the layout of GraSP's code") for dataset in ("cifar10", "cifar100")},
    **{
        ("tiny_resnet18", dataset): Alias("resnet18", "ResNet-18 with a 3x3 stem and no max-pool", "cifar")
        for dataset in ("cifar10", "cifar100")
    },
    ("resnet18", "tiny_imagenet"): Alias("resnet18", "ResNet-18 with a 3x3 stem and no max-pool", "cifar"),
    ("vgg11_bn", "tiny_imagenet"): Alias("vgg11_bn", _TINY_VGG),
    ("vgg16_bn", "tiny_imagenet"): Alias("vgg16_bn", _TINY_VGG),
    **{(name, d): Alias(name, _UNSEEN) for name in ("resnet34", "resnet50") for d in ("cifar10", "cifar100")},
}
"""By published name and dataset. A name that is not here is its own; wide_resnet18 has no counterpart."""
CRITERIA = {
    "grasp (as quoted from GraSP)": Alias("grasp", "quoted by a later paper"),
    "no_prune": Alias(DENSE, "nothing is pruned"),
}
"""What else a criterion is called; a name that is not here is its own. Lottery tickets, OBD, RigL, SET, GMP and
IMP train before or while they prune: nothing here is their like."""

TRAINING = {
    "epochs": "epochs", "batch_size": "batch size", "lr": "learning rate", "schedule": "schedule",
    "milestones": "milestones", "gamma": "factor at milestones", "momentum": "momentum", "nesterov": "Nesterov",
    "weight_decay": "weight decay", "crop": "padding of random crops", "flip": "horizontal flips",
}  # fmt: skip
SCORING = {
    "bn": "BatchNorm while scoring",
    "steps": "rounds",
    "batch_split": "split of the scoring batch",
    "redraw_linear": "linear layers re-drawn for scoring",
    "examples_per_class": "scoring images a class",
}


def dataset_of(spec: Mapping[str, Any]) -> str:
    """What a paper would call a cell's dataset: its name, or what its title says where that tells how it is stored."""
    name, title = spec["name"], str((spec.get("args") or {}).get("title") or "")
    return claimed(title) or title if name in ("parquet", "folder") and title else str(name)


def same_dataset(figure: Quoted, spec: Mapping[str, Any]) -> bool:
    return DATASETS.get(figure.dataset, figure.dataset) == dataset_of(spec)


def same_network(figure: Quoted, cell: Mapping[str, Any]) -> bool:
    """Whether a figure speaks of a cell's dataset and model."""
    return same_dataset(figure, cell["dataset"]) and model_of(figure).ours == cell["model"]["name"]


def model_of(figure: Quoted) -> Alias:
    """The network of a figure, by the name it has here."""
    dataset = DATASETS.get(figure.dataset, figure.dataset)
    return MODELS.get((figure.model, dataset), Alias(figure.model, ""))


def criterion_of(figure: Quoted) -> Alias:
    """The criterion of a figure, by the name it has here; at sparsity 0 every mask is full: the dense baseline."""
    if figure.sparsity == 0:
        return Alias(DENSE, "" if figure.criterion == DENSE else f"the paper's {figure.criterion} runs at sparsity 0")
    return CRITERIA.get(figure.criterion, Alias(figure.criterion, ""))


def same_sparsity(published: float | None, ours: float) -> bool:
    """Whether two sparsities are one operating point, written with more and with fewer digits.

    The one with more digits, rounded to those of the other, must be the other, and the shares of kept weights must be
    near each other: 0.98221721 is a point of a grid, keeps 1.78 % and is no 98 %, though it rounds to it.

    >>> same_sparsity(0.98221721, 0.98), same_sparsity(0.98221721, 0.9822), same_sparsity(0.9, 0.9)
    (False, True, True)
    >>> same_sparsity(0.9822, 0.98221721)
    True
    """
    if published is None:
        return False
    digits = min(len(f"{sparsity:.10f}".rstrip("0").partition(".")[2]) for sparsity in (ours, published))
    kept, theirs = 1 - ours, 1 - published
    rounded = abs(round(published, digits) - round(ours, digits)) < 1e-9  # both of ten digits at most
    return rounded and abs(kept - theirs) <= SAME_KEPT * min(kept, theirs) + 1e-12  # 1 - 0.98 is not 0.02 in binary


def corresponds(figure: Quoted, cell: Mapping[str, Any]) -> bool:
    """Whether a figure speaks of a cell (as study.json has it): dataset, network, criterion and sparsity."""
    criterion = cell["criterion"]
    name = criterion["name"].partition("@")[0] if criterion else DENSE
    return (
        same_network(figure, cell)
        and criterion_of(figure).ours == name
        and same_sparsity(figure.sparsity, float(cell["sparsity"]))
        and figure.reading != "drop"
    )


def differences(figure: Quoted, recipe: KnownRecipe | None, cell: Mapping[str, Any], n: int) -> Iterator[str]:
    """In what a figure and `n` finished cells differ, as far as it is written down: what matters most comes first."""
    if figure.reading == "best epoch":
        yield "the paper's is the best epoch on test data, which can only be higher; ours is the last epoch"
    elif figure.reading == "unstated":
        yield "which epoch the paper's was read at is not known; ours is the last"
    yield from _data(cell)
    if recipe is None:
        yield "the paper's training recipe is not in our table: epochs, batch size and learning rate may differ"
    else:
        yield from _recipes(recipe, cell)
    yield from _network(figure, cell)
    yield from _scores(figure, recipe, cell)
    if figure.seeds is None:
        yield f"the paper's number of trainings is not known; ours: {n}"
    elif figure.seeds != n:
        yield f"trainings: {figure.seeds} there, {n} here"


def agreements(recipe: KnownRecipe | None, cell: Mapping[str, Any]) -> list[str]:
    """Keys of the recipe that are known to be equal."""
    known = recipe.training if recipe else {}
    return [
        f"{label} {_text(known[key])}" for key, label in TRAINING.items() if key in known and _same(key, known, cell)
    ]


def _data(cell: Mapping[str, Any]) -> Iterator[str]:
    name, args = dataset_of(cell["dataset"]), cell["dataset"].get("args") or {}
    full, classes = FULL.get(name), CLASSES.get(name)
    for part, whole in zip(("train", "test"), full or (0, 0), strict=True):
        per_class = int(args.get(f"{part}_per_class") or 0)
        if per_class and classes and whole:
            what = "training" if part == "train" else "test"
            yield f"{what} images: {whole:,} there, {per_class * classes:,} here ({per_class} a class)"
    if cell["dataset"]["name"] != name:
        coding = plain(cell["dataset"].get("coding") or "")
        same = f"its images are {coding}-coded here" if coding else "whether its images are the same is not checked"
        yield f"the dataset is called {plain(name)} by its title; {same}"


def _recipes(recipe: KnownRecipe, cell: Mapping[str, Any]) -> Iterator[str]:
    for key, label in TRAINING.items():
        if key in recipe.training and not _same(key, recipe.training, cell):
            yield f"{label}: {_text(recipe.training[key])} there, {_text(_ours(key, cell))} here"
    unknown = [label for key, label in TRAINING.items() if key not in recipe.training and key in ("crop", "flip")]
    if unknown:
        yield f"not known of the paper's: {', '.join(unknown)}"


def _ours(key: str, cell: Mapping[str, Any]) -> Any:
    recipe = cell["recipe"]
    value = recipe["augment"].get(key) if key in ("crop", "flip") else recipe.get(key)
    return list(value) if isinstance(value, list | tuple) else value


def _same(key: str, known: Mapping[str, Any], cell: Mapping[str, Any]) -> bool:
    if key == "gamma" and cell["recipe"]["schedule"] != "step":
        return known.get("schedule") != "step"
    return bool(_ours(key, cell) == known[key])


def _network(figure: Quoted, cell: Mapping[str, Any]) -> Iterator[str]:
    alias, model = model_of(figure), cell["model"]
    if alias.reason:
        yield f"network: {figure.model} there, {plain(model['name'])} here ({alias.reason})"
    if alias.stem != (model.get("stem") or "") and alias.reason != _UNSEEN:
        yield f"stem: {alias.stem or 'the usual one'} there, {plain(model.get('stem') or 'the usual one')} here"
    if changed := {**(model.get("args") or {}), **({"zeros": model["zeros"]} if model.get("zeros") else {})}:
        yield f"arguments of our network: {plain(', '.join(f'{k}={_text(v)}' for k, v in sorted(changed.items())))}"


def _scores(figure: Quoted, recipe: KnownRecipe | None, cell: Mapping[str, Any]) -> Iterator[str]:
    if reason := criterion_of(figure).reason:
        yield reason
    if cell["criterion"] is None:
        return
    name, args = criterion_of(figure).ours, cell["criterion"].get("args") or {}
    if not same_written(figure.sparsity, float(cell["sparsity"])):
        yield f"sparsity {percent(figure.sparsity or 0)} there, {percent(float(cell['sparsity']))} here"
    if recipe and name in recipe.scoring:
        yield from _parameters(recipe.scoring[name], args)
    elif name not in ("random", "magnitude"):  # of which there is nothing to tell
        seen = [f"{SCORING[key]} {_text(args[key])}" for key in SCORING if args.get(key) not in (None, "", 0)]
        yield f"how the paper scored is not in our table; here: {', '.join(seen) or 'no scoring batch'}"
    if args.get("allocation", "global") != "global":
        yield f"allocation over layers: one ranking of all weights there, {plain(args['allocation'])} here"


def _parameters(theirs: Mapping[str, Any], args: Mapping[str, Any]) -> Iterator[str]:
    for key, value in theirs.items():
        ours = args.get(key, 1 if key == "steps" else None)  # a criterion without rounds scores once
        if ours != value:
            yield f"{SCORING.get(key, key)}: {_text(value)} there, {_text(ours)} here"


def same_written(published: float | None, ours: float) -> bool:
    return published is not None and abs(published - ours) < 1e-9


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "not recorded"}[value]
    if isinstance(value, list | tuple):
        return " and ".join(map(_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def shared(lists: Sequence[Sequence[str]]) -> list[str]:
    """What every one of some lists has, in the order of the first."""
    return [text for text in lists[0] if all(text in other for other in lists[1:])] if lists else []
