"""Tests of pabench.networks.zoo.registered: timm knows the papers' networks, and nothing else needs timm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch

import pabench.networks.zoo.registered
from pabench.networks.zoo import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_timm_lists_the_network_and_can_change_its_classifier(name):
    torch.manual_seed(0)
    model = timm.create_model(name)
    model.reset_classifier(3)

    images = torch.randn(2, *model.pretrained_cfg["input_size"])
    assert name in timm.list_models()
    assert model.get_classifier().out_features == 3
    assert model(images).shape == (2, 3)
    assert model.forward_head(model.forward_features(images), pre_logits=True).shape == (2, model.num_features)


@pytest.mark.slow
def test_no_network_takes_a_name_of_timm():
    """timm warns when a registered name is overwritten."""
    code = "import timm, warnings; warnings.simplefilter('error'); import pabench.networks.zoo.registered"
    root = Path(pabench.networks.zoo.__file__).parents[2]

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_networks_are_built_without_timm():
    code = "import sys; from pabench.networks.zoo.lenet import LeNet5; LeNet5(); print('timm' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("False\n", "")
