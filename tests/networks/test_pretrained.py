"""Weights of a file: taken over to the bit, in the key of a cell, and refused in one line where they are not there."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pabench.cli.running import carry_out
from pabench.data.digits import Digits
from pabench.errors import DataError, MissingError, SuiteError
from pabench.networks import models, pretrained
from pabench.store.store import Store
from pabench.suite.specs import ModelSpec, Recipe
from pabench.training.loop import Source, train

from ..pageless import undrawn
from ..training.conftest import session

SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A resnet8 trained for an epoch on digits, as safetensors and as torch.save writes it: (state, two files)."""
    data = Digits(train_per_class=20, test_per_class=10)
    net = models.build(ModelSpec("resnet8"), 10, data.shape, seed=0)
    recipe = Recipe(epochs=1, batch_size=32, lr=0.05, precision="float32")
    source = Source(data.train(), data.mean, data.std)
    train(net, {}, source, recipe, device=torch.device("cpu"), order_seed=0, augment_seed=0)
    folder = tmp_path_factory.mktemp("learned")
    state = {name: tensor.detach().clone().contiguous() for name, tensor in net.state_dict().items()}
    save_file(state, folder / "resnet8.safetensors")
    torch.save({"epoch": 1, "state_dict": state}, folder / "resnet8.pth")
    return state, folder / "resnet8.safetensors", folder / "resnet8.pth"


def spec(path: Path, **more) -> ModelSpec:
    return ModelSpec("resnet8", init="pretrained", checkpoint=str(path), **more)


@pytest.mark.parametrize("file", [1, 2], ids=["safetensors", "torch"])
def test_all_tensors_are_those_of_the_file_whatever_the_seed(learned, file):
    for seed in (0, 1):
        net = models.build(spec(learned[file]), 10, SHAPE, seed)
        assert all(torch.equal(tensor, learned[0][name]) for name, tensor in net.state_dict().items())
    drawn = models.build(ModelSpec("resnet8"), 10, SHAPE, 0)
    assert not torch.equal(drawn.state_dict()["fc.weight"], learned[0]["fc.weight"])
    assert learned[0]["bn1.num_batches_tracked"] == 7  # 200 images in batches of 32: statistics come along


def test_the_classifier_is_drawn_from_the_seed_where_the_number_of_classes_is_another(learned):
    nets = {seed: models.build(spec(learned[1]), 3, SHAPE, seed).state_dict() for seed in (0, 1)}
    drawn = models.build(ModelSpec("resnet8"), 3, SHAPE, 0).state_dict()

    assert torch.equal(nets[0]["fc.weight"], drawn["fc.weight"])
    assert torch.equal(nets[0]["fc.bias"], drawn["fc.bias"])
    assert not torch.equal(nets[0]["fc.weight"], nets[1]["fc.weight"])
    for name, tensor in learned[0].items():
        if not name.startswith("fc."):
            assert torch.equal(nets[0][name], tensor)


def test_the_hash_of_the_file_is_part_of_what_the_model_is_and_its_place_is_not(learned, tmp_path):
    found = models.resolve(spec(learned[1]), 10, SHAPE)
    other = tmp_path / "elsewhere.safetensors"
    other.write_bytes(learned[1].read_bytes())

    assert found.weights == pretrained.file_digest(learned[1])
    assert found.identity() == models.resolve(spec(other), 10, SHAPE).identity()
    assert found.identity() != models.resolve(spec(learned[2]), 10, SHAPE).identity()
    assert "init" not in ModelSpec("resnet8").identity()
    assert ModelSpec("resnet8").plain == {"name": "resnet8", "args": {}, "stem": "", "zeros": ""}


def test_a_file_that_changes_after_it_was_known_is_refused(learned, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(learned[1].read_bytes())
    found = models.resolve(spec(path), 10, SHAPE)
    state = {name: tensor + 1 for name, tensor in learned[0].items()}
    save_file(state, path)
    pretrained._read.cache_clear()

    with pytest.raises(DataError, match="the weights have changed since the run began; start it again"):
        models.build(found, 10, SHAPE, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("fc.weight"), r"has no fc\.weight: it is of another network"),
        (lambda s: s.update(strange=torch.zeros(1)), "has strange, which the network has not"),
        (
            lambda s: s.update({"conv1.weight": torch.zeros(16, 3, 3, 3)}),
            r"conv1\.weight has the shape \(16, 3, 3, 3\), expected \(16, 1, 3, 3\)",
        ),
    ],
)
def test_weights_of_another_network_are_refused(learned, tmp_path, change, message):
    state = dict(learned[0])
    change(state)
    save_file(state, tmp_path / "other.safetensors")

    with pytest.raises(SuiteError, match=message):
        models.resolve(spec(tmp_path / "other.safetensors"), 10, SHAPE)


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


def test_a_file_that_would_run_code_or_is_none_is_refused_without_running_any(tmp_path, capsys):
    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "text.safetensors").write_text("hello")
    buffer = io.BytesIO()
    torch.save([1, 2], buffer)
    (tmp_path / "list.pth").write_bytes(buffer.getvalue())

    for name in ("evil.pth", "text.safetensors"):
        with pytest.raises(SuiteError, match="no weights that can be read without running code"):
            models.resolve(spec(tmp_path / name), 10, SHAPE)
    with pytest.raises(SuiteError, match="expected a state dict"):
        models.resolve(spec(tmp_path / "list.pth"), 10, SHAPE)
    assert "code ran" not in capsys.readouterr().out


def test_a_checkpoint_that_is_not_there_is_refused_with_its_path_and_size(tmp_path):
    where = rf"resnet8: no checkpoint {tmp_path}/none.pth \(a file of about 304 KiB: safetensors, or"
    with pytest.raises(MissingError, match=where):  # 77,754 parameters of four bytes
        models.resolve(spec(tmp_path / "none.pth"), 10, SHAPE)


def test_weights_that_timm_has_are_looked_for_in_the_caches_and_never_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr("socket.socket", None)  # whoever opens one fails

    with pytest.raises(MissingError) as refused:
        models.resolve(ModelSpec("test_resnet", init="pretrained"), 1000, (3, 64, 64))

    (line,) = str(refused.value).splitlines()
    assert f"are not in {tmp_path}/hub/models--timm--test_resnet.r160_in1k (a file of about " in line
    assert "timm.create_model('test_resnet', pretrained=True)" in line


def test_weights_in_the_cache_of_the_hub_are_taken(tmp_path, monkeypatch):
    plain = models.build(ModelSpec("test_resnet"), 1000, (3, 64, 64), seed=9)
    save_file({n: t.contiguous() for n, t in plain.state_dict().items()}, tmp_path / "model.safetensors")
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache",
        lambda repo, file: str(tmp_path / file) if file == "model.safetensors" else None,
    )
    net = models.build(models.resolve(ModelSpec("test_resnet", init="pretrained"), 10, (3, 64, 64)), 10, (3, 64, 64), 0)

    own = net.state_dict()
    assert own["fc.weight"].shape[0] == 10
    assert all(torch.equal(own[n], t) for n, t in plain.state_dict().items() if not n.startswith("fc."))


def test_networks_of_the_papers_have_no_weights_of_timm(tmp_path):
    with pytest.raises(SuiteError, match="timm has no trained weights of this network; give `checkpoint: PATH`"):
        models.resolve(ModelSpec("resnet8", init="pretrained"), 10, SHAPE)


SUITE = """
protocol: pai-v1
datasets: [{name: digits, train_per_class: 20, test_per_class: 10}]
models: [{name: resnet8, init: pretrained, checkpoint: "FILE"}]
criteria: [magnitude, random, small_dense]
sparsities: [0, 0.5]
ablations: [reinit]
seeds: 1
recipe: {epochs: 1, batch_size: 32, lr: 0.01, augment: none}
"""


@pytest.fixture(scope="module")
def study(learned, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    with undrawn():
        assert carry_out(session(folder, SUITE.replace("FILE", str(learned[1])))) == 0
    records = Store(folder / "out").records().values()
    return folder, {(r["labels"]["criterion"], r["ablation"]): r for r in records}


def test_a_study_scores_and_trains_the_weights_of_the_file(learned, study):
    """Magnitude's mask is that of the file's weights, which the record's hash proves to be the ones it began with."""
    _, found = study
    net = models.build(spec(learned[1]), 10, SHAPE, 0)
    assert found["dense", ""]["pairing"]["weights"] == models.weights_digest(net)
    assert found["dense", ""]["labels"]["model"].startswith("resnet8 (init=pretrained")
    assert found["dense", ""]["cell"]["model"]["weights"] == pretrained.file_digest(learned[1])
    from pabench.scoring.masks import unpack

    masks, _ = unpack(Store(study[0] / "out").get_mask(found["magnitude", ""]["receipt"]["mask"]))
    sizes = {name: learned[0][name].abs() for name in masks}
    kept = torch.cat([sizes[name][masks[name]].flatten() for name in masks])
    gone = torch.cat([sizes[name][~masks[name]].flatten() for name in masks])
    assert kept.min() >= gone.max()


def test_weights_that_are_drawn_anew_are_untrained_ones_under_the_same_mask(study):
    _, found = study
    assert found["magnitude", "reinit"]["receipt"]["mask"] == found["magnitude", ""]["receipt"]["mask"]
    assert found["magnitude", "reinit"]["pairing"]["weights"] != found["magnitude", ""]["pairing"]["weights"]


def test_a_smaller_network_has_no_trained_weights(study):
    _, found = study
    record = found["small_dense", ""]
    assert (record["status"], record["kind"]) == ("skipped", "declined")
    assert "it is of" in record["message"]


def test_the_file_is_asked_for_where_the_suite_names_it(tmp_path):
    with pytest.raises(
        SuiteError, match=r"study.yaml:4:10: models.0: resnet8: no checkpoint .*none.pth \(a file of about"
    ):
        session(tmp_path, SUITE.replace("FILE", str(tmp_path / "none.pth")))


def test_a_checkpoint_without_init_is_a_slip(tmp_path):
    with pytest.raises(SuiteError, match="only a model with init: pretrained has a checkpoint"):
        session(tmp_path, SUITE.replace("init: pretrained, ", ""))


def test_what_is_drawn_has_no_file():
    one = ModelSpec("resnet8", init="pretrained", checkpoint="x", weights="y")
    assert one.drawn == ModelSpec("resnet8")
    assert replace(one, checkpoint="elsewhere").identity() == one.identity()
