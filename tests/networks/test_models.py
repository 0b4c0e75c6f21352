"""Models by name: what resolve writes into the spec, what it refuses, and what a seed determines."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from ruamel.yaml import YAML
from torch import nn

from pabench.errors import SuiteError
from pabench.networks.models import build, resolve, weights_digest, zeros
from pabench.suite.specs import ModelSpec

CIFAR = (3, 32, 32)


def refusal(spec: ModelSpec, shape: tuple[int, int, int] = CIFAR) -> str:
    with pytest.raises(SuiteError) as caught:
        resolve(spec, 10, shape)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "added"),
    [
        ("resnet18", True),
        ("resnet50", True),
        ("regnety_002", True),
        ("skresnet18", True),
        ("regnetz_005", False),  # has the argument and sets it itself
        ("vgg11", False),
        ("vit_tiny_patch16_224", False),
        ("mobilenetv2_100", False),
        ("resnet20", False),
    ],
)
def test_zero_init_last_is_written_out_where_the_architecture_has_it(name, added):
    assert resolve(ModelSpec(name), 10, CIFAR).args == ({"zero_init_last": False} if added else {})


def test_an_explicit_zero_init_last_stays():
    spec = ModelSpec("resnet18", {"zero_init_last": True})

    assert resolve(spec, 10, CIFAR) == spec


@pytest.mark.parametrize("name", ["resnet18", "regnety_002", "resnet20"])
def test_a_resolved_network_has_no_batchnorm_that_is_all_zero(name):
    model = build(resolve(ModelSpec(name), 10, CIFAR), 10, CIFAR, 0)

    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(m.weight.abs().sum() > 0 for m in norms)


def test_a_seed_gives_the_weights_and_leaves_the_global_generator_alone():
    spec = resolve(ModelSpec("resnet18", {}, "cifar"), 10, CIFAR)
    before = torch.random.get_rng_state()

    first = weights_digest(build(spec, 10, CIFAR, 2**63 - 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)

    assert weights_digest(build(spec, 10, CIFAR, 2**63 - 1)) == first
    assert weights_digest(build(spec, 10, CIFAR, 1)) != first


def test_the_digest_sees_names_shapes_and_single_bits():
    plain = nn.Linear(2, 3)
    renamed, reshaped, changed = nn.Sequential(plain), nn.Linear(3, 2), nn.Linear(2, 3)
    with torch.no_grad():
        reshaped.weight.copy_(plain.weight.reshape(2, 3))
        changed.load_state_dict(plain.state_dict())
        assert weights_digest(changed) == weights_digest(plain)
        changed.bias[0] = torch.nextafter(changed.bias[0], torch.tensor(9.0))

    assert len({weights_digest(m) for m in (plain, renamed, reshaped, changed)}) == 4


def test_the_cifar_stem_keeps_small_images_large_and_all_other_weights():
    """32 x 32 pixels leave a ResNet-18 as 4 x 4 instead of 1 x 1; the new stem is drawn with fan out 64 x 9."""
    plain = build(ModelSpec("resnet18"), 10, CIFAR, 5)
    small = build(ModelSpec("resnet18", {}, "cifar"), 10, CIFAR, 5)

    assert plain.forward_features(torch.zeros(2, *CIFAR)).shape[2:] == (1, 1)
    assert small.forward_features(torch.zeros(2, *CIFAR)).shape[2:] == (4, 4)
    assert small.conv1.weight.shape == (64, 3, 3, 3)
    assert small.conv1.weight.std().item() == pytest.approx((2 / 576) ** 0.5, rel=0.07)  # 1728 draws: 4 sigma
    kept = {n: p for n, p in plain.state_dict().items() if n != "conv1.weight"}
    assert all(torch.equal(small.state_dict()[n], p) for n, p in kept.items())


@pytest.mark.parametrize("name", ["resnext50_32x4d", "seresnet18", "resnet10t", "resnet18d", "resnetblur18"])
def test_the_cifar_stem_fits_the_whole_family(name):
    model = build(ModelSpec(name, {}, "cifar"), 10, CIFAR, 0)

    assert model.forward_features(torch.zeros(2, *CIFAR)).shape[2:] == (4, 4)


ZOO = [
    ("resnet18", {}),
    ("regnety_002", {}),
    ("densenet121", {}),
    ("mobilenetv2_100", {}),
    ("mobilenetv3_small_100", {}),
    ("efficientnet_b0", {}),
    ("convnext_atto", {}),
    ("vit_tiny_patch16_224", {}),
    ("vit_tiny_patch16_224", {"patch_size": 4}),
    ("deit_tiny_patch16_224", {}),
    ("swin_tiny_patch4_window7_224", {}),
    ("mixer_s16_224", {}),
]


@pytest.mark.parametrize(("name", "args"), ZOO)
def test_timm_networks_take_cifar_images(name, args):
    model = build(resolve(ModelSpec(name, args), 10, CIFAR), 10, CIFAR, 0)

    logits = model(torch.randn(2, *CIFAR, generator=torch.Generator().manual_seed(0)))

    assert logits.shape == (2, 10)
    assert torch.isfinite(logits).all()


def test_a_vision_transformer_gets_as_many_tokens_as_the_images_have_patches():
    """32 / 4 = 8 patches a side, and the class token."""
    model = build(ModelSpec("vit_tiny_patch16_224", {"patch_size": 4}), 10, CIFAR, 0)

    assert model.pos_embed.shape == (1, 8 * 8 + 1, 192)


def test_an_unknown_model_is_named_with_its_likely_meaning():
    assert refusal(ModelSpec("resnet_20")).startswith("no model named 'resnet_20'; did you mean 'resnet20'")
    assert "write 'resnet18'" in refusal(ModelSpec("resnet18.a1_in1k"))


def test_an_unknown_argument_is_named_with_its_likely_meaning():
    message = refusal(ModelSpec("resnet20", {"widht": 8}))

    assert message.startswith("models: resnet20: args.widht: no such argument; did you mean 'width'?")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"num_classes": 3}, "args.num_classes: comes from the dataset"),
        (
            {"pretrained": True},
            "args.pretrained: weights come from the seed, or with `init: pretrained` beside the name from a file",
        ),
        ({"depth": 26}, "args.depth: fixed by resnet20"),
        ({"shortcut": "none"}, "shortcut: 'none' is unknown; expected 'projection' or 'identity'"),
    ],
)
def test_an_argument_that_is_not_the_users_is_refused(args, message):
    assert message in refusal(ModelSpec("resnet20", args))


def test_a_stem_is_refused_where_there_is_no_resnet():
    assert "stem: cifar is for timm's ResNets" in refusal(ModelSpec("vgg11", {}, "cifar"))
    assert "stem: 'tiny' is unknown" in refusal(ModelSpec("resnet18", {}, "tiny"))


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("vgg16_cifar", "it takes 16 x 16; use larger images"),
        ("vit_tiny_patch16_224", "use args: {patch_size: 4}"),
        ("lenet_5", "it takes 16 x 16; use larger images"),
    ],
)
def test_images_that_are_too_small_are_refused_with_a_remedy_that_works(name, remedy):
    message = refusal(ModelSpec(name), (3, 8, 8))

    assert message.startswith(f"models: {name} fails on 3 x 8 x 8 images (")
    assert message.endswith(remedy) or remedy in message


def test_networks_that_do_not_return_one_row_of_logits_are_refused():
    def pair_network(pretrained: bool = False, num_classes: int = 10, in_chans: int = 3, **unset) -> nn.Module:
        return Pair(in_chans, num_classes)

    class Pair(nn.Linear):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return super().forward(x.mean((2, 3))), x

    timm.models.register_model(pair_network)

    assert "it returns a tuple instead of one row of 10 logits" in refusal(ModelSpec("pair_network"))


def test_a_network_that_looks_at_values_is_tried_on_the_cpu():
    """The meta device has none."""

    class Peeking(nn.Module):
        def __init__(self, num_classes: int, in_chans: int) -> None:
            super().__init__()
            self.fc = nn.Linear(in_chans, num_classes)
            self.scale = self.fc.weight.abs().max().item()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.mean((2, 3))) / self.scale

    def peeking_network(pretrained: bool = False, num_classes: int = 10, in_chans: int = 3, **unset) -> nn.Module:
        return Peeking(num_classes, in_chans)

    timm.models.register_model(peeking_network)

    assert build(ModelSpec("peeking_network"), 10, CIFAR, 0).fc.weight.shape == (10, 3)


@pytest.mark.slow
def test_every_network_of_the_zoo_suite_gives_finite_logits():
    suite = YAML(typ="safe").load(Path(__file__).parents[2] / "suites" / "timm_zoo.yaml")
    models = [{"name": m} if isinstance(m, str) else m for m in suite["models"]]
    images = torch.randn(4, *CIFAR, generator=torch.Generator().manual_seed(0))

    assert len(models) == 28
    for entry in models:
        model = build(resolve(ModelSpec(**entry), 10, CIFAR), 10, CIFAR, 0)
        assert torch.isfinite(model(images)).all(), entry
        assert torch.isfinite(model.eval()(images)).all(), entry


class Asleep(nn.Module):
    """A block whose BatchNorm and gain start at 0, a factor of 0, a head of zeros, and biases of 0."""

    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(in_chans, 4, 3), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, num_classes)
        self.gain, self.factor = nn.Parameter(torch.zeros(4, 1, 1)), nn.Parameter(torch.zeros(()))
        self.token = nn.Parameter(torch.zeros(4))
        for tensor in (self.norm.weight, self.head.weight, self.head.bias):
            nn.init.zeros_(tensor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x)) * self.gain * self.factor
        return self.head(x.mean((2, 3)) + self.token)


@timm.models.register_model
def asleep_network(pretrained: bool = False, num_classes: int = 10, in_chans: int = 3, **unset) -> nn.Module:
    return Asleep(num_classes, in_chans)


def test_what_starts_at_0_is_redrawn_and_nothing_else():
    plain = build(ModelSpec("asleep_network"), 100, CIFAR, 3)
    drawn = build(ModelSpec("asleep_network", zeros="redrawn"), 100, CIFAR, 3)

    assert zeros(plain) == ["head.weight", "norm.weight", "gain", "factor"]
    assert zeros(drawn) == []
    assert drawn.head.weight.std().item() == pytest.approx(0.02, rel=0.15)  # 400 draws: 4 sigma
    assert [t.unique().tolist() for t in (drawn.norm.weight, drawn.gain, drawn.factor)] == [[1.0]] * 3
    changed = {n for n, t in drawn.state_dict().items() if not torch.equal(t, plain.state_dict()[n])}
    assert changed == {"head.weight", "norm.weight", "gain", "factor"}


def test_redrawn_zeros_are_part_of_the_identity_only_where_they_are_asked_for():
    """Keys of results from before there was such an option stay what they were."""
    plain, drawn = ModelSpec("mixer_s16_224"), ModelSpec("mixer_s16_224", zeros="redrawn")

    assert plain.identity() == {"name": "mixer_s16_224", "args": {}, "stem": ""}
    assert drawn.identity() == {**plain.identity(), "zeros": "redrawn"}
    assert (plain.label, drawn.label) == ("mixer_s16_224", "mixer_s16_224 (zeros=redrawn)")
    assert "zeros: 'live' is unknown" in refusal(ModelSpec("resnet20", zeros="live"))
