"""What the cells of a block share, and what an ablation draws in its place: weights and scoring batches."""

from __future__ import annotations

import copy
import os
from contextlib import nullcontext

import pytest
import torch
from PIL import Image

import pabench
from pabench import registry
from pabench.data import cache, digits
from pabench.data.augment import epoch_order
from pabench.data.split import Streamed
from pabench.errors import DataError
from pabench.store.maskbits import bits_digest
from pabench.store.record import PARTS
from pabench.training.block import Block

from .conftest import CPU, session

PAI_V1 = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 20, test_per_class: 10}]
models: [lenet_300_100]
criteria: [random]
sparsities: [0.9]
seeds: [7]
recipe: {epochs: 1, batch_size: 32, lr: 0.05, augment: {crop: 1}}
"""


def test_a_block_of_pai_v1_is_what_it_was(tmp_path):
    """Its seeds, order, augmentation, scoring images and a mask, as when the page of the protocol was written.

    Where it fails what pai-v1 means has changed (docs/protocol.md), or torch draws integers and uniform numbers
    otherwise. Weights are not among them: the digits of normal ones depend on the instructions of a processor.
    """
    opened = session(tmp_path, PAI_V1)
    (cell,) = opened.cells
    block = Block(cell, CPU)
    found = block.pairing(block.network())
    masks = pabench.prune(block.network(), "random", sparsity=0.9, seed=7)

    assert cell.block == "d704869ff89f1fc528e4b4e8e15bc52e94133f90a3f6474728aac035eace2733"
    assert {part: found[part] for part in PARTS if part != "weights"} == {
        "order": "cdb32acd97cbb21c2f8338cbb4c98c0f82956c7bb0372da2eeaee102affdefae",
        "augmentation": "d8eb8c76e2988c8779c52922022503b48b3b7b13d8c63474e7d182997dd7c875",
        "scoring_batch": "cf1c618c4eb24f27733235457ff9dad34e265187707679a6035da7e1ad148999",
    }
    assert bits_digest({name: mask.numpy() for name, mask in masks.items()}) == (
        "55e2873ac1db0a41802515f279e684aec3d5d24f2645a14dd5f8b4f6919a3dcd"
    )


def test_re_drawn_weights_come_from_the_same_distribution(study):
    """300 x 64 weights, normal of SD sqrt(2 / 64) = 0.1768 (Kaiming); the standard error of an SD is 0.5 % of it."""
    cell = next(c for c in study[2] if c.ablation == "reinit")

    before, after = (Block(c, CPU).network().state_dict()["fc1.weight"] for c in (cell.parent(), cell))

    assert not torch.equal(before, after)
    assert [before.std().item(), after.std().item()] == pytest.approx([0.1768, 0.1768], rel=0.02)


def test_the_scoring_batch_of_an_ablation_is_the_block_s_own_permuted(study):
    of = {c.ablation: Block(c, CPU).scoring_batches(10, 1)[0] for c in study[2] if c.criterion}
    (x, y), labels, pixels = ((given[:], y) for given, y in map(of.get, ("", "random_labels", "shuffled_pixels")))

    assert torch.equal(labels[0], x)
    assert labels[1].bincount().tolist() == y.bincount().tolist() == [10] * 10
    assert not torch.equal(labels[1], y)
    assert torch.equal(pixels[1], y)
    assert torch.equal(pixels[0].flatten(1).sort().values, x.flatten(1).sort().values)
    assert not torch.equal(pixels[0], x)


def test_files_are_read_when_they_are_looked_at_and_once_where_a_gpu_scores_faster(study, tmp_path, monkeypatch):
    """Two grey pictures of 4 x 4 pixels; normalised as the digits are."""
    files = [str(tmp_path / f"{i}.png") for i in range(2)]
    for value, file in zip((0, 255), files, strict=True):
        Image.new("L", (4, 4), value).save(file)
    split, read = Streamed(tuple(files), torch.tensor([0, 1]), 4, "L"), []
    real = Streamed.read
    monkeypatch.setattr(Streamed, "read", lambda self, i, stream: read.append(i) or real(self, i, stream))
    cell = next(c for c in study[2] if c.criterion)

    counts = {}
    for device in ("cpu", "cuda"):
        read.clear()
        images, y = Block(cell, torch.device(device))._given(split, torch.tensor([1, 0]))
        counts[device] = [len(read)]
        for _ in range(2):
            assert images[0:1].max() > images[1:].max()  # the white one is the first asked for
            counts[device].append(len(read))
        assert y.tolist() == [1, 0]
    assert counts == {"cpu": [0, 2, 4], "cuda": [2, 2, 2]}


def test_the_training_sample_is_class_balanced_bounded_and_the_same_for_a_block(study, monkeypatch):
    dense, other = (next(c for c in study[2] if bool(c.criterion) is pruned) for pruned in (False, True))
    monkeypatch.setattr("pabench.training.block.SAMPLE", 50)

    of, same = Block(dense, CPU).sample.split, Block(other, CPU).sample.split

    assert of.labels.bincount().tolist() == [5] * 10
    assert torch.equal(of.pixels, same.pixels)
    train = Block(dense, CPU).train.split
    found = (train.pixels[None] == of.pixels[:, None]).flatten(2).all(2)
    assert found.any(1).all()  # training images, as they are


@pytest.mark.parametrize("changed", [False, True])
def test_images_that_change_in_mid_study_are_found_though_they_were_hashed_by_the_runner(
    study, tmp_path, monkeypatch, changed
):
    """The file keeps its size and its time."""
    copied = tmp_path / "digits.npz"
    copied.write_bytes(digits.FILE.read_bytes())
    monkeypatch.setattr(digits, "FILE", copied)
    monkeypatch.setattr(cache, "_hashed", {})
    monkeypatch.setattr(cache, "SETTLED", -1)
    cache.sha256_of(copied)
    told = cache.hashed()
    before, content = copied.stat(), bytearray(copied.read_bytes())
    if changed:
        content[-1] ^= 1
        copied.write_bytes(content)
        os.utime(copied, ns=(before.st_atime_ns, before.st_mtime_ns))
    monkeypatch.setattr(cache, "_hashed", {})

    cache.trust(told)

    with pytest.raises(DataError, match="has changed since the run began") if changed else nullcontext():
        assert Block(study[2][0], CPU).dataset.classes == 10


WARM = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 30, test_per_class: 10}]
models: [resnet8]
criteria: [{name: snip, bn: eval}, {name: snip, bn: eval, bn_warmup: 1}]
sparsities: [0.9]
seeds: 1
recipe: {epochs: 1, batch_size: 32, lr: 0.05}
"""


def test_a_warm_up_gives_the_statistics_of_a_plain_loop_and_moves_nothing_else(tmp_path):
    """300 images in batches of 128, 128 and 44, and one and a half passes: the first two batches of another order."""
    block = Block(next(iter(session(tmp_path, WARM).cells)), CPU)
    module = block.network()
    before = {n: t.clone() for n, t in module.state_dict().items()}
    split, seed = block.train.split, block.cell.seed_for("bn-warmup")
    plain, orders = copy.deepcopy(module).train(), [epoch_order(300, seed, epoch) for epoch in range(2)]
    with torch.no_grad():
        for indices in (*orders[0].split(128), *orders[1].split(128)[:1]):
            pixels, _ = split.pick(indices)
            mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (block.train.mean, block.train.std))
            plain((pixels / 255 - mean) / std)

    warm = block.warmed(module, 4 / 3)

    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())
    for n, t in warm.state_dict().items():
        torch.testing.assert_close(t, plain.state_dict()[n], rtol=1e-4, atol=1e-5)
        assert torch.equal(t, before[n]) == ("running" not in n and "tracked" not in n)
    assert block.warmup_told(4 / 3) | {"sha256": ""} == {"batches": 4, "images": 428, "sha256": ""}
    assert block.warmup_told(1e-9)["images"] == 128


VARYING = """
import os, torch
from pabench.plugins import Dataset, Images

class Varying(Dataset):
    name, classes, shape, mean, std = "varying", 2, (1, 8, 8), (0.0,), (1.0,)

    def missing(self):
        return ""

    def fingerprint(self):
        return "2" * 64

    def train(self):
        draw = torch.Generator().manual_seed(SEED)
        return Images(torch.randn(40, 1, 8, 8, generator=draw), torch.arange(40) % 2)

    test = train
"""


@pytest.mark.parametrize(
    ("name", "seed", "paired"), [("same", "1", True), ("varying", "int.from_bytes(os.urandom(4), 'big')", False)]
)
def test_the_images_of_a_plugin_are_hashed_themselves(tmp_path, name, seed, paired):
    """Cells that had each seen other images were said to be paired: the places of images were hashed alone."""
    (tmp_path / f"{name}.py").write_text(VARYING.replace("SEED", seed).replace('"varying"', f'"{name}"'))
    text = PAI_V1.replace("{name: digits, train_per_class: 20, test_per_class: 10}", name)
    opened = session(tmp_path, f"{text}plugins: [{name}.py]\n")
    (cell,) = opened.cells
    registry.expect(opened.plugins)

    one, other = (block.pairing(block.network()) for block in (Block(cell, CPU), Block(cell, CPU)))

    assert (one["scoring_batch"] == other["scoring_batch"]) is paired
    assert (one["weights"], one["order"]) == (other["weights"], other["order"])
