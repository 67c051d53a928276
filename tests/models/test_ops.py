"""Every operation in one, two and three dimensions, and its parameters."""

import pytest
import torch
from torch import nn

from nasdrop.errors import SpaceError
from nasdrop.models.ops import OPERATIONS, FactorizedReduce, build_operation, relu_conv_norm
from nasdrop.space.operations import KNOWN

SIDES = {1: [(1,), (7,), (8,)], 2: [(5, 8), (7, 7), (1, 2)], 3: [(3, 4, 5), (2, 2, 2)]}


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_spaces_and_models_know_the_same_operations():
    assert set(OPERATIONS) == KNOWN


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("ndim", "sides"), [(ndim, sides) for ndim, all_sides in SIDES.items() for sides in all_sides])
@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_shape_gradient_and_untouched_input(name, ndim, sides, stride):
    operation = build_operation(name, 4, stride, ndim=ndim).train()
    x = torch.randn(3, 4, *sides, requires_grad=True)
    before = x.detach().clone()
    out = operation(x)
    assert out.shape == (3, 4, *(-(-side // stride) for side in sides))
    assert out.isfinite().all()
    assert torch.equal(x.detach(), before)
    if name not in ("none", "noise"):
        (out * torch.randn_like(out)).sum().backward()
        gradients = [x.grad, *(parameter.grad for parameter in operation.parameters())]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"noise"}))
def test_training_and_evaluation_compute_the_same(name, stride):
    """With the statistics of batch norm fixed, only the form of the convolutions differs."""
    operation = build_operation(name, 4, stride, ndim=2).double().train()
    for module in operation.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    x = torch.randn(2, 4, 7, 8, dtype=torch.float64)
    torch.testing.assert_close(operation(x), operation.eval()(x), rtol=1e-12, atol=1e-12)


# Weights without batch norm's; drop.md's table of the supernet's operations, where norms learn nothing.
DARTS_PARAMETERS = {
    "sep_conv_3x3": (800, 2624),
    "sep_conv_5x5": (1312, 3648),
    "dil_conv_3x3": (400, 1312),
    "dil_conv_5x5": (656, 1824),
    "skip_connect": (0, 1024),
    "max_pool_3x3": (0, 0),
    "avg_pool_3x3": (0, 0),
    "none": (0, 0),
}


@pytest.mark.parametrize(("name", "expected"), DARTS_PARAMETERS.items())
def test_parameters_of_darts(name, expected):
    normal = build_operation(name, 16, 1, affine=False)
    reduction = build_operation(name, 32, 2, affine=False)
    assert (count(normal), count(reduction)) == expected


@pytest.mark.parametrize(
    ("name", "ndim", "weights"),
    [
        ("conv_1x1", 2, 6 * 6),
        ("conv_3x3", 2, 6 * 6 * 9),
        ("nor_conv_3x3", 1, 6 * 6 * 3),
        ("nor_conv_3x3", 3, 6 * 6 * 27),
        ("conv_7x1_1x7", 1, 6 * 6 * 7),
        ("conv_7x1_1x7", 2, 2 * 6 * 6 * 7),
        ("conv_3x1_1x3", 3, 3 * 6 * 6 * 3),
        ("sep_conv_7x7", 2, 2 * (6 * 49 + 6 * 6)),
    ],
)
def test_parameters_of_the_other_spaces(name, ndim, weights):
    assert count(build_operation(name, 6, 1, ndim=ndim, affine=False)) == weights
    norms = 4 if name.startswith("sep") else 2
    assert count(build_operation(name, 6, 1, ndim=ndim)) == weights + norms * 6


def test_skip_is_an_identity_at_stride_one_only():
    assert isinstance(build_operation("skip_connect", 4, 1), nn.Identity)
    assert isinstance(build_operation("skip_connect", 4, 2), FactorizedReduce)


@pytest.mark.parametrize("name", ["max_pool_3x3", "avg_pool_3x3"])
def test_pools_have_no_batch_norm(name):
    assert not list(build_operation(name, 4, 2).children())


def test_pools_look_at_the_map_only():
    x = -torch.ones(1, 2, 5, 5)
    assert torch.equal(build_operation("avg_pool_3x3", 2, 1)(x), x)
    assert torch.equal(build_operation("max_pool_7x7", 2, 1)(x), x)


def test_zero_and_noise():
    x = torch.full((2, 3, 5, 5), torch.nan)
    assert torch.equal(build_operation("none", 3, 2)(x), torch.zeros(2, 3, 3, 3))
    noise = build_operation("noise", 3, 1).eval()
    assert noise(x).isfinite().all()
    assert not torch.equal(noise(x), noise(x))
    assert "stride=1" in repr(noise)
    assert "stride=2" in repr(build_operation("none", 3, 2))


@pytest.mark.parametrize("name", ["sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "nor_conv_3x3", "conv_7x1_1x7"])
def test_receptive_field(name):
    """What one output position looks at, by the operation's name: kernel and dilation."""
    reach = {"sep_conv_3x3": 2, "sep_conv_5x5": 4, "dil_conv_3x3": 2, "nor_conv_3x3": 1, "conv_7x1_1x7": 3}[name]
    operation = build_operation(name, 2, 1).eval()
    x = torch.rand(1, 2, 15, 15, requires_grad=True)
    operation(x)[0, :, 7, 7].sum().backward()
    seen = x.grad.abs().sum((0, 1)).nonzero()
    assert (seen - 7).abs().max() <= reach
    full = torch.zeros(15, 15)
    step = 2 if name.startswith("dil") else 1
    full[7 - reach : 8 + reach : step, 7 - reach : 8 + reach : step] = 1
    assert torch.equal((x.grad.abs().sum((0, 1)) > 0).float() * (1 - full), torch.zeros(15, 15))


def reference_reduce(module, x):
    """Two strided convolutions, the second on the map without its first row and column (which must be even)."""
    x = x.relu()
    shifted = x[(..., *[slice(1, None)] * (x.dim() - 2))]
    strided = nn.functional.conv2d if x.dim() == 4 else nn.functional.conv1d
    halves = [strided(x, module.even.weight, stride=2), strided(shifted, module.odd.weight, stride=2)]
    return module.norm(torch.cat(halves, 1))


@pytest.mark.parametrize("sides", [(8, 6), (4,)])
@pytest.mark.parametrize("training", [True, False])
def test_factorized_reduce_on_even_sides(sides, training):
    module = FactorizedReduce(3, 6, ndim=len(sides)).double().train(training)
    x = torch.randn(4, 3, *sides, dtype=torch.float64)
    torch.testing.assert_close(module(x), reference_reduce(module, x))


def test_factorized_reduce_puts_zeros_where_an_odd_side_ends():
    module = FactorizedReduce(1, 2, ndim=1).eval()
    nn.init.ones_(module.even.weight)
    nn.init.ones_(module.odd.weight)
    module.norm = nn.Identity()
    out = module(torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]]))
    assert out.tolist() == [[[1, 3, 5], [2, 4, 0]]]


def test_factorized_reduce_gives_the_channels_asked_for():
    for channels in (1, 3, 5):
        assert FactorizedReduce(2, channels, ndim=2)(torch.randn(2, 2, 4, 4)).shape[1] == channels


def test_relu_comes_first_and_norm_last():
    kinds = [type(layer).__name__ for layer in relu_conv_norm(2, 3, 1, ndim=2)]
    assert kinds == ["ReLU", "Pointwise2d", "BatchNorm2d"]


def test_no_operation_overwrites():
    for name in OPERATIONS:
        modules = build_operation(name, 4, 2).modules()
        assert not any(getattr(module, "inplace", False) for module in modules), name


def test_unknown_name_suggests():
    with pytest.raises(SpaceError, match=r"unknown operation, got 'sep_conv_3x4'; did you mean 'sep_conv_3x3'\?"):
        build_operation("sep_conv_3x4", 4, 1)


def test_a_users_operation_gets_what_the_contract_says():
    given = {}

    def blur(channels, stride, *, ndim, affine):
        given.update(channels=channels, stride=stride, ndim=ndim, affine=affine)
        return nn.AvgPool1d(3, stride, 1)

    operation = build_operation("blur", 4, 2, ndim=1, affine=False, custom={"blur": blur})
    assert isinstance(operation, nn.AvgPool1d)
    assert given == {"channels": 4, "stride": 2, "ndim": 1, "affine": False}
    with pytest.raises(SpaceError, match=r"did you mean 'blur'\?"):
        build_operation("blurr", 4, 2, custom={"blur": blur})


def test_a_users_operation_must_be_a_module():
    with pytest.raises(SpaceError, match=r"operations\.wrong: must build a torch\.nn\.Module, got type"):
        build_operation("wrong", 4, 1, custom={"wrong": lambda channels, stride, ndim, affine: torch.relu.__class__})
