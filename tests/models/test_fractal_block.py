"""Fractal block: equal to the recursion, joins over what lives, nothing computed in vain."""

import pytest
import torch
from torch import nn

from nasdrop.models.fractal_block import FractalBlock, Join
from nasdrop.models.fractal_units import ORDERS, SLOT_OPERATIONS, Conventions, Unit
from nasdrop.space.fractal import OPERATIONS
from nasdrop.space.fractal_options import JOINS


def make_block(columns, **conventions):
    operations = [["conv_3x3"] * 2**column for column in range(columns)]
    return FractalBlock(operations, 3, 4, conventions=Conventions(**conventions))


def by_recursion(block, x):
    """f_C(x) as the paper defines it, last join and pool aside: the values that the last join averages."""
    columns = block.num_columns
    done = [0] * columns

    def unit(level, z):
        column = columns - level
        done[column] += 1
        return block.columns[column][done[column] - 1](z)

    def inputs(level, z):
        if level == 1:
            return [unit(1, z)]
        first = inputs(level - 1, z)
        return [*inputs(level - 1, sum(first) / len(first)), unit(level, z)]

    return inputs(columns, x)


def computed(block):
    """Which units run, by (column, slot)."""
    ran = []
    for column, units in enumerate(block.columns):
        for slot, unit in enumerate(units):
            unit.register_forward_hook(lambda *_, at=(column, slot): ran.append(at))
    return ran


@pytest.mark.parametrize("columns", [1, 2, 3, 4])
@pytest.mark.parametrize("join", JOINS)
def test_a_block_is_the_recursion(columns, join):
    block = make_block(columns, join=join).eval()
    x = torch.randn(2, 3, 8, 8)
    values = by_recursion(block, x)
    if join == "pool_then_join":
        expected = sum(block.pool(value) for value in values) / columns
    else:
        expected = block.pool(sum(values) / columns)
    torch.testing.assert_close(block(x), expected)


def test_mean_of_maxima_is_at_least_the_maximum_of_the_mean():
    first, then = make_block(3).eval(), make_block(3, join="join_then_pool").eval()
    then.load_state_dict(first.state_dict())
    x = torch.randn(2, 3, 8, 8)
    difference = first(x) - then(x)
    assert difference.min() >= -1e-6
    assert difference.max() > 1e-3


def test_a_join_is_the_mean_of_what_lives():
    values = [torch.full((2, 1, 1, 1), float(number)) for number in (1, 2, 6)]
    assert Join()(values).flatten().tolist() == [3.0, 3.0]
    first_row_drops_the_last = [torch.tensor(f).view(2, 1, 1, 1) for f in ([1.5, 1.0], [1.5, 1.0], [0.0, 1.0])]
    assert Join()(values, first_row_drops_the_last).flatten().tolist() == [1.5, 3.0]


def test_only_what_reaches_the_output_is_computed():
    block = make_block(3).train()
    ran = computed(block)
    x = torch.randn(2, 3, 4, 4)
    block(x, [(1, 2), (0,)])
    assert ran == [(0, 0)]
    ran.clear()
    block(x, [(1,), (0, 2)])  # the deepest column lives at the end, but not at the join in the middle
    assert ran == [(1, 0), (2, 2), (0, 0), (2, 3)]
    ran.clear()
    block(x)
    assert len(ran) == 7


def test_skipping_changes_neither_value_nor_gradient():
    block = make_block(3).eval()
    x = torch.randn(2, 3, 4, 4)
    live = [(1,), (0, 2)]
    factors = [[torch.full((2, 1, 1, 1), v) for v in of] for of in ([2.0, 0.0], [1.5, 0.0, 1.5])]
    skipped, multiplied = block(x, live), block(x, None, factors)
    torch.testing.assert_close(skipped, multiplied)
    grads = [
        torch.autograd.grad(y.square().sum(), block.parameters(), allow_unused=True) for y in (skipped, multiplied)
    ]
    for short, full in zip(*grads, strict=True):
        torch.testing.assert_close(torch.zeros_like(full) if short is None else short, full)


@pytest.mark.parametrize("order", ORDERS)
def test_units_keep_the_order(order):
    unit = Unit("conv_3x3", 2, 3, 0.5, Conventions(order=order)).train()
    names = {"Conv2d": "conv", "Dropout": "dropout", "BatchNorm2d": "norm", "ReLU": "relu"}
    plain = nn.Sequential(*unit.plain()).train()
    assert "-".join(names[type(layer).__name__] for layer in plain) == order
    x = torch.randn(4, 2, 6, 6)
    torch.testing.assert_close(unit.eval()(x, alone=True), plain.eval()(x))
    zeros = Unit("conv_3x3", 2, 3, 1.0, Conventions(order=order)).train()
    assert not zeros(x).any()
    assert zeros.eval()(x).any()


def test_statistics_of_a_column_alone_are_its_own():
    unit = Unit("conv_3x3", 2, 3, 0.0, Conventions(affine=True)).train()
    nn.init.normal_(unit.norm.weight)
    nn.init.normal_(unit.norm.bias)
    before = unit.norm.running_mean.clone()
    unit(torch.randn(8, 2, 4, 4) + 3, alone=True)
    assert torch.equal(unit.norm.running_mean, before)
    assert not torch.equal(unit.norm_alone.running_mean, before)
    unit.eval()
    x = torch.randn(4, 2, 4, 4)
    torch.testing.assert_close(nn.Sequential(*unit.plain()).eval()(x), unit(x, alone=True))
    assert sum(p.numel() for p in unit.parameters()) == 9 * 2 * 3 + 3 + 2 * 3  # scale and shift once


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("training", [True, False])
def test_operations_keep_the_sides_and_have_a_bias(ndim, operation, training):
    unit = Unit(operation, 2, 3, 0.0, Conventions(ndim=ndim)).train(training)
    x = torch.randn(3, 2, *(5, 6, 4)[:ndim])
    assert unit(x).shape == (3, 3, *x.shape[2:])
    biases = [module.bias for module in unit.modules() if getattr(module, "bias", None) is not None]
    assert len(biases) == 1
    nn.init.constant_(biases[0], 2.0)
    y = unit.convolution(torch.zeros_like(x))
    torch.testing.assert_close(y, torch.full_like(y, 2.0))


def test_a_space_may_name_what_can_be_built():
    assert tuple(SLOT_OPERATIONS) == OPERATIONS
