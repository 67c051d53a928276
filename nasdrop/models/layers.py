"""Convolution, batch norm and pooling for one, two and three spatial sides; the fast forms of training on a CPU.

Shapes: (N, C, *S), N samples, C channels, *S spatial sides.
Invariant: a fast form computes what torch's own convolution computes, up to the order of the sums. Evaluation, export
and every other device use torch's own, which other tools know how to fuse.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def convolution(
    channels_in: int,
    channels_out: int,
    kernel: int | tuple[int, ...],
    *,
    ndim: int,
    stride: int | tuple[int, ...] = 1,
    padding: int | None = None,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Module:
    """A convolution; `padding=None` pads so that stride 1 keeps the sides of an odd kernel."""
    sides = kernel if isinstance(kernel, tuple) else (kernel,) * ndim
    pads = tuple(dilation * (side // 2) if padding is None else padding for side in sides)
    table = _POINTWISE if kernel == 1 else _DILATED if dilation > 1 else _CONVOLUTION
    along_depth = kernel != 1 and sides[1:] == (1, 1)
    options: dict[str, Any] = {"stride": stride, "padding": pads, "dilation": dilation, "groups": groups}
    layer: Callable[..., nn.Module] = DepthConvolution if along_depth else table[ndim]
    return layer(channels_in, channels_out, sides, bias=bias, **options)


def batch_norm(channels: int, *, ndim: int, affine: bool = True) -> nn.Module:
    """Batch norm over (N, *S)."""
    return _BATCH_NORM[ndim](channels, affine=affine)


def average_pool(kernel: int, stride: int, *, ndim: int, padding: int = 0, ceil_mode: bool = False) -> nn.Module:
    """Mean over a window, of the positions inside the map only."""
    return _AVERAGE_POOL[ndim](kernel, stride=stride, padding=padding, ceil_mode=ceil_mode, count_include_pad=False)


def max_pool(kernel: int, stride: int, *, ndim: int, padding: int = 0) -> nn.Module:
    """Maximum over a window."""
    return _MAX_POOL[ndim](kernel, stride=stride, padding=padding)


def every(x: Tensor, stride: int, *, start: int = 0) -> Tensor:
    """A view of every `stride`-th position of each side: (N, C, *S) -> (N, C, *ceil((S - start) / stride))."""
    positions = (slice(start, None, stride),) * (x.dim() - 2)
    if x.is_contiguous():
        return x[(slice(None), slice(None), *positions)]
    # The gradient of an index is contiguous in the order of the indexed axes: this way it stays channels-last.
    return x.movedim(1, -1)[(slice(None), *positions)].movedim(-1, 1)


def concatenate(states: Sequence[Tensor], *, training: bool) -> Tensor:
    """Concatenate the channels: (N, C, *S) each -> (N, sum of C, *S).

    The gradients that torch hands back are strided views, with which batch norm's backward pass on a CPU takes several
    times as long; while training there, they are made dense.
    """
    if len(states) == 1:
        return states[0]
    if training and states[0].is_cpu and not torch.compiler.is_compiling():
        return cast(Tensor, _DenseGradientCat.apply(*states))  # type: ignore[no-untyped-call]
    return torch.cat(tuple(states), 1)


class _DenseGradientCat(torch.autograd.Function):
    """`torch.cat` over the channels; the two halves of its forward are what torch.func's transforms ask for."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*states: Tensor) -> Tensor:
        return torch.cat(states, 1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.sizes = [state.shape[1] for state in inputs]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.clone() for part in torch.split(gradients[0], ctx.sizes, 1))


class _PointwiseForward:
    """Mixed into a convolution of kernel 1: a matrix product over the channels, faster on small maps.

    A stride selects positions first: the backward pass of oneDNN's own strided form writes past its workspace where
    channels are few and last (uxlfoundation/oneDNN issue 6035).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, *S) -> (N, C_out, *ceil(S / stride))."""
        convolution = cast(nn.Conv2d, self)
        if not (convolution.training and x.is_cpu):
            return cast(Tensor, super().forward(x))  # type: ignore[misc]
        stride = convolution.stride[0]
        selected = every(x, stride) if stride > 1 else x
        if x.dim() == 3:  # torch's one-dimensional layers do not keep channels last: a product would copy twice
            return F.conv1d(selected, convolution.weight, convolution.bias)
        return F.linear(selected.movedim(1, -1), convolution.weight.flatten(1), convolution.bias).movedim(-1, 1)


class _DilatedForward:
    """Mixed into a dilated convolution: a plain one, whose backward pass is several times faster.

    With dilation d every output looks only at positions of its own remainder modulo d, so a stride of d is a plain
    convolution of every d-th position, and a stride of 1 is a plain convolution of each of the d^ndim remainders.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, *S) -> (N, C_out, *ceil(S / stride))."""
        convolution = cast(nn.Conv2d, self)
        stride, dilation = convolution.stride[0], convolution.dilation[0]
        if not (convolution.training and x.is_cpu and stride in (1, dilation)):
            return cast(Tensor, super().forward(x))  # type: ignore[misc]
        plain = _FUNCTIONAL[x.dim() - 2]
        padding = [side // 2 for side in convolution.kernel_size]

        def convolve(y: Tensor) -> Tensor:
            return plain(y, convolution.weight, convolution.bias, padding=padding, groups=convolution.groups)

        if stride == dilation:
            return convolve(every(x, stride))
        sides = x.shape[2:]
        missing = [amount for side in reversed(sides) for amount in (0, -side % dilation)]
        padded = F.pad(x, missing) if any(missing) else x
        y = _join_remainders(convolve(_split_remainders(padded, dilation)), dilation)
        return y[(slice(None), slice(None), *(slice(side) for side in sides))] if any(missing) else y


def _split_remainders(x: Tensor, step: int) -> Tensor:
    """(N, C, *S) -> (step^ndim N, C, *S / step): the positions of one remainder modulo step in a sample of its own."""
    samples, channels, *sides = x.shape
    ndim, parts = len(sides), [side // step for side in sides]
    split = x.movedim(1, -1).reshape(samples, *(size for part in parts for size in (part, step)), channels)
    order = (*range(2, 2 * ndim + 1, 2), 0, *range(1, 2 * ndim, 2), 2 * ndim + 1)
    return split.permute(order).reshape(-1, *parts, channels).movedim(-1, 1)


def _join_remainders(x: Tensor, step: int) -> Tensor:
    """Undo `_split_remainders`."""
    channels, *parts = x.shape[1:]
    ndim = len(parts)
    split = x.movedim(1, -1).reshape(*(step,) * ndim, -1, *parts, channels)
    order = (ndim, *(axis for side in range(ndim) for axis in (ndim + 1 + side, side)), 2 * ndim + 1)
    return split.permute(order).reshape(-1, *(step * part for part in parts), channels).movedim(-1, 1)


class Pointwise1d(_PointwiseForward, nn.Conv1d):
    """Convolution of kernel 1 over one side."""


class Pointwise2d(_PointwiseForward, nn.Conv2d):
    """Convolution of kernel 1 over two sides."""


class Pointwise3d(_PointwiseForward, nn.Conv3d):
    """Convolution of kernel 1 over three sides."""


class DepthConvolution(nn.Conv3d):
    """Convolution along the first of three sides, computed in two dimensions, the other two sides being one.

    oneDNN 3.12 corrupts memory in the backward pass of the three-dimensional form: kernel (7, 1, 1), stride 2, side 5.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, S, *plane) -> (N, C_out, ceil(S / stride), *plane)."""
        plane = x.shape[3:]
        stride, padding = (self.stride[0], 1), (cast(int, self.padding[0]), 0)
        y: Tensor = F.conv2d(x.flatten(3), self.weight.flatten(3), self.bias, stride, padding, 1, self.groups)
        return y.reshape(*y.shape[:3], *plane)


class AveragePool3d(nn.AvgPool3d):
    """Mean over a window of three sides; unlike torch's, also on a map that is smaller than the window."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *S) -> (N, C, *S pooled)."""
        if min(x.shape[2:]) >= cast(int, self.kernel_size):
            return super().forward(x)
        # The number of positions in a window is a product over the sides, so the mean can be taken side by side.
        samples, channels = x.shape[:2]
        planes = F.avg_pool2d(x.flatten(1, 2), *self._options)
        columns = planes.reshape(samples, channels, -1, *planes.shape[2:]).movedim(2, -1)
        pooled = F.avg_pool1d(columns.flatten(0, -2).unsqueeze(1), *self._options)
        return pooled.reshape(samples, channels, *planes.shape[2:], -1).movedim(-1, 2)

    @property
    def _options(self) -> tuple[Any, Any, Any, bool, bool]:
        return self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad


class Dilated1d(_DilatedForward, nn.Conv1d):
    """Dilated convolution over one side."""


class Dilated2d(_DilatedForward, nn.Conv2d):
    """Dilated convolution over two sides."""


class Dilated3d(_DilatedForward, nn.Conv3d):
    """Dilated convolution over three sides."""


_Table = Mapping[int, Callable[..., nn.Module]]
_CONVOLUTION: _Table = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_POINTWISE: _Table = {1: Pointwise1d, 2: Pointwise2d, 3: Pointwise3d}
_DILATED: _Table = {1: Dilated1d, 2: Dilated2d, 3: Dilated3d}
_BATCH_NORM: _Table = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_AVERAGE_POOL: _Table = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: AveragePool3d}
_MAX_POOL: _Table = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_FUNCTIONAL: Mapping[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
