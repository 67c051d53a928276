"""The fast forms of training on a CPU compute what torch's own layers compute."""

import pytest
import torch
import torch.nn.functional as F

from nasdrop.models.layers import average_pool, concatenate, convolution, every, max_pool

FUNCTIONAL = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def channels_last(x):
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def assert_equal_with_gradients(layer, x, **options):
    """The layer in training against torch's function, in values and both gradients."""
    layer = layer.double().train()
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    weight = layer.weight.detach().clone().requires_grad_()
    out, expected = layer(mine), FUNCTIONAL[x.dim() - 2](theirs, weight, **options)
    assert out.shape == expected.shape
    cotangent = torch.randn_like(expected)
    out.backward(cotangent)
    expected.backward(cotangent)
    for a, b in ((out, expected), (mine.grad, theirs.grad), (layer.weight.grad, weight.grad)):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layout", [torch.clone, channels_last])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_pointwise_is_a_convolution_of_kernel_one(ndim, stride, layout):
    layer = convolution(3, 5, 1, ndim=ndim, stride=stride)
    x = layout(torch.randn(2, 3, *(5, 4, 3)[:ndim], dtype=torch.float64))
    assert_equal_with_gradients(layer, x, stride=stride)


@pytest.mark.parametrize("layout", [torch.clone, channels_last])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("sides", [(1,), (2,), (5,), (8,), (7, 7), (8, 6), (5, 4), (1, 1), (3, 4, 5)])
def test_dilated_is_a_dilated_convolution(sides, stride, kernel, layout):
    layer = convolution(4, 4, kernel, ndim=len(sides), stride=stride, dilation=2, groups=4)
    x = layout(torch.randn(2, 4, *sides, dtype=torch.float64))
    assert_equal_with_gradients(layer, x, stride=stride, dilation=2, padding=kernel // 2 * 2, groups=4)


@pytest.mark.parametrize("layout", [torch.clone, channels_last])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [1, 5, 8])
def test_depth_is_a_convolution_along_the_first_side(side, stride, layout):
    layer = convolution(3, 4, (7, 1, 1), ndim=3, stride=(stride, 1, 1))
    x = layout(torch.randn(2, 3, side, 3, 2, dtype=torch.float64))
    assert_equal_with_gradients(layer, x, stride=(stride, 1, 1), padding=(3, 0, 0))


@pytest.mark.parametrize("kernel", [1, (7, 1, 1)])
def test_backward_stays_inside_its_memory(kernel):
    """Forms that crash in oneDNN 3.12: a strided kernel 1, and one along the depth, with few channels and last."""
    ndim = 2 if kernel == 1 else 3
    layer = convolution(3, 3, kernel, ndim=ndim, stride=2 if kernel == 1 else (2, 1, 1))
    for _ in range(100):
        x = channels_last(torch.randn(4, 3, *[5] * ndim)).requires_grad_()
        layer(x).square().sum().backward()
    assert layer.weight.grad.isfinite().all()


def test_a_stride_that_has_no_fast_form_is_left_to_torch():
    layer = convolution(2, 2, 3, ndim=2, stride=3, dilation=2)
    x = torch.randn(1, 2, 9, 9, dtype=torch.float64)
    assert_equal_with_gradients(layer, x, stride=3, dilation=2, padding=2)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 2)])
def test_evaluation_runs_one_convolution(kernel, dilation):
    layer = convolution(4, 4, kernel, ndim=2, dilation=dilation).eval()
    program = torch.export.export(layer, (torch.randn(1, 4, 6, 6),))
    calls = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert calls == ["aten.conv2d.default"]


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_padding_keeps_the_sides(ndim, kernel):
    x = torch.randn(1, 2, *(9, 8, 7)[:ndim])
    assert convolution(2, 3, kernel, ndim=ndim)(x).shape == (1, 3, *x.shape[2:])
    assert convolution(2, 3, 2, ndim=ndim, padding=0)(x).shape[2:] == tuple(side - 1 for side in x.shape[2:])


def test_convolutions_have_no_bias():
    assert [name for name, _ in convolution(2, 2, 3, ndim=2).named_parameters()] == ["weight"]


@pytest.mark.parametrize("layout", [torch.clone, channels_last])
@pytest.mark.parametrize("start", [0, 1])
def test_every_takes_each_second_position(layout, start):
    x = layout(torch.arange(2 * 3 * 5 * 4.0).reshape(2, 3, 5, 4)).requires_grad_()
    selected = every(x, 2, start=start)
    assert torch.equal(selected, x.detach()[:, :, start::2, start::2])
    selected.sum().backward()
    expected = torch.zeros(5, 4)
    expected[start::2, start::2] = 1
    assert torch.equal(x.grad, expected.expand(2, 3, 5, 4))
    assert x.grad.stride() == x.stride()


def test_average_pool_counts_no_padding():
    x = torch.ones(1, 1, 3, 3)
    assert torch.equal(average_pool(3, 1, ndim=2, padding=1)(x), x)
    assert torch.equal(average_pool(2, 2, ndim=2, ceil_mode=True)(x), torch.ones(1, 1, 2, 2))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("sides", [(1, 1, 1), (2, 2, 2), (1, 5, 2), (4, 2, 3)])
def test_average_pool_of_a_small_volume(sides, stride):
    """Against the sum over the window and the number of positions in it, by a convolution of ones."""
    x = torch.randn(2, 1, *sides, dtype=torch.float64)
    ones = torch.ones(1, 1, 3, 3, 3, dtype=torch.float64)
    total, number = (F.conv3d(y, ones, stride=stride, padding=1) for y in (x, torch.ones_like(x)))
    torch.testing.assert_close(average_pool(3, stride, ndim=3, padding=1)(x), total / number)


def test_max_pool_of_negative_values_takes_no_padding():
    x = -torch.ones(1, 1, 3, 3)
    assert torch.equal(max_pool(3, 1, ndim=2, padding=1)(x), x)


@pytest.mark.parametrize("training", [True, False])
def test_concatenate_is_torch_cat(training):
    states = [channels_last(torch.randn(2, c, 3, 3, dtype=torch.float64)).requires_grad_() for c in (1, 2, 3)]
    assert torch.equal(concatenate(states, training=training), torch.cat(states, 1))
    assert concatenate(states[:1], training=training) is states[0]
    assert torch.autograd.gradcheck(lambda *parts: concatenate(parts, training=training), states)
    assert torch.autograd.gradgradcheck(lambda *parts: concatenate(parts, training=training), states)


def test_concatenate_hands_back_dense_gradients():
    states = [channels_last(torch.randn(2, 4, 3, 3)).requires_grad_() for _ in range(3)]
    strides = []
    for state in states:
        state.register_hook(lambda gradient: strides.append(gradient.stride()))
    channels_last(concatenate(states, training=True)).square().sum().backward()
    assert strides == [states[0].stride()] * 3


def test_concatenate_serves_function_transforms():
    x = torch.randn(2, 4, 3)
    together = torch.func.grad(lambda y: concatenate((y, 2 * y), training=True).sum())(x)
    assert torch.equal(together, torch.full_like(x, 3.0))
