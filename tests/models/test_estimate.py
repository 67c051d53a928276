"""Estimates against what a step of the full batch really keeps, and against an account by hand."""

import math

import pytest
import torch
from torch import nn

from nasdrop.models.estimate import _Living, _step, estimate, step_seconds, training_bytes
from nasdrop.models.fractal import FractalNet


def counted(network, shape, images, autocast=None):
    """Bytes of a step of the full batch, itself counted: weights, buffers and momenta beside what the step makes."""
    step = _step(network, shape, images, autocast)
    with _Living() as living:
        step()
    tensors = [*network.parameters(), *network.buffers()]
    momenta = sum(weight.nbytes for weight in network.parameters())
    return sum(tensor.nbytes for tensor in tensors) + momenta + max(living.trace)


def test_a_linear_layer_by_hand():
    features, classes, images = 1000, 10, 64
    network = nn.Linear(features, classes, bias=False)
    weight, batch, logits = 4 * features * classes, 4 * images * features, 4 * images * classes
    found = training_bytes(network, (features,), images)
    # Weight, momentum and gradient; the batch; logits, their log-probabilities and the gradients of both.
    assert 3 * weight + batch + logits <= found <= 3 * weight + batch + 6 * logits
    assert training_bytes(network, (features,), images, momentum=False) == found - weight


@pytest.mark.parametrize("options", [{}, {"auxiliary": True}], ids=["plain", "auxiliary"])
def test_a_few_images_tell_what_many_keep(build, options):
    network = build("darts", "DARTS_V2", **options)
    expected = counted(network, (2, 8, 8), 32)
    assert training_bytes(network, (2, 8, 8), 32) == pytest.approx(expected, rel=0.01)


def test_half_precision_keeps_less(build):
    network = build("darts", "DARTS_V2")
    low = training_bytes(network, (2, 16, 16), 64, autocast=torch.bfloat16)
    assert low == pytest.approx(counted(network, (2, 16, 16), 64, torch.bfloat16), rel=0.01)
    assert low < training_bytes(network, (2, 16, 16), 64)


def test_a_network_whose_steps_differ_has_an_estimate_too():
    network = FractalNet(columns=2, blocks=1, widths=(4,), num_classes=3, in_channels=1, drop={"global_share": 0.5})
    network.path_drop.rates.fill_(0.5)
    assert training_bytes(network, (1, 8, 8), 16) > sum(weight.nbytes for weight in network.parameters())


def test_an_estimate_leaves_the_network_alone(build):
    network = build("tiny").eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = estimate(network, (2, 8, 8), 4, steps=1)
    assert found.bytes > 0 and 0 < found.seconds < math.inf
    assert not network.training and all(weight.grad is None for weight in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert step_seconds(network, (2, 8, 8), 4, steps=1) > 0
