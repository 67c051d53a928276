"""Residual branches that drop: stochastic depth (1603.09382), with or without computing what is dropped.

`drop_branch` decides on the host before the branch runs, so it gives time and memory back, in eager mode; `drop_path`
of the branch's result decides on the device and compiles to one graph. Both drop the same rows for the same draws.
"""
# ruff: noqa: FBT001, FBT002 - `training` and `scale` are where torch and timm have them

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from nasdrop.drop.functional import MODES, check_mode, drop_path
from nasdrop.drop.masks import Rate, check_floating, check_rate, draw_dropped, zero_and_scale
from nasdrop.drop.modules import Drop
from nasdrop.errors import DropError

BRANCH_MODES = ("subset", "batch")
SCALINGS = ("training", "evaluation")


def drop_branch(
    branch: Callable[[Tensor], Tensor],
    x: Tensor,
    p: Rate = 0.2,
    training: bool = True,
    mode: Literal["subset", "batch"] = "subset",
    scale: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """What `drop_path(branch(x), p)` gives, without computing what is dropped: add the result to x.

    Args:
        branch: Maps (n, ...) to the same shape, for any n from 1 on.
        x: Values of shape (N, ...).
        p: Probability of dropping; a tensor is read back from its device.
        training: Whether to drop at all.
        mode: "subset" runs the branch on the samples that live, "batch" on all of them or not at all.
        scale: Whether to divide what is kept by 1 - p.
        generator: Source of the draw, best on the CPU; the CPU's default RNG when none is given.

    Returns:
        A tensor of x's shape; `branch(x)` itself when nothing can drop.

    Raises:
        DropError: as `drop_path`, or the branch changes the shape: with nobody left the shape would be unknown.
    """
    rate = float(check_rate("drop_branch", p))
    check_mode("drop_branch", mode, BRANCH_MODES)
    if x.ndim == 0:
        raise DropError("drop_branch: the input needs a first dimension of samples, got a 0-dimensional tensor")
    if not training or rate == 0.0 or x.numel() == 0:
        return _run(branch, x)
    check_floating("drop_branch", x)
    shape = [x.shape[0] if mode == "subset" else 1] + [1] * (x.ndim - 1)
    dropped = draw_dropped(shape, rate, torch.device("cpu"), generator).cpu()
    keep = 1.0 - rate if scale else 1.0
    if bool(dropped.all()):
        return zero_and_scale(x, dropped[:1].to(x.device), 1.0)
    if not bool(dropped.any()):
        return _scaled(_run(branch, x), keep)
    alive = (~dropped).flatten().nonzero().flatten().to(x.device)
    part = _scaled(_run(branch, x.index_select(0, alive)), keep)
    return part.new_zeros(x.shape).index_copy_(0, alive, part)


class StochasticDepth(Drop):
    """A residual branch that drops: x + drop(branch(x)).

    Args:
        branch: Maps (N, ...) to the same shape.
        p: Probability of dropping, in [0, 1].
        mode: "row" decides for each sample, "batch" once for all of them (the paper).
        skip: Do not compute what is dropped; eager. Otherwise everything is computed, and a schedule is one graph.
        scaling: Where the expectation is kept: "training" divides by 1 - p there, "evaluation" multiplies by it there
            (the paper).
    """

    def __init__(
        self,
        branch: nn.Module,
        p: Rate = 0.5,
        mode: Literal["row", "batch"] = "row",
        *,
        skip: bool = False,
        scaling: Literal["training", "evaluation"] = "training",
    ) -> None:
        check_mode("StochasticDepth", mode)
        if scaling not in SCALINGS:
            raise DropError(f"StochasticDepth: scaling has to be one of {', '.join(SCALINGS)}, got {scaling!r}")
        super().__init__(p)
        self.branch = branch
        self.mode: Literal["row", "batch"] = mode
        self.skip = skip
        self.scaling = scaling

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch, dropped while training."""
        scale = self.scaling == "training"
        if self.skip:
            mode: Literal["subset", "batch"] = "subset" if self.mode == "row" else "batch"
            return x + self._survival(drop_branch(self.branch, x, self.p, self.training, mode, scale))
        return x + self._survival(drop_path(self.branch(x), self.p, self.training, self.mode, scale))

    def extra_repr(self) -> str:
        """Show p and what differs from the defaults."""
        options = [super().extra_repr()]
        options += [f"mode={self.mode}"] if self.mode != MODES[0] else []
        options += ["skip=True"] if self.skip else []
        options += [f"scaling={self.scaling}"] if self.scaling != SCALINGS[0] else []
        return ", ".join(options)

    def _survival(self, values: Tensor) -> Tensor:
        """In evaluation, times the probability to live where training did not divide by it; one rounding."""
        if self.training or self.scaling == "training":
            return values
        keep = 1.0 - self.p
        return (values.float() * keep).to(values.dtype) if values.element_size() < 4 else values * keep


def _run(branch: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    result = branch(x)
    if result.shape != x.shape:
        raise DropError(f"drop_branch: the branch has to keep the shape {tuple(x.shape)}, got {tuple(result.shape)}")
    return result


def _scaled(values: Tensor, keep: float) -> Tensor:
    nothing = torch.zeros([1] * values.ndim, dtype=torch.bool, device=values.device)
    return values if keep == 1.0 else zero_and_scale(values, nothing, keep)
