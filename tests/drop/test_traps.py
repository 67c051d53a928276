"""The traps that docs/drop.md lists, each reproduced: the figures there are what torch does here."""

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils.checkpoint import checkpoint

from nasdrop.drop import preset

MILLION = 1_000_000


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def five_errors(p: float) -> float:
    """Five standard errors of a share of a million draws."""
    return 5 * (p * (1 - p) / MILLION) ** 0.5


@pytest.mark.parametrize(("keep", "kept", "doubled"), [(0.9, 0.8984375, 0.0), (0.999, 1.0, 1 / 256)])
def test_the_floor_trick_in_bf16(keep, kept, doubled):
    mask = (keep + torch.rand(MILLION, dtype=torch.bfloat16)).floor()
    assert abs((mask > 0).double().mean() - kept) <= five_errors(kept)
    assert abs((mask == 2).double().mean() - doubled) <= five_errors(doubled)


def test_a_bf16_uniform_below_k():
    assert (torch.rand(MILLION, dtype=torch.bfloat16) < 0.999).all()


def test_a_rounded_reciprocal_in_bf16():
    mask = torch.ones((), dtype=torch.bfloat16) / 0.99
    assert mask.item() == 1.0078125 and mask.item() * 0.99 - 1 == pytest.approx(-0.0023, abs=5e-5)
    kept = torch.dropout(torch.ones(1000, dtype=torch.bfloat16), 0.01, True)
    assert set(kept.unique().tolist()) <= {0.0, 1.0078125}
    keeps = torch.linspace(0.5, 1.0, 100_001, dtype=torch.float64)[:-1]
    errors = ((1 / keeps).to(torch.bfloat16).double() * keeps - 1).abs()
    assert (errors > 2**-9).double().mean().item() == pytest.approx(0.31, abs=0.01)


def test_drop_and_keep_mixed_up():
    p = 0.1  # handed on as the probability to keep
    x = torch.ones(MILLION)
    y = x.div(p) * torch.empty_like(x).bernoulli_(p)
    assert (y == 0).double().mean().item() == pytest.approx(0.9, abs=five_errors(0.9))
    assert y.max().item() == pytest.approx(10.0)


def test_p_of_one_divides_by_zero():
    assert (torch.ones(4).div(0.0) * torch.zeros(4)).isnan().all()


def test_fp16_overflows_before_it_is_dropped():
    x = torch.full((4,), 60_000.0, dtype=torch.float16)
    assert (x.div(0.5) * torch.zeros(4, dtype=torch.float16)).isnan().all()


def test_an_unchecked_p_above_one():
    masks = ((1 - 1.5) + torch.rand(MILLION)).floor()
    assert set(masks.unique().tolist()) == {-1.0, 0.0}
    values = torch.ones(MILLION).div(1 - 1.5) * masks
    assert set(values.unique().tolist()) == {0.0, 2.0}
    assert (values == 0).double().mean().item() == pytest.approx(0.5, abs=five_errors(0.5))


@pytest.mark.parametrize("activation", [torch.relu, torch.sigmoid, torch.tanh])
def test_in_place_after_an_activation(activation):
    y = activation(torch.ones(4, requires_grad=True) * 2)
    y.div_(0.5).mul_(torch.ones(4))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_in_place_on_an_identity_edge():
    state = torch.ones(4)
    torch.nn.Identity()(state).div_(0.5).mul_(torch.ones(4))
    assert (state == 2.0).all()


class FloatAttribute(nn.Module):
    """timm's layout: the rate is a Python float on the module."""

    def __init__(self):
        super().__init__()
        self.drop_prob = 0.0

    def forward(self, x):
        return x * torch.empty(len(x), 1).bernoulli_(1.0 - self.drop_prob)


def test_a_float_rate_recompiles():
    module, counter = FloatAttribute(), CompileCounterWithBackend("aot_eager")
    torch._dynamo.reset()
    compiled = torch.compile(module, backend=counter)
    for epoch in range(50):
        module.drop_prob = 0.2 * epoch / 50
        compiled(torch.ones(4, 3))
    assert counter.frame_count in (8, 9)  # at torch's limit it goes on in eager mode, and says so in a log only


def test_half_precision_rounds_p():
    assert 1 - torch.tensor(0.001).bfloat16() == 1.0


def test_a_numpy_mask_inside_a_checkpoint():
    def branch(x):
        mask = torch.from_numpy(rng.random((len(x), 1)) < 0.5)
        return (x * mask) ** 2

    gradients = []
    for run in (branch, lambda x: checkpoint(branch, x, use_reentrant=False)):
        rng = np.random.default_rng(0)
        x = torch.arange(1.0, 1001.0)[:, None].requires_grad_()
        run(x).sum().backward()
        gradients.append(x.grad)
    wrong = (gradients[0] != gradients[1]).float().mean().item()
    assert wrong == pytest.approx(0.5, abs=5 * 0.5 / 1000**0.5)


def test_seeds_of_64_bits_on_a_cpu():
    low, high = (torch.rand(5, generator=torch.Generator().manual_seed(seed)) for seed in (5, 5 + 2**32))
    assert torch.equal(low, high)


def test_two_clocks_of_one_ramp():
    last, epochs = 599, 600
    assert preset("darts", 0.2).rate(last / epochs) == pytest.approx(0.199667, abs=5e-7)
    inclusive = preset("robust-darts", 0.2)
    assert inclusive.rate(inclusive.progress(epoch=last, epochs=epochs)) == 0.2
