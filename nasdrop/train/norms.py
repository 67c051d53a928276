"""What batch norm's statistics are of while a network trains: the whole batch, a process's rows, or the past.

torch's SyncBatchNorm needs a GPU; this one needs all_gather and all_reduce alone. Shapes: (N, C, *S), N the rows of
this process, equally many in each; C channels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasdrop.train.ranks import Ranks

Statistics = Literal["global", "local", "frozen"]


@contextmanager
def sharing_statistics(network: nn.Module, kind: Statistics, ranks: Ranks) -> Iterator[None]:
    """Inside, batch norms in training use the statistics of the whole batch of all processes, if `kind` says so."""
    shared = kind == "global" and ranks.world_size > 1
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)] if shared else []
    for norm in norms:
        norm.forward = partial(_forward, norm, ranks)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def freeze_statistics(network: nn.Module) -> None:
    """Let batch norms use, and keep, their running statistics; their scales and shifts still learn."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def _forward(norm: _BatchNorm, ranks: Ranks, x: Tensor) -> Tensor:
    """A batch norm's forward pass; in training with the mean and the variance over all processes."""
    if not norm.training and norm.running_mean is not None:
        return type(norm).forward(norm, x)
    y, mean, variance = _Normalise.apply(x, norm.weight, norm.bias, norm.eps, ranks)  # type: ignore[no-untyped-call]
    if norm.training and norm.running_mean is not None:
        count = ranks.world_size * x.numel() // x.shape[1]
        _follow(norm, mean, variance * count / max(1, count - 1))
    return cast(Tensor, y)


def _follow(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics as torch does; a momentum of None is the mean over all batches so far."""
    counted, means, variances = norm.num_batches_tracked, norm.running_mean, norm.running_var
    assert counted is not None and means is not None and variances is not None  # noqa: S101 - they come together
    counted += 1
    share = 1.0 / float(counted) if norm.momentum is None else norm.momentum
    with torch.no_grad():
        means.lerp_(mean, share)
        variances.lerp_(variance, share)


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps), scaled and shifted, with the moments of all processes (arXiv:1502.03167)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, ranks: Ranks
    ) -> tuple[Tensor, Tensor, Tensor]:
        wide = x if x.dtype == torch.float64 else x.float()
        variances, means = torch.var_mean(wide, _all_but_channels(x), correction=0)
        moments = ranks.gather(torch.stack([means, variances]))
        mean = moments[:, 0].mean(0)
        variance = (moments[:, 1] + (moments[:, 0] - mean).square()).mean(0)
        scale = torch.rsqrt(variance + eps)
        y = (wide - _wide(mean, x)) * _wide(scale, x)
        ctx.save_for_backward(x, mean, scale, weight)
        ctx.ranks = ranks
        if weight is not None and bias is not None:
            y = y * _wide(weight, x) + _wide(bias, x)
        ctx.mark_non_differentiable(mean, variance)
        return y.to(x.dtype), mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, scale, weight = ctx.saved_tensors
        axes = _all_but_channels(x)
        normal = (x.to(mean.dtype) - _wide(mean, x)) * _wide(scale, x)
        gradient = gradients[0].to(mean.dtype)
        sums = torch.stack([gradient.sum(axes), (gradient * normal).sum(axes)])
        own = sums.clone()
        dist.all_reduce(sums)
        average = sums / (ctx.ranks.world_size * x.numel() // x.shape[1])
        through = gradient - _wide(average[0], x) - normal * _wide(average[1], x)
        factor = scale if weight is None else scale * weight
        found = (through * _wide(factor, x)).to(x.dtype)
        if weight is None:
            return found, None, None, None, None
        return found, own[1].to(weight.dtype), own[0].to(weight.dtype), None, None


def _all_but_channels(x: Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.dim()))


def _wide(values: Tensor, x: Tensor) -> Tensor:
    """(C,) as (1, C, 1, ...)."""
    return values.view(1, -1, *[1] * (x.dim() - 2))
