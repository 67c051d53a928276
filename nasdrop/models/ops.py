"""Candidate operations of the shipped spaces, each written once for 1-D, 2-D and 3-D inputs.

Conventions of DARTS (arXiv:1806.09055) and NAS-Bench-201 (arXiv:2001.00326): ReLU first, batch norm last, no bias.
Shapes: (N, C, *S) in, (N, C, *ceil(S / stride)) out; N samples, C channels, *S one, two or three spatial sides. An
operation never writes into its input, which other edges share.
"""

from collections.abc import Mapping
from functools import partial
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasdrop.errors import SpaceError, suggest
from nasdrop.models.layers import average_pool, batch_norm, convolution, every, max_pool


class Builder(Protocol):
    """What builds an operation: the shipped ones below, and a user's own."""

    def __call__(self, channels: int, stride: int, *, ndim: int, affine: bool) -> nn.Module:
        """Build the operation for `channels` channels in and out."""
        ...


def build_operation(
    name: str,
    channels: int,
    stride: int,
    *,
    ndim: int = 2,
    affine: bool = True,
    custom: Mapping[str, Builder] | None = None,
) -> nn.Module:
    """Build one operation by its name.

    Args:
        name: a name of `OPERATIONS` or of `custom`; a user's own wins.
        channels: channels in and out.
        stride: 1, or 2 on an edge from an input of a reduction cell.
        ndim: number of spatial sides, 1 to 3.
        affine: whether batch norms learn a scale and a shift.
        custom: a user's own operations, name -> builder.

    Raises:
        SpaceError: no operation has this name, or a user's builder returned something that is not a module.
    """
    custom = custom or {}
    builder = custom.get(name) or OPERATIONS.get(name)
    if builder is None:
        raise SpaceError(f"operations: unknown operation, got {name!r}; {suggest(name, {*OPERATIONS, *custom})}")
    module = builder(channels, stride, ndim=ndim, affine=affine)
    if not isinstance(module, nn.Module):
        raise SpaceError(f"operations.{name}: must build a torch.nn.Module, got {type(module).__name__}")
    return module


class Zero(nn.Module):
    """No operation: zeros of the output's shape. A cell leaves such an edge out."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *S) -> zeros (N, C, *ceil(S / stride))."""
        return torch.zeros_like(every(x, self.stride))

    def extra_repr(self) -> str:
        """The stride."""
        return f"stride={self.stride}"


class Noise(nn.Module):
    """Standard normal noise of the output's shape, in training and in evaluation (RobustDARTS S4, arXiv:1909.09656)."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *S) -> noise (N, C, *ceil(S / stride))."""
        return torch.randn_like(every(x, self.stride))

    def extra_repr(self) -> str:
        """The stride."""
        return f"stride={self.stride}"


def relu_conv_norm(
    channels_in: int, channels_out: int, kernel: int, stride: int = 1, *, ndim: int, affine: bool = True
) -> nn.Sequential:
    """ReLU, convolution, batch norm."""
    return nn.Sequential(
        nn.ReLU(),
        convolution(channels_in, channels_out, kernel, ndim=ndim, stride=stride),
        batch_norm(channels_out, ndim=ndim, affine=affine),
    )


class FactorizedReduce(nn.Module):
    """Halve the sides without losing positions: pointwise convolutions of the even and of the odd positions.

    On an odd side the odd positions are one fewer, and zeros stand in for the missing one.
    """

    def __init__(self, channels_in: int, channels_out: int, *, ndim: int, affine: bool = True) -> None:
        super().__init__()
        half = channels_out // 2
        self.even = convolution(channels_in, channels_out - half, 1, ndim=ndim)
        self.odd = convolution(channels_in, half, 1, ndim=ndim) if half else None
        self.norm = batch_norm(channels_out, ndim=ndim, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, *S) -> (N, C_out, *ceil(S / 2))."""
        # ReLU after the selection: half the positions or fewer are used at all.
        reduced = self.even(F.relu(every(x, 2)))
        if self.odd is not None:
            missing = [amount for side in reversed(x.shape[2:]) for amount in (0, side % 2)]
            odd = F.relu(every(x, 2, start=1))
            reduced = torch.cat((reduced, self.odd(F.pad(odd, missing) if any(missing) else odd)), 1)
        return cast(Tensor, self.norm(reduced))


def _skip(channels: int, stride: int, *, ndim: int, affine: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, ndim=ndim, affine=affine)


def _zero(channels: int, stride: int, *, ndim: int, affine: bool) -> nn.Module:
    return Zero(stride)


def _noise(channels: int, stride: int, *, ndim: int, affine: bool) -> nn.Module:
    return Noise(stride)


def _average_pool(kernel: int, channels: int, stride: int, *, ndim: int, affine: bool) -> nn.Module:
    return average_pool(kernel, stride, padding=kernel // 2, ndim=ndim)


def _max_pool(kernel: int, channels: int, stride: int, *, ndim: int, affine: bool) -> nn.Module:
    return max_pool(kernel, stride, padding=kernel // 2, ndim=ndim)


def _dense(kernel: int, channels: int, stride: int, *, ndim: int, affine: bool) -> nn.Module:
    return relu_conv_norm(channels, channels, kernel, stride, ndim=ndim, affine=affine)


def _depthwise(
    channels: int, kernel: int, stride: int, *, ndim: int, affine: bool, dilation: int = 1
) -> list[nn.Module]:
    """ReLU, one convolution a channel, pointwise convolution, batch norm."""
    return [
        nn.ReLU(),
        convolution(channels, channels, kernel, ndim=ndim, stride=stride, dilation=dilation, groups=channels),
        convolution(channels, channels, 1, ndim=ndim),
        batch_norm(channels, ndim=ndim, affine=affine),
    ]


def _separable(kernel: int, channels: int, stride: int, *, ndim: int, affine: bool) -> nn.Module:
    """Twice depthwise and pointwise; the first has the stride."""
    first = _depthwise(channels, kernel, stride, ndim=ndim, affine=affine)
    return nn.Sequential(*first, *_depthwise(channels, kernel, 1, ndim=ndim, affine=affine))


def _dilated(kernel: int, channels: int, stride: int, *, ndim: int, affine: bool) -> nn.Module:
    return nn.Sequential(*_depthwise(channels, kernel, stride, ndim=ndim, affine=affine, dilation=2))


def _by_axis(kernel: int, channels: int, stride: int, *, ndim: int, affine: bool) -> nn.Module:
    """One convolution along each side, the last side first: 1x7 then 7x1 in 2-D."""
    layers: list[nn.Module] = [nn.ReLU()]
    for axis in reversed(range(ndim)):
        along = tuple(kernel if side == axis else 1 for side in range(ndim))
        strides = tuple(stride if side == axis else 1 for side in range(ndim))
        layers.append(convolution(channels, channels, along, ndim=ndim, stride=strides))
    return nn.Sequential(*layers, batch_norm(channels, ndim=ndim, affine=affine))


OPERATIONS: Mapping[str, Builder] = {
    "none": _zero,
    "skip_connect": _skip,
    "avg_pool_3x3": partial(_average_pool, 3),
    "max_pool_3x3": partial(_max_pool, 3),
    "max_pool_5x5": partial(_max_pool, 5),
    "max_pool_7x7": partial(_max_pool, 7),
    "sep_conv_3x3": partial(_separable, 3),
    "sep_conv_5x5": partial(_separable, 5),
    "sep_conv_7x7": partial(_separable, 7),
    "dil_conv_3x3": partial(_dilated, 3),
    "dil_conv_5x5": partial(_dilated, 5),
    "conv_1x1": partial(_dense, 1),
    "conv_3x3": partial(_dense, 3),
    "conv_3x1_1x3": partial(_by_axis, 3),
    "conv_7x1_1x7": partial(_by_axis, 7),
    "nor_conv_1x1": partial(_dense, 1),
    "nor_conv_3x3": partial(_dense, 3),
    "noise": _noise,
}
