"""Depthwise convolution with channels last, and its two gradients in the forms that are quick on a CPU.

Shapes: (N, *S, C) a map, contiguous, one to three spatial sides; (C, 1, *K) a weight. Odd kernels, padded so that a
stride of 1 keeps the sides.

The gradient of the input is a convolution with the flipped kernel: oneDNN's own form is several times as long under a
dilation. The gradient of the weight is quick there for kernels of at most three columns without dilation. Wider and
dilated ones are taken apart: with s neighbours of a row seen as channels of one wide position, three columns of that
wide map are the taps -s, 0 and s; the rows between dilated taps are computed and left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

_QUICK_COLUMNS = 3


@dataclass(frozen=True)
class Window:
    """The kernel's sides with their stride and dilation, one each a spatial side."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def padding(self) -> tuple[int, ...]:
        """What keeps the sides at stride 1."""
        return tuple(step * (side // 2) for side, step in zip(self.kernel, self.dilation, strict=True))

    def lifted(self) -> "Window":
        """The same for two spatial sides, of which the first is one."""
        return Window((1, *self.kernel), (1, *self.stride), (1, *self.dilation))


def depthwise(x: Tensor, weight: Tensor, window: Window) -> Tensor:
    """Convolve each channel by itself: (N, *S, C) -> (N, *ceil(S / stride), C)."""
    if x.dim() == 3:
        return depthwise(x.unsqueeze(1), weight.unsqueeze(2), window.lifted()).squeeze(1)
    convolve = F.conv2d if x.dim() == 4 else F.conv3d
    y = convolve(first(x), weight, None, window.stride, window.padding, window.dilation, x.shape[-1])
    return last(y)


def input_gradient(gradient: Tensor, weight: Tensor, window: Window, sides: Sequence[int]) -> Tensor:
    """The gradient of a map of these sides, from that of the output."""
    if gradient.dim() == 3:
        lifted = input_gradient(gradient.unsqueeze(1), weight.unsqueeze(2), window.lifted(), (1, *sides))
        return lifted.squeeze(1)
    if all(step == 1 for step in window.stride):
        return depthwise(gradient, weight.flip(*range(2, weight.dim())), window)
    x = first(gradient.new_empty(len(gradient), *sides, gradient.shape[-1]))
    return last(_gradients(gradient, x, weight, window, (True, False))[0])


def weight_gradient(gradient: Tensor, x: Tensor, window: Window) -> Tensor:
    """The gradient of the weight (C, 1, *K), from the map and the gradient of the output."""
    if x.dim() == 3:
        return weight_gradient(gradient.unsqueeze(1), x.unsqueeze(1), window.lifted()).squeeze(2)
    if x.dim() == 4 and x.is_cpu and _can_be_taken_apart(x, window):
        return _by_columns(gradient, x, window) if window.stride[1] == 1 else _by_phases(gradient, x, window)
    weight = x.new_empty(x.shape[-1], 1, *window.kernel)
    return _gradients(gradient, first(x), weight, window, (False, True))[1]


def first(x: Tensor) -> Tensor:
    """Channels first, as a view: (N, *S, C) -> (N, C, *S)."""
    return x.movedim(-1, 1)


def last(x: Tensor) -> Tensor:
    """Channels last and contiguous: (N, C, *S) -> (N, *S, C)."""
    return x.movedim(1, -1).contiguous()


def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, window: Window, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """The gradients that torch computes; an array that is not wanted only lends its shape."""
    zeros = [0] * (x.dim() - 2)
    layout = (window.stride, window.padding, window.dilation)
    transposed, groups = False, x.shape[1]
    found = torch.ops.aten.convolution_backward(
        first(gradient), x, weight, None, *layout, transposed, zeros, groups, [*wanted, False]
    )
    return cast(tuple[Tensor, Tensor], found[:2])


def _can_be_taken_apart(x: Tensor, window: Window) -> bool:
    """Whether every tap of a row is -s, 0 or s of a width that the row is a multiple of."""
    width, (kernel, stride, dilation) = x.shape[2], (window.kernel[1], window.stride[1], window.dilation[1])
    if kernel <= _QUICK_COLUMNS and max(window.dilation) == 1:
        return False
    if stride == 1:
        steps = [dilation * tap for tap in range(1, kernel // 2 + 1)]
        return all(width % step == 0 and width >= 2 * step for step in steps)
    return stride == 2 and kernel == 5 and max(window.dilation) == 1 and width % 4 == 0


def _by_columns(gradient: Tensor, x: Tensor, window: Window) -> Tensor:
    """Stride 1: the columns at the distances s and -s, and the middle one, for each distance s."""
    samples, height, width, channels = x.shape
    (rows, columns), (row_step, column_step) = window.kernel, window.dilation
    tall = Window((row_step * (rows - 1) + 1, _QUICK_COLUMNS), window.stride, (1, 1))
    left: list[Tensor] = []
    right: list[Tensor] = []
    for tap in range(1, columns // 2 + 1):
        step = column_step * tap
        wide = (samples, height, width // step, step * channels)
        weight = x.new_empty(step * channels, 1, *tall.kernel)
        found = _gradients(gradient.view(wide), first(x.view(wide)), weight, tall, (False, True))[1]
        taps = found.view(step, channels, 1, *tall.kernel).sum(0)[:, :, ::row_step]
        if columns == _QUICK_COLUMNS:
            return taps
        minus, middle, plus = taps.unbind(-1)
        left, right = [minus, *left], [*right, plus]
    return torch.stack((*left, middle, *right), -1)


def _by_phases(gradient: Tensor, x: Tensor, window: Window) -> Tensor:
    """Stride 2 and five columns: even columns of the map meet the taps -2, 0 and 2, odd ones -1 and 1."""
    samples, height, width, channels = x.shape
    wide = x.view(samples, height, width // 2, 2 * channels)
    tall = Window((window.kernel[0], _QUICK_COLUMNS), (window.stride[0], 1), (1, 1))
    weight = x.new_empty(2 * channels, 1, *tall.kernel)
    twice = torch.cat((gradient, gradient), -1)
    found = _gradients(twice, first(wide), weight, tall, (False, True))[1]
    even, odd = torch.split(found, channels)
    return torch.stack((even[..., 0], odd[..., 0], even[..., 1], odd[..., 1], even[..., 2]), -1)
