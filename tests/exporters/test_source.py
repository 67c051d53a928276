"""Plain source computes what the network computes that it was written from, without nasdrop."""

import importlib.util
import json
import random
import subprocess
import sys

import pytest
import torch

from nasdrop.errors import RunError
from nasdrop.exporters.source import save_source, source, weights
from nasdrop.exporters.source_parts import OPERATIONS, blocks
from nasdrop.models.network import Network
from nasdrop.models.ops import OPERATIONS as BUILDERS
from nasdrop.models.ops import build_operation
from nasdrop.space import Genotype, SearchSpace

SPACES = {"darts": 6, "nas_bench_201": 3, "nasnet": 3, "tiny": 3, "robust_s1": 3, "robust_s2": 3}


def run(text, path):
    """The module that a text is."""
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scrambled(network):
    """The network with batch-norm statistics that are not the initial ones."""
    for name, buffer in network.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    return network.eval()


def assert_same(network, module, shape):
    copy = module.Network()
    copy.load_state_dict(weights(network))
    x = torch.randn(3, *shape)
    with torch.no_grad():
        expected, logits = network(x), copy.eval()(x)
    assert (logits - expected).abs().max() <= 1e-5 * max(1.0, expected.abs().max())


def check_random_cells(name, ndim, count, folder):
    space, rng = SearchSpace.load(name), random.Random(ndim)
    torch.manual_seed(ndim)
    for number in range(count):
        network = scrambled(
            Network(space, space.sample(rng), 4, SPACES[name], 5, in_channels=2, ndim=ndim, auxiliary=True, dropout=0.1)
        )
        assert_same(network, run(source(network), folder / f"found_{number}.py"), (2, *(9, 8, 11)[:ndim]))


@pytest.mark.parametrize("name", ["darts", "nas_bench_201", "nasnet", "tiny"])
def test_logits_of_random_cells(name, tmp_path):
    check_random_cells(name, 2, 3, tmp_path)


def test_the_kind_of_dropout_is_written(tmp_path):
    space = SearchSpace.load("tiny")
    for kind, module in (("dropout", torch.nn.Dropout), ("alpha_dropout", torch.nn.AlphaDropout)):
        network = Network(space, space.sample(random.Random(0)), 4, 3, dropout=0.1, dropout_kind=kind)
        copy = run(source(network), tmp_path / f"{kind}.py").Network()
        assert type(copy.dropout) is module and copy.dropout.p == 0.1


def test_logits_behind_the_stem_for_large_images(tmp_path):
    space = SearchSpace.load("darts")
    network = scrambled(Network(space, Genotype.read("DARTS_V2"), 4, 3, 5, in_channels=2, stem="imagenet"))
    assert_same(network, run(source(network), tmp_path / "large.py"), (2, 64, 64))


@pytest.mark.parametrize("ndim", [1, 3])
@pytest.mark.parametrize("name", ["darts", "nas_bench_201"])
def test_logits_of_signals_and_volumes(name, ndim, tmp_path):
    check_random_cells(name, ndim, 1, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("name", SPACES)
def test_logits_of_twenty_random_cells(name, ndim, tmp_path):
    check_random_cells(name, ndim, 20, tmp_path)


def test_every_shipped_operation_has_a_text():
    assert set(OPERATIONS) == set(BUILDERS)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("operation", [name for name in BUILDERS if name not in ("none", "noise")])
def test_each_operation(operation, ndim, stride, tmp_path):
    needed, call = OPERATIONS[operation]
    head = "from typing import Any, cast\nimport torch\nimport torch.nn.functional as F\nfrom torch import Tensor, nn\n"
    built = f"\ndef build(channels):\n    return {call.format(n=ndim, stride=stride)}\n"
    ours = scrambled(build_operation(operation, 4, stride, ndim=ndim))
    theirs = run(head + blocks([needed], ndim) + built, tmp_path / "block.py").build(4)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 4, *(7, 6, 5)[:ndim])
    torch.testing.assert_close(theirs.eval()(x), ours(x))


def test_noise_is_written(tmp_path):
    space = SearchSpace.load("robust_s4")
    rng = random.Random(0)
    genotype = next(g for g in iter(lambda: space.sample(rng), None) if "noise" in g.to_text("json"))
    network = Network(space, genotype, 4, 3, 5, in_channels=2)
    module = run(source(network), tmp_path / "found.py")
    copy = module.Network()
    copy.load_state_dict(weights(network))
    assert not torch.equal(copy(torch.ones(2, 2, 8, 8)), copy(torch.ones(2, 2, 8, 8)))


def test_a_new_process_without_nasdrop_loads_the_weights(tmp_path):
    space = SearchSpace.load("darts")
    network = scrambled(Network(space, Genotype.read("DARTS_V2"), 4, 3, 10, in_channels=1, auxiliary=True))
    metadata = {
        "shape": json.dumps([1, 8, 8]),
        "mean": json.dumps([0.3]),
        "std": json.dumps([0.4]),
        "classes": json.dumps([str(digit) for digit in range(10)]),
        "test_accuracy": "0.987",
    }
    path, beside = save_source(network, tmp_path / "found.py", metadata=metadata)
    x = torch.randn(2, 1, 8, 8)
    torch.save(x, tmp_path / "x.pt")
    script = (
        "import sys, torch, found\n"
        "assert not any(name.split('.')[0] == 'nasdrop' for name in sys.modules)\n"
        "assert (found.MEAN, found.STD, found.CLASSES[9]) == ([0.3], [0.4], '9')\n"
        "assert '98.70%' in found.__doc__ and '(N, 1, 8, 8)' in found.__doc__\n"
        f"network = found.load({str(beside)!r})\n"
        "assert not network.training\n"
        "torch.save(network(torch.load('x.pt')).detach(), 'y.pt')\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    torch.testing.assert_close(torch.load(tmp_path / "y.pt"), network(x).detach(), rtol=1e-5, atol=1e-5)
    assert path.read_text().startswith('"""')


OWN = """
from torch import nn

def doubled(channels, stride, *, ndim, affine):
    return nn.Conv2d(channels, channels, 1, stride, bias=False)
"""
SPACE = """
name = "own"
source = "here"
skeleton = "nas_bench_201"
[operations]
twice = "own_operations:doubled"
[cells.normal]
inputs = 1
nodes = 2
output = "last"
operations = ["none", "twice"]
"""


def test_an_operation_of_ones_own_is_imported_from_beside_the_source(tmp_path, monkeypatch):
    (tmp_path / "own_operations.py").write_text(OWN)
    (tmp_path / "own.toml").write_text(SPACE)
    space = SearchSpace.load(tmp_path / "own.toml")
    genotype = next(g for g in space.enumerate() if all(edge.operation == "twice" for edge in g["normal"].edges))
    network = scrambled(Network(space, genotype, 4, 3, 5, in_channels=2))
    with pytest.raises(RunError, match="source: no text for operation 'twice'"):
        source(network)
    text = source(network, own=space.operations)
    assert "from own_operations import doubled as twice" in text and "twice(channels, 1, ndim=2, affine=True)" in text
    monkeypatch.syspath_prepend(str(tmp_path))
    assert_same(network, run(text, tmp_path / "found.py"), (2, 8, 8))


def test_a_node_without_inputs_is_zero(tmp_path):
    space = SearchSpace.load("nas_bench_201")
    genotype = Genotype.read("|none~0|+|none~0|none~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|")
    network = scrambled(Network(space, genotype, 4, 3, 5, in_channels=2))
    assert_same(network, run(source(network), tmp_path / "found.py"), (2, 8, 8))
