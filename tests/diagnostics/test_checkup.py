"""The doctor: each diagnosis, and that its remedy heals."""

from __future__ import annotations

import doctest
import json

import pytest
import timm
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from pabench.cli import arguments
from pabench.cli.doctor import describe
from pabench.cli.main import app
from pabench.diagnostics import remedy
from pabench.diagnostics.checkup import Checkup, check_up, random_images
from pabench.diagnostics.remedy import Patient, Treatment
from pabench.errors import SuiteError
from pabench.store import verdict
from pabench.store.verdict import Finding
from pabench.suite.specs import ModelSpec
from pabench.suite.suite import find, load, parse

SUITE = """
protocol: pai-v1
datasets: [digits]
{models_and_criteria}
sparsities: [0.9]
seeds: 1
recipe: {{epochs: 1, augment: none}}
"""


def examined(model: str | ModelSpec, *criteria: str, size: int = 32, **more) -> Checkup:
    spec = ModelSpec(model) if isinstance(model, str) else model
    return check_up(spec, (3, size, size), [(name, {}) for name in criteria], **more)


def findings(found: Checkup) -> dict[str, tuple[Finding, Finding]]:
    return {row.name: (row.before.finding, row.after.finding) for row in found.rows}


def pasted(found: Checkup, size: int = 32) -> Checkup:
    """The model and criteria of the printed remedy, read from a suite and examined again."""
    suite = parse(SUITE.format(models_and_criteria="\n".join(found.suite)), "pasted.yaml")
    (model,) = suite.models
    spec = ModelSpec(model.name, model.args, model.stem, model.zeros)
    return check_up(spec, found.shape, [(c.name, c.params) for c in suite.criteria])


def registered(module: type[nn.Module], name: str) -> str:
    def build(pretrained: bool = False, num_classes: int = 10, in_chans: int = 3, **unset) -> nn.Module:
        return module(num_classes, in_chans)

    build.__name__ = build.__qualname__ = name
    timm.models.register_model(build)
    return name


class Pooled(nn.Module):
    """The mean of each colour, then what `layers` say."""

    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.layers = self.make(num_classes, in_chans)

    def make(self, classes: int, colours: int) -> nn.Module:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.mean((2, 3)))


def test_the_examples_in_the_docstrings_hold():
    assert [doctest.testmod(module).failed for module in (remedy, verdict, arguments)] == [0, 0, 0]


def test_zero_initialised_batchnorms_are_seen_and_healed_by_what_is_printed():
    """Three blocks of test_resnet lose their nine convolutions: 334,080 of 371,856 weights."""
    found = examined("test_resnet", "snip", "synflow", "magnitude", size=16)

    before = {name: b for name, (b, _) in findings(found).items()}
    assert {name: b.verdict for name, b in before.items()} == {
        "snip": "degenerate",
        "synflow": "degenerate",
        "magnitude": "healthy",
    }
    assert len(before["snip"].dead) == 9
    assert before["snip"].zeros == 334080
    assert found.exit_code == 3
    assert found.by_run.args == {"zero_init_last": False}
    assert "zero_init_last: false" in found.suite[1]
    assert {row.before.finding.verdict for row in pasted(found).rows} == {"healthy"}


class ZeroHead(Pooled):
    def make(self, classes: int, colours: int) -> nn.Module:
        head = nn.Linear(8, classes)
        nn.init.zeros_(head.weight)
        return nn.Sequential(nn.Linear(colours, 8), nn.ReLU(), head)


def test_a_head_that_starts_at_0_is_redrawn():
    """8 x 3 and 10 x 8 weights: no gradient passes a head of zeros, and in the head itself w * g is 0."""
    found = examined(registered(ZeroHead, "zero_head"), "snip", "synflow")

    for before, after in findings(found).values():
        assert (before.zeros, before.dead) == (104, ("layers.0.weight", "layers.2.weight"))
        assert (after.verdict, after.dead) == ("healthy", ())
    assert found.suite[:2] == ["models:", "  - {name: zero_head, zeros: redrawn}"]
    assert "degenerate: 104 of 104" not in describe(found)
    assert "104 of 104 scores are exactly 0 (100.0 %); 2 of 2 layers have no other" in describe(found)


class Clamped(Pooled):
    def make(self, classes: int, colours: int) -> nn.Module:
        first = nn.Linear(colours, 4)
        nn.init.constant_(first.weight, 5.0)
        return nn.Sequential(first, nn.ReLU6(), nn.Linear(4, classes))


def test_a_clamp_that_saturates_is_seen_and_switched_off():
    """Under ones each unit has 15 > 6: SynFlow's first layer is dead, 12 of 52 scores."""
    found = examined(registered(Clamped, "clamped"), "synflow", "random")
    before, after = findings(found)["synflow"]

    assert (before.verdict, before.zeros, before.dead) == ("doubtful", 12, ("layers.0.weight",))
    assert before.flat == {"hardtanh": 1.0}
    assert "hardtanh is flat for 100 % of its inputs" in before.detail
    assert (after.verdict, after.flat) == ("healthy", {})
    assert found.suite == ["models:", "  - clamped", "criteria:", "  - {name: synflow, clamps: off}"]
    assert "hardtanh 100 %" in describe(found)


class Deep(Pooled):
    def make(self, classes: int, colours: int) -> nn.Module:
        inner = [nn.Linear(4, 4, bias=False) for _ in range(30)]
        for layer in inner:
            nn.init.constant_(layer.weight, 10.0)
        return nn.Sequential(nn.Linear(colours, 4), *inner, nn.Linear(4, classes))


def test_an_overflow_is_seen_in_float32_and_carried():
    """Thirty layers of gain 40 have R = 1e48: too much for float32, whose end is 3e38."""
    name = registered(Deep, "deep_chain")

    wide, narrow = examined(name, "synflow"), examined(name, "synflow", dtype=torch.float32)

    assert findings(wide)["synflow"][0].verdict == "healthy"
    before, after = findings(narrow)["synflow"]
    assert before.verdict == "degenerate"
    assert before.non_finite > 0
    assert "infinite or no number" in before.detail
    assert (after.verdict, after.non_finite) == ("healthy", 0)
    assert narrow.suite[-1] == "  - {name: synflow, range: unlimited}"


class Branching(Pooled):
    def make(self, classes: int, colours: int) -> nn.Module:
        inner = [nn.Linear(32, 32, bias=False) for _ in range(27)]
        return nn.Sequential(nn.Linear(colours, 32), *inner, nn.Linear(32, classes))


@pytest.mark.parametrize(("criterion", "verdict"), [("px", "degenerate"), ("npb", "unsupported")])
def test_what_float32_cannot_count_is_counted_in_float64(criterion, verdict):
    """3 * 32^28 = 4e42 paths lead to each output."""
    spec = ModelSpec(registered(Branching, f"branching_for_{criterion}"))

    found = check_up(spec, (3, 32, 32), [(criterion, {})], dtype=torch.float32)

    before, after = findings(found)[criterion]
    assert (before.verdict, after.verdict) == (verdict, "healthy")
    assert found.suite == ["models:", f"  - {spec.name}", "criteria:", f"  - {criterion}", "scoring: {dtype: float64}"]
    assert found.to_json()["criteria"][0]["remedy"]["scoring"] == "scoring: {dtype: float64}"
    assert parse(SUITE.format(models_and_criteria="\n".join(found.suite)), "pasted.yaml").scoring.dtype == "float64"


def test_lost_positivity_is_seen_and_healed():
    found = examined("test_convnext", "synflow")
    before, after = findings(found)["synflow"]

    assert before.verdict == "doubtful"
    assert "are negative" in before.doubts
    assert after.verdict == "healthy"
    assert found.suite[-1] == "  - {name: synflow, norms: scale}"
    assert {row.before.finding.verdict for row in pasted(found).rows} == {"healthy"}


class Once(Pooled):
    def make(self, classes: int, colours: int) -> nn.Module:
        return nn.Linear(colours, classes)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.aten.hardsigmoid.default(super().forward(x))  # past what can be replaced by name


def test_a_missing_second_derivative_is_named_and_is_unsupported():
    found = examined(registered(Once, "once_differentiable"), "grasp", "snip")
    before = {name: b for name, (b, _) in findings(found).items()}

    assert before["grasp"].detail == "no second derivative: that of hardsigmoid_backward is not implemented"
    assert {name: b.verdict for name, b in before.items()} == {"grasp": "unsupported", "snip": "healthy"}
    assert found.exit_code == 5
    assert "no remedy makes these healthy: grasp" in describe(found)


@pytest.mark.parametrize("model", ["test_vit", "test_efficientnet"])
def test_attention_and_swish_networks_are_healthy_under_second_derivatives(model):
    assert findings(examined(model, "grasp"))["grasp"][0].verdict == "healthy"


DECLINING = """
from dataclasses import dataclass
from pabench.plugins import ScoreContext, ScoreCriterion, Tensors

@dataclass(frozen=True, kw_only=True)
class Shy(ScoreCriterion):
    name = "shy"
    remedies = ({"bold": True},)
    bold: bool = False

    def declines(self, ctx: ScoreContext) -> str:
        return "" if self.bold else "it is shy"

    def score(self, ctx: ScoreContext) -> Tensors:
        return {n: w.abs() for n, w in ctx.kept.items()}
"""


@pytest.mark.usefixtures("fresh_registry")
def test_a_criterion_that_declines_is_unsupported_and_its_own_remedies_are_tried(tmp_path):
    (tmp_path / "shy.py").write_text(DECLINING)

    said = CliRunner().invoke(
        app, ["doctor", "resnet8", "--size", "8", "--plugin", str(tmp_path / "shy.py"), "-c", "shy", "--json"]
    )

    assert said.exit_code == 5
    (row,) = json.loads(said.stdout)["criteria"]
    assert (row["verdict"], row["detail"]) == ("unsupported", "declines: it is shy")
    assert row["remedy"]["criterion"] == "{name: shy, bold: true}"
    assert row["remedy"]["after"]["verdict"] == "healthy"


def test_the_command_line_speaks_the_language_of_suites():
    words = [
        "doctor",
        "test_vit",
        "--model-arg",
        "patch_size=4",
        "--size",
        "8",
        "-c",
        "{name: synflow, norms: scale, steps: 5}",
    ]

    healthy = CliRunner().invoke(app, words)
    doubtful = CliRunner().invoke(app, [*words[:-1], "{name: synflow, steps: 5}", "--json"])

    assert healthy.exit_code == 0
    assert healthy.stdout.startswith("{name: test_vit, args: {patch_size: 4}}: VisionTransformer, ")
    assert "remedy" not in healthy.stdout.replace("with the remedy", "")
    assert doubtful.exit_code == 3
    found = json.loads(doubtful.stdout)
    assert found["shape"] == [3, 8, 8]
    assert found["exit_code"] == 3
    assert found["suite"] == (
        "models:\n  - {name: test_vit, args: {patch_size: 4}}\ncriteria:\n  - {name: synflow, steps: 5, norms: scale}"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resnet_20"], "did you mean 'resnet20'"),
        (["resnet20", "-c", "snp"], "did you mean 'snip'"),
        (["resnet20", "--model-arg", "width"], "--model-arg width: expected KEY=VALUE"),
        (["resnet20", "--param", "steps=3"], "--param: name its criterion, as in -c snip --param steps=10"),
        (["resnet20", "--dtype", "float16"], "--dtype float16: "),
        (["resnet20", "--include", "heads"], "include: no kind of weights 'heads'; known: attention, recurrent"),
    ],
)
def test_what_is_asked_wrongly_is_told_in_one_line(words, message):
    with pytest.raises(SuiteError) as caught:
        CliRunner().invoke(app, ["doctor", *words], catch_exceptions=False)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# --- What stays dense -------------------------------------------------------------------------------------------------


class Attending(nn.Module):
    """Rows of an image attend to each other; 32 numbers each, and 32 places."""

    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 32, 32))
        self.attention = nn.MultiheadAttention(32, 2, batch_first=True)
        self.head = nn.Linear(32, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean(1) + self.pos_embed
        return self.head(self.attention(x, x, x)[0].mean(1))

    def get_classifier(self) -> nn.Module:
        return self.head


def test_what_stays_dense_is_named_with_its_share_and_the_option_that_prunes_it():
    """Of 5,440 weights 96 x 32 are attention's and 32 x 32 places'; 32 x 32 + 10 x 32 can be pruned as it is."""
    name = registered(Attending, "attending")

    plain = CliRunner().invoke(app, ["doctor", name, "-c", "magnitude"]).stdout
    with_it = CliRunner().invoke(app, ["doctor", name, "-c", "snip", "--include", "attention", "--json"])

    assert "1,344 prunable weights in 2 layers" in plain
    assert "  embeddings: 1,024 numbers in 1 (pos_embed), 18.8 % of all weights\n" in plain
    line = "  attention: 3,072 numbers in 1 (attention.in_proj_weight), 56.5 % of all weights"
    assert f"{line}; prunable with --include attention\n" in plain
    found = json.loads(with_it.stdout)
    assert found["prunable"] == {"weights": 1344 + 3072, "layers": 3}
    assert found["dense"] == {"embeddings": {"pos_embed": 1024}}
    assert found["standardised"] == []
    (row,) = found["criteria"]
    assert (row["verdict"], row["total"]) == ("healthy", 1344 + 3072)


def test_the_suite_of_a_remedy_includes_what_was_included():
    found = examined("test_resnet", "snip", include=("attention",))

    assert found.suite[-1] == "scoring: {include: [attention]}"
    assert examined("test_resnet", "snip").suite[-1] == "  - snip"


# --- The networks of the issue, and the zoo ---------------------------------------------------------------------------

FIVE = ("random", "magnitude", "snip", "grasp", "synflow")
NAMED = {
    "resnet18": {"snip": "degenerate", "grasp": "degenerate", "synflow": "degenerate"},
    "resnet50": {"snip": "degenerate", "grasp": "degenerate", "synflow": "degenerate"},
    "regnety_002": {"snip": "degenerate", "grasp": "degenerate", "synflow": "degenerate"},
    "mixer_s16_224": {"snip": "degenerate", "synflow": "degenerate"},
    "vit_tiny_patch16_224": {"synflow": "doubtful"},
    "deit_tiny_patch16_224": {"synflow": "doubtful"},
    "mobilenetv3_small_100": {"synflow": "doubtful"},
    "mobilenetv2_100": {"synflow": "degenerate"},
    "densenet121": {},
    "efficientnet_b0": {"synflow": "doubtful"},
    "convnext_atto": {"synflow": "doubtful"},
}


@pytest.mark.slow
@pytest.mark.parametrize("model", NAMED)
def test_known_landmines_are_seen_and_their_remedies_heal(model):
    found = examined(model, *FIVE[2:])

    for name, (before, after) in findings(found).items():
        assert before.verdict == NAMED[model].get(name, before.verdict)
        assert after.verdict == "healthy", (name, after.detail)
        assert after.non_finite == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "args"), [("densenet121", {}), ("efficientnet_b0", {}), ("resnet50", {"zero_init_last": False})]
)
def test_deep_networks_overflow_float32_and_the_remedy_heals(model, args):
    found = examined(ModelSpec(model, args), "synflow", dtype=torch.float32)
    before, after = findings(found)["synflow"]

    assert before.non_finite > 0
    assert after.verdict == "healthy"
    assert "range: unlimited" in found.suite[-1]


def zoo() -> list:
    return list(load(find("timm_zoo")).models)


def test_the_zoo_has_twenty_networks_of_twelve_families():
    families = {timm.models.model_entrypoint(entry.name).__module__ for entry in zoo()}

    assert len(zoo()) >= 20
    assert len(families) >= 12


@pytest.mark.slow
@pytest.mark.parametrize("entry", zoo(), ids=lambda entry: entry.name)
def test_the_zoo_can_be_scored_with_the_remedies_of_its_suite(entry):
    """As `pabench run timm_zoo` builds and scores it: finite, and mostly not 0."""
    from pabench.networks.models import resolve

    spec = resolve(ModelSpec(entry.name, entry.args, entry.stem, entry.zeros), 10, (3, 32, 32))
    criteria = [(c.name, c.params) for c in load(find("timm_zoo")).criteria]
    assert {name for name, _ in criteria} == set(FIVE)
    patient = Patient(10, (3, 32, 32), random_images(10, (3, 32, 32)))
    for name, given in criteria:
        found = patient.examined(Treatment(name, given, spec)).finding
        assert not found.reason, (name, found.reason)
        assert found.non_finite == 0, name
        assert found.zeros < found.total / 2, (name, found.detail)


# --- Rounds -----------------------------------------------------------------------------------------------------------

LATE = """
from dataclasses import dataclass
from pabench.plugins import ScoreContext, ScoreCriterion, Tensors

@dataclass(frozen=True, kw_only=True)
class Late(ScoreCriterion):
    name = "late"
    remedies = ({"more": "0"},)
    steps: int = 5
    more: str = "nan"

    def score(self, ctx: ScoreContext) -> Tensors:
        return {n: w.abs() + (float(self.more) if ctx.round == 2 else 0) for n, w in ctx.kept.items()}
"""


@pytest.mark.usefixtures("fresh_registry")
@pytest.mark.parametrize(
    ("more", "verdict", "told"),
    [
        ("'nan'", "unsupported", "in round 3 of 5 to sparsity 0.9: PluginError: "),
        ("'inf'", "degenerate", "these in round 3 of 5 to sparsity 0.9"),
    ],
)
def test_a_later_round_that_fails_is_found_with_its_number_and_the_remedy_is_seen_through(
    tmp_path, more, verdict, told
):
    (tmp_path / "late.py").write_text(LATE)
    words = ["doctor", "resnet8", "--size", "8", "--plugin", str(tmp_path / "late.py")]

    said = CliRunner().invoke(app, [*words, "-c", f"{{name: late, more: {more}}}", "--json"])

    (row,) = json.loads(said.stdout)["criteria"]
    assert row["verdict"] == verdict
    assert told in row["detail"]
    assert row["remedy"]["criterion"] == '{name: late, more: "0"}'
    assert (row["remedy"]["after"]["verdict"], row["remedy"]["after"]["seen"]) == ("healthy", 5)


def test_rounds_that_nobody_looked_at_are_told():
    spec, iterative = ModelSpec("resnet8"), [("synflow", {"steps": 4}), ("snip", {})]

    first, all_of_them = (check_up(spec, (3, 8, 8), iterative, seconds=limit) for limit in (0.0, 60.0))

    assert "rounds that were looked at: synflow (1 of 4); a later one may fail" in describe(first)
    assert [row.before.finding.seen for row in all_of_them.rows] == [4, 1]
    assert "rounds that were looked at" not in describe(all_of_them)
