"""What is raced, each work with its proof that both sides do the same: scores, masks, training, evaluation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pabench import registry
from pabench.bench import baseline
from pabench.bench.material import Material
from pabench.bench.race import Contest, Proof, Side
from pabench.bench.suites import start, study, suite
from pabench.data.dataset import loader
from pabench.errors import DeclinedError
from pabench.networks.compact.compact import compacted
from pabench.networks.network import Network, Tensors
from pabench.scoring.library import prune
from pabench.scoring.pruning import prune_all
from pabench.training.loop import evaluate, train
from pabench.training.precision import automatic

DENSITY = 0.05
SWEEP = (0.2, 0.1, 0.05, 0.02, 0.01)
"""Not 0.5: about half of GraSP's scores are negative, and where some are 0 a k-th value keeps too few."""
TRAINED_DENSITY = 0.01
SAME = 1e-9
"""Losses of the same training differ less in float64: the order of additions differs, and a few steps let that grow."""
READ_ALIKE = 1e-5
"""Normalised pixels and mean losses differ less in float32: pabench divides once where torchvision divides twice."""


# --- Scores and masks -------------------------------------------------------------------------------------------------


def scores(criterion: str, material: Material) -> Iterator[Contest]:
    """One mask by a criterion, on both networks: pabench as it comes, and in float32; the plain loop in float32."""
    for size, spec in material.sizes.networks().items():
        rounds = material.sizes.rounds[size] if criterion == "synflow" else 1
        parameters: dict[str, Any] = {"steps": rounds} if rounds > 1 else {}
        title = f"{criterion}{f', {rounds} rounds' if rounds > 1 else ''}, {spec.label}"
        network, batch = material.network(spec), material.batch
        ours = partial(prune, network, criterion, sparsity=1 - DENSITY, batch=batch, **parameters)
        given = network, criterion, batch, (DENSITY,), rounds
        yield Contest(
            title,
            {"as it comes": _ready(ours), "float32": _ready(partial(ours, dtype=torch.float32))},
            partial(_plain_side, *given),
            partial(_same_masks, *given),
        )


def magnitude(material: Material) -> Iterator[Contest]:
    """One mask of the large network by the size of its weights: nothing to compute, all of it selection."""
    if spec := material.sizes.networks().get("large"):
        given = material.network(spec), "magnitude", material.batch, (DENSITY,), 1
        yield Contest(
            f"magnitude, {spec.label}",
            {"as it comes": _ready(partial(prune, given[0], "magnitude", sparsity=1 - DENSITY, batch=given[2]))},
            partial(_plain_side, *given),
            partial(_same_masks, *given),
        )


def sweep(material: Material) -> Iterator[Contest]:
    """Five densities by SNIP and by GraSP: the plain loop scores for each."""
    for criterion in ("snip", "grasp"):
        for spec in material.sizes.networks().values():
            network, batch = material.network(spec), material.batch
            given = network, criterion, batch, SWEEP, 1
            yield Contest(
                f"{criterion} at five densities, {spec.label}",
                {"float32": _ready(partial(_our_masks, *given, dtype=torch.float32))},
                partial(_plain_side, *given),
                partial(_same_masks, *given),
            )


def _plain_side(
    network: nn.Module, criterion: str, batch: baseline.Batch, densities: Sequence[float], rounds: int
) -> Callable[[], list[Tensor]]:
    """Gives the masks of the plain loop at each density, in a row."""
    own, score = baseline.masked(network), baseline.SCORES[criterion]
    return lambda: [m for d in densities for m in baseline.prune(own, score, batch, d, rounds)]


def _our_masks(
    network: nn.Module,
    criterion: str,
    batch: baseline.Batch,
    densities: Sequence[float],
    rounds: int,
    dtype: torch.dtype,
) -> list[Tensor]:
    """As `_plain_side`, by the scoring that serves all densities at once."""
    rule = registry.criterion(criterion, {"steps": rounds} if rounds > 1 else {})
    own = Network(network, bn=rule.bn, dtype=dtype)
    found = prune_all(own, rule, densities, batches=(batch,), seed=0, input_shape=tuple(batch[0].shape[1:]))
    return [m for pruned in found for m in pruned.masks.values()]


def _same_masks(
    network: nn.Module, criterion: str, batch: baseline.Batch, densities: Sequence[float], rounds: int
) -> Proof:
    """Whether both sides keep the same weights in float64, where rounding decides nothing."""
    x, y = batch
    double = copy.deepcopy(network).double()
    theirs = _plain_side(double, criterion, (x.double(), y), densities, rounds)()
    ours = _our_masks(network, criterion, batch, densities, rounds, torch.float64)
    differ = sum(int((a != b).sum()) for a, b in zip(theirs, ours, strict=True))
    kept = sum(int(m.sum()) for m in theirs)
    return Proof(differ == 0, f"{differ} of {kept:,} kept weights differ in float64")


# --- Training ---------------------------------------------------------------------------------------------------------


def training(material: Material) -> Iterator[Contest]:
    """One epoch under masks of density 0.01: the plain loop in float32; pabench as `run` trains by default, with the
    making of the compacted network and without it, as in every epoch but the first; and stated, not compacted."""
    automatic_one = automatic(material.device, max(material.train.shape[1:]))
    for spec in material.sizes.networks().values():
        for criterion in ("snip", "synflow"):
            network = material.network(spec)
            masks = _trained_masks(material, network, criterion)
            ours = partial(_our_epoch, material, network, masks)
            yield Contest(
                f"training at density {TRAINED_DENSITY:g} by {criterion}, {spec.label}",
                {
                    "as it comes": partial(ours, automatic_one, compact="in the epoch"),
                    "as it comes, later epochs": partial(ours, automatic_one, compact="before"),
                    "float32, whole": partial(ours, "float32"),
                    "bfloat16, whole": partial(ours, "bfloat16"),
                },
                partial(_plain_epoch, material, network, masks),
                partial(_same_losses, material, network, masks),
            )


def evaluation(material: Material) -> Iterator[Contest]:
    """All test images once."""
    for spec in material.sizes.networks().values():
        network = material.network(spec)
        yield Contest(
            f"evaluation, {spec.label}",
            {how: partial(_our_evaluation, material, network, how) for how in ("float32", "bfloat16")},
            partial(_plain_evaluation, material, network),
            partial(_same_accuracy, material, network),
        )


def _trained_masks(material: Material, network: nn.Module, criterion: str) -> Tensors:
    parameters: dict[str, Any] = {"steps": min(20, material.sizes.rounds["small"])} if criterion == "synflow" else {}
    sparsity = 1 - TRAINED_DENSITY
    return dict(prune(network, criterion, sparsity=sparsity, batch=material.batch, dtype=torch.float32, **parameters))


def _our_epoch(
    material: Material,
    network: nn.Module,
    masks: Tensors,
    precision: str,
    compact: Literal["", "before", "in the epoch"] = "",
) -> Callable[[], object]:
    source, recipe = material.source(material.trained), material.recipe(precision)

    def epoch(own: nn.Module, left: Tensors) -> object:
        return train(own, left, source, recipe, device=material.device, order_seed=0, augment_seed=0)

    if compact == "in the epoch":
        return lambda: epoch(*_compacted(material, network, masks))
    return partial(epoch, *(_compacted(material, network, masks) if compact else (copy.deepcopy(network), masks)))


def _compacted(material: Material, network: nn.Module, masks: Tensors) -> tuple[nn.Module, Tensors]:
    """What is trained in place of a network under masks: a copy of it, where it cannot be made smaller."""
    try:
        small = compacted(network, masks, material.train.shape)
    except DeclinedError:
        return copy.deepcopy(network), masks
    return small.module, small.masks


def _plain_epoch(material: Material, network: nn.Module, masks: Tensors) -> Callable[[], object]:
    own, recipe = baseline.under(network, masks.values()), material.recipe("float32")
    optimizer = _plain_optimizer(own, material)
    images = material.trained
    pictures = baseline.Pictures(images.pixels, images.labels, material.mean, material.std, crop=4, flip=True)
    batches = pictures.loader(recipe.batch_size, shuffle=True)
    return lambda: baseline.train_epoch(own, batches, optimizer, material.device)


def _plain_optimizer(own: nn.Module, material: Material) -> torch.optim.Optimizer:
    recipe = material.recipe("float32")
    return torch.optim.SGD(own.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


def _same_losses(material: Material, network: nn.Module, masks: Tensors) -> Proof:
    """Whether two epochs of the plain loop, of the whole and of the compacted network have the same losses in float64,
    on the same batches in the same order."""
    source, recipe = (
        material.source(material.train.subset(torch.arange(16))),
        material.recipe("float32", epochs=2, batch_size=8),
    )
    double = copy.deepcopy(network).double()
    theirs = baseline.under(double, masks.values())
    optimizer = _plain_optimizer(theirs, material)
    losses = []
    for epoch in range(recipe.epochs):
        batches = loader(
            source.split,
            batch_size=recipe.batch_size,
            mean=source.mean,
            std=source.std,
            device=material.device,
            augment=recipe.augment,
            epoch=epoch,
            order_seed=0,
            augment_seed=0,
        )
        losses.append(baseline.train_epoch(theirs, ((x.double(), y) for x, y in batches), optimizer, material.device))
    largest = 0.0
    sides = (_compacted(material, double, masks), (double, masks))
    for own, left in sides:
        own.register_forward_pre_hook(lambda module, images: (images[0].double(),))
        found = train(own, left, source, recipe, device=material.device, order_seed=0, augment_seed=0)["loss"]
        largest = max(largest, *(abs(a - b) for a, b in zip(losses, found, strict=True)))
    return Proof(largest <= SAME, f"losses of two epochs differ by {largest:.0e} in float64")


def _our_evaluation(material: Material, network: nn.Module, precision: str) -> Callable[[], object]:
    source, recipe = material.source(material.test), material.recipe(precision)
    own = copy.deepcopy(network).to(memory_format=torch.channels_last)
    return lambda: evaluate(own, source, recipe, device=material.device)


def _plain_evaluation(material: Material, network: nn.Module) -> Callable[[], tuple[float, float]]:
    own, test = baseline.masked(network), material.test
    batches = baseline.Pictures(test.pixels, test.labels, material.mean, material.std).loader(256, shuffle=False)
    return lambda: baseline.evaluate(own, batches, material.device)


def _same_accuracy(material: Material, network: nn.Module) -> Proof:
    """Whether both sides read the same images and give the same answers to them."""
    top1, loss = _plain_evaluation(material, network)()
    source, recipe = material.source(material.test), material.recipe("float32")
    found = evaluate(copy.deepcopy(network), source, recipe, device=material.device)
    # an image between two classes may fall on either side of a rounding
    alike = abs(found.top1 - top1) <= 100 / len(material.test) and abs(found.loss - loss) <= READ_ALIKE * abs(loss)
    return Proof(alike, f"top-1 {top1:.2f} and {found.top1:.2f} %, losses differ by {abs(found.loss - loss):.0e}")


def _ready(run: Callable[..., Any]) -> Side:
    """A side that needs nothing made ready."""
    return lambda: run


WORKS: dict[str, Callable[[Material], Iterator[Contest]]] = {
    "snip": partial(scores, "snip"),
    "grasp": partial(scores, "grasp"),
    "synflow": partial(scores, "synflow"),
    "sweep": sweep,
    "magnitude": magnitude,
    "training": training,
    "evaluation": evaluation,
    "suite": suite,
    "study": study,
    "start": start,
}
"""By the name that `--only` takes."""
ASKED_FOR = {"study"}
"""Those that take too long to be done unasked."""
