"""The parts of the packed layout: depthwise gradients, products with norms folded in, what is recognised."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasdrop.models.ops import OPERATIONS, build_operation
from nasdrop.models.supernet.packed.depthwise import Window, depthwise, input_gradient, weight_gradient
from nasdrop.models.supernet.packed.plan import Chain, Own, Pooled, recognise
from nasdrop.models.supernet.packed.products import hidden, weighted_products


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("sides", [(8, 8), (16, 16), (6, 4), (7, 9), (5, 12), (9,), (16,), (4, 5, 6)])
def test_gradients_of_depthwise_convolutions(kernel, stride, dilation, sides):
    """torch's own gradients are the oracle."""
    ndim = len(sides)
    window = Window((kernel,) * ndim, (stride,) * ndim, (dilation,) * ndim)
    x = torch.randn(2, *sides, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 1, *window.kernel, dtype=torch.float64, requires_grad=True)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[ndim - 1]
    expected = convolve(x.movedim(-1, 1), weight, None, stride, dilation * (kernel // 2), dilation, 3).movedim(1, -1)
    gradient = torch.randn_like(expected).contiguous()
    torch.testing.assert_close(depthwise(x, weight, window), expected, rtol=1e-12, atol=1e-12)
    of_x, of_weight = torch.autograd.grad(expected, (x, weight), gradient)
    torch.testing.assert_close(input_gradient(gradient, weight, window, sides), of_x, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(weight_gradient(gradient, x.detach(), window), of_weight, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rows", [1, 3])
def test_products_are_differentiable_twice(rows):
    """Against numerical differences, of features whose means are taken first."""
    weights = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    coefficients = torch.rand(3, rows, dtype=torch.float64, requires_grad=True)
    features = [torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    made = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)

    def centred(values):
        return [value - value.mean((0, 1)) for value in values]

    def products(weights, coefficients, made, *features):
        return weighted_products(weights, coefficients, centred(features), [made])[0]

    def maps(weights, *features):
        return tuple(hidden(weights, centred(features))[0])

    for function, inputs in ((products, (weights, coefficients, made, *features)), (maps, (weights, *features))):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def test_what_is_recognised():
    roles = {name: type(recognise(build_operation(name, 4, 1, affine=False))) for name in OPERATIONS if name != "none"}
    chains = {"nor_conv_1x1", "conv_1x1", *(name for name in roles if name.startswith(("sep", "dil")))}
    assert {name for name, role in roles.items() if role is Chain} == chains
    assert {name for name, role in roles.items() if role is Pooled} == {name for name in roles if "pool" in name}
    affine = [build_operation(name, 4, 1, affine=True) for name in ("sep_conv_3x3", "nor_conv_1x1")]
    assert all(type(recognise(module)) is Own for module in affine)


class Scaled(nn.Conv2d):
    """A convolution of a user's own that looks like torch's."""

    def forward(self, x):
        return 2 * super().forward(x)


def test_what_only_looks_alike_is_called():
    alike = nn.Sequential(nn.ReLU(), Scaled(4, 4, 1, bias=False), nn.BatchNorm2d(4, affine=False))
    assert type(recognise(alike)) is Own
    for change in ({"eps": 1e-3}, {"track_running_stats": False}):
        module = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4, affine=False, **change))
        assert type(recognise(module)) is Own
    for layer in (nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 1, 2, bias=False)):
        assert type(recognise(nn.Sequential(nn.ReLU(), layer, nn.BatchNorm2d(4, affine=False)))) is Own
    assert type(recognise(nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1, bias=False)))) is Own
    assert type(recognise(nn.Sequential())) is Own
