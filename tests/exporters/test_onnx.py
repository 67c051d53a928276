"""An ONNX file gives the network's logits in onnxruntime for any number of images, or is not written."""

import json
import sys

import onnxruntime
import pytest
import torch
from torch import nn

from nasdrop.errors import InputError, RunError
from nasdrop.exporters import onnx as exporter
from nasdrop.exporters.onnx import save_onnx
from nasdrop.models.fractal import FractalNet
from nasdrop.models.network import Network
from nasdrop.space import Genotype, SearchSpace

METADATA = {"genotype": "{}", "classes": json.dumps(["ä", "b"]), "mean": "[0.3]", "test_accuracy": "0.9"}


def session(path):
    return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


def assert_same(path, network, shape):
    opened = session(path)
    for batch in (1, 3, 33):
        x = torch.randn(batch, *shape)
        (logits,) = opened.run(None, {"images": x.numpy()})
        expected = network.eval()(x).detach()
        assert (torch.from_numpy(logits) - expected).abs().max() <= 1e-5 * max(1.0, expected.abs().max())


def test_one_file_with_what_it_needs_to_be_used(tmp_path, capfd):
    network = Network(SearchSpace.load("darts"), Genotype.read("DARTS_V2"), 4, 3, 10, in_channels=1, auxiliary=True)
    path = tmp_path / "network.onnx"
    difference = save_onnx(network, (1, 8, 8), path, METADATA)
    assert 0 <= difference <= 1e-5
    assert network.training and list(tmp_path.iterdir()) == [path]
    assert capfd.readouterr() == ("", "")
    assert session(path).get_modelmeta().custom_metadata_map == METADATA
    assert_same(path, network, (1, 8, 8))


def test_a_column_of_a_fractal_network(tmp_path):
    network = FractalNet(2, 1, (4,), 3, 1, dropout=(0.1,)).eval().column("deepest")
    save_onnx(network, (1, 4, 4), tmp_path / "column.onnx", {})
    assert_same(tmp_path / "column.onnx", network, (1, 4, 4))


@pytest.fixture(scope="module")
def small():
    return exporter._convert(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2))


def test_a_file_that_computes_something_else_is_not_kept(tmp_path, monkeypatch, small):
    monkeypatch.setattr(exporter, "_convert", lambda network, shape: small)
    other = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(RunError, match="must give torch's logits within 1e-05"):
        save_onnx(other, (1, 2, 2), tmp_path / "x.onnx", {})
    assert not list(tmp_path.iterdir())


def test_random_operations_are_refused(tmp_path):
    class Random(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            return self.layer(x + torch.rand_like(x))

    with pytest.raises(RunError, match="draws random numbers"):
        save_onnx(Random(), (2,), tmp_path / "x.onnx", {})


def test_without_the_packages_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"network.onnx: ONNX needs more packages: pip install 'nasdrop\[export\]'"):
        save_onnx(nn.Linear(2, 2), (2,), tmp_path / "network.onnx", {})
