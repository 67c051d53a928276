"""Branches that drop: the same rows as drop_path, without computing them; stochastic depth as the paper has it."""

import math

import pytest
import torch
from torch import Tensor, nn

from nasdrop.drop import StochasticDepth, drop_branch, drop_path
from nasdrop.errors import DropError


class Counting(nn.Module):
    """A branch without cross-talk between samples that counts the rows it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 5)
        self.rows: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.rows.append(len(x))
        result: Tensor = self.linear(x).tanh()
        return result


@pytest.mark.parametrize(("mode", "path_mode"), [("subset", "row"), ("batch", "batch")])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_drops_the_rows_that_drop_path_drops(mode: str, path_mode: str, scale: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    branch = Counting().to(dtype)
    for seed in range(12):
        x = torch.randn(16, 5, dtype=dtype, requires_grad=True)
        skipped = drop_branch(branch, x, 0.4, True, mode, scale, torch.Generator().manual_seed(seed))
        gradient = torch.autograd.grad(skipped.square().sum(), [x, *branch.parameters()], allow_unused=True)
        plain = drop_path(branch(x), 0.4, True, path_mode, scale, torch.Generator().manual_seed(seed))
        expected = torch.autograd.grad(plain.square().sum(), [x, *branch.parameters()])
        tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 5e-2, "atol": 5e-2}
        torch.testing.assert_close(skipped, plain, **tolerance)
        for got, want in zip(gradient, expected, strict=True):
            torch.testing.assert_close(torch.zeros_like(want) if got is None else got, want, **tolerance)


def test_computes_only_what_lives() -> None:
    branch = Counting()
    x = torch.ones(1000, 5)
    y = drop_branch(branch, x, 0.4, generator=torch.Generator().manual_seed(0))
    alive = int((y != 0).any(1).sum())
    assert branch.rows == [alive]
    assert abs(alive / 1000 - 0.6) < 5 * math.sqrt(0.24 / 1000)
    branch.rows.clear()
    runs = [drop_branch(branch, x, 0.4, mode="batch") for _ in range(200)]
    ran = sum(bool(run.any()) for run in runs)
    assert branch.rows == [1000] * ran
    assert abs(ran / 200 - 0.6) < 5 * math.sqrt(0.24 / 200)


@pytest.mark.parametrize("mode", ["subset", "batch"])
def test_everybody_dropped_keeps_the_graph_and_nobody_dropped_is_the_branch(mode: str) -> None:
    branch = Counting()
    x = torch.full((3, 5), math.inf, requires_grad=True)
    y = drop_branch(branch, x, 1.0, mode=mode)
    assert torch.equal(y, torch.zeros(3, 5))
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros(3, 5))
    assert branch.rows == []
    x = torch.randn(3, 5)
    assert torch.equal(drop_branch(branch, x, 0.0, mode=mode), branch(x))
    assert torch.equal(drop_branch(branch, x, 0.9, False, mode), branch(x))
    assert torch.equal(drop_branch(branch, x, 1e-12, mode=mode), branch(x))


def test_a_branch_that_changes_the_shape_is_refused_every_time() -> None:
    for training in (True, False):
        with pytest.raises(DropError, match="has to keep the shape"):
            drop_branch(lambda x: x[:, :2], torch.ones(4, 5), 0.1, training)


@pytest.mark.parametrize(
    ("x", "mode", "text"),
    [(torch.ones(()), "subset", "0-dimensional"), (torch.ones(4, 5), "row", "mode has to be one of subset, batch")],
)
def test_bad_arguments(x: Tensor, mode: str, text: str) -> None:
    with pytest.raises(DropError, match=text):
        drop_branch(lambda v: v, x, 0.5, True, mode)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("mode", ["row", "batch"])
@pytest.mark.parametrize("scaling", ["training", "evaluation"])
def test_stochastic_depth_keeps_the_expectation_where_it_says(skip: bool, mode: str, scaling: str) -> None:
    torch.manual_seed(3)
    layer = StochasticDepth(nn.Identity(), 0.25, mode, skip=skip, scaling=scaling)
    x = torch.ones(8, 2)
    kept = 1.0 + (1.0 / 0.75 if scaling == "training" else 1.0)
    values = [layer(x) for _ in range(400)]
    assert {round(v, 5) for y in values for v in y.flatten().tolist()} == {1.0, round(kept, 5)}
    assert mode == "row" or all(bool((y == y[0, 0]).all()) for y in values)
    decisions = torch.stack([y[:, 0] for y in values]) if mode == "row" else torch.stack([y[0, 0] for y in values])
    share = (decisions == 1.0).double().mean().item()
    assert abs(share - 0.25) < 5 * math.sqrt(0.1875 / decisions.numel())
    expected = 2.0 if scaling == "training" else 1.75
    assert torch.equal(layer.eval()(x), torch.full((8, 2), expected))


def test_evaluation_scaling_rounds_once_in_half_precision() -> None:
    layer = StochasticDepth(nn.Identity(), 0.01, scaling="evaluation").eval()
    x = torch.randn(1000).bfloat16()
    assert torch.equal(layer(x) - x, (x + (x.float() * (1 - layer.p)).bfloat16()) - x)


def test_shows_its_options_and_checks_them() -> None:
    layer = StochasticDepth(nn.Identity(), 0.5, "batch", skip=True, scaling="evaluation")
    assert "p=0.5, mode=batch, skip=True, scaling=evaluation" in repr(layer)
    with pytest.raises(DropError, match="scaling has to be one of training, evaluation, got 'test'"):
        StochasticDepth(nn.Identity(), scaling="test")
