"""What surrounds the cells: stem, widths, reductions, auxiliary head. One function a skeleton, all in `SKELETONS`.

Shapes: (N, C, *S), N samples, C channels, *S spatial sides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasdrop.errors import ConfigError, SpaceError
from nasdrop.models.layers import average_pool, batch_norm, convolution
from nasdrop.models.ops import FactorizedReduce, relu_conv_norm
from nasdrop.space.genotype import Genotype
from nasdrop.space.space import SearchSpace

Outputs = Mapping[str, int]
"""How many nodes each type of cell concatenates, by its name."""
Stem = Literal["cifar", "imagenet"]
"""What precedes the cells: one convolution, or three that halve the sides, for images of about 224 pixels a side."""


@dataclass(frozen=True)
class Place:
    """Where a cell goes: its type, width and stride, and what makes its inputs from the latest outputs."""

    cell: str
    channels: int
    stride: int
    preprocess: tuple[nn.Module, ...]


@dataclass(frozen=True)
class Skeleton:
    """A network without its cells.

    The first cell gets the outputs of `stem` and of `second_stem` after it. `widths[i]` is the number of channels that
    the i-th cell puts out, `reductions` how often the sides are halved; `tail` comes between the last cell and the
    global pool. `norm_after_pools` says whether a supernet of this kind normalises the output of its pools: DARTS's
    does, NAS-Bench-201's does not.
    """

    stem: nn.Module
    second_stem: nn.Module
    places: tuple[Place, ...]
    widths: tuple[int, ...]
    reductions: int
    tail: nn.Module
    norm_after_pools: bool


def outputs_of(genotype: Genotype) -> Outputs:
    """How many nodes each cell of a genotype concatenates."""
    return {cell.name: len(cell.concat) for cell in genotype.cells}


class SkeletonBuilder(Protocol):
    """One of `SKELETONS`."""

    def __call__(
        self,
        outputs: Outputs,
        channels: int,
        num_cells: int,
        *,
        in_channels: int,
        ndim: int,
        affine: bool = True,
        stem: Stem = "cifar",
    ) -> Skeleton:
        """Build everything but the cells; `affine`: whether what makes a cell's inputs learns a scale and a shift."""
        ...


def darts(
    outputs: Outputs,
    channels: int,
    num_cells: int,
    *,
    in_channels: int,
    ndim: int,
    affine: bool = True,
    stem: Stem = "cifar",
) -> Skeleton:
    """Two inputs a cell; reduction cells at one and two thirds double the channels (DARTS, arXiv:1806.09055)."""
    reductions = {num_cells // 3, 2 * num_cells // 3}
    width = channels if stem == "imagenet" else 3 * channels
    first, second = _stems(stem, in_channels, width, ndim=ndim, affine=affine)
    widths = [width, width]
    places: list[Place] = []
    for index in range(num_cells):
        stride = 2 if index in reductions else 1
        channels *= stride
        cell = "reduction" if stride == 2 else "normal"
        # The output before the previous cell's, or the first stem's, still has the sides of before a reduction.
        older: nn.Module
        if places[-1].stride == 2 if places else stem == "imagenet":
            older = FactorizedReduce(widths[-2], channels, ndim=ndim, affine=affine)
        else:
            older = relu_conv_norm(widths[-2], channels, 1, ndim=ndim, affine=affine)
        latest = relu_conv_norm(widths[-1], channels, 1, ndim=ndim, affine=affine)
        places.append(Place(cell, channels, stride, (older, latest)))
        widths.append(channels * outputs[cell])
    halved = len(reductions) + _HALVED[stem]
    return Skeleton(first, second, tuple(places), tuple(widths[2:]), halved, nn.Identity(), norm_after_pools=True)


def nas_bench_201(
    outputs: Outputs,
    channels: int,
    num_cells: int,
    *,
    in_channels: int,
    ndim: int,
    affine: bool = True,
    stem: Stem = "cifar",
) -> Skeleton:
    """One input a cell; three stages, a residual block that halves the sides between them (arXiv:2001.00326).

    The residual blocks are affine in its supernets too.
    """
    if num_cells % 3:
        raise ConfigError(f"num_cells: must be divisible by the 3 stages of nas_bench_201, got {num_cells}")
    first, second = _stems(stem, in_channels, channels, ndim=ndim, affine=affine)
    (cell,) = outputs
    places: list[Place] = []
    for index in range(num_cells):
        before: nn.Module = nn.Identity()
        if index in (num_cells // 3, 2 * num_cells // 3):
            before = ResidualReduction(channels, 2 * channels, ndim=ndim)
            channels *= 2
        places.append(Place(cell, channels, 1, (before,)))
    tail = nn.Sequential(batch_norm(channels, ndim=ndim), nn.ReLU())
    widths = tuple(place.channels for place in places)
    return Skeleton(first, second, tuple(places), widths, 2 + _HALVED[stem], tail, norm_after_pools=False)


SKELETONS: Mapping[str, SkeletonBuilder] = {"darts": darts, "nas_bench_201": nas_bench_201}


def skeleton_of(space: SearchSpace) -> SkeletonBuilder:
    """What builds the surroundings of a space's cells.

    Raises:
        SpaceError: the space is none of cells.
    """
    if space.skeleton not in SKELETONS:
        known = ", ".join(SKELETONS)
        raise SpaceError(f"space {space.name}: a network of cells has the skeleton {known}, got {space.skeleton!r}")
    return SKELETONS[space.skeleton]


_HALVED: Mapping[Stem, int] = {"cifar": 0, "imagenet": 3}


def _stems(stem: Stem, in_channels: int, channels: int, *, ndim: int, affine: bool) -> tuple[nn.Module, nn.Module]:
    """What makes the first input of the first cell from the images, and what makes the second one from that."""
    if stem == "cifar":
        layers = [convolution(in_channels, channels, 3, ndim=ndim), batch_norm(channels, ndim=ndim)]
        return nn.Sequential(*layers), nn.Identity()
    half = max(1, channels // 2)
    layers = [convolution(in_channels, half, 3, ndim=ndim, stride=2), batch_norm(half, ndim=ndim), nn.ReLU()]
    layers += [convolution(half, channels, 3, ndim=ndim, stride=2), batch_norm(channels, ndim=ndim)]
    return nn.Sequential(*layers), relu_conv_norm(channels, channels, 3, 2, ndim=ndim, affine=affine)


class ResidualReduction(nn.Module):
    """NAS-Bench-201's block between stages: two ReLU-conv-BN, the first with stride 2, beside pool and projection."""

    def __init__(self, channels_in: int, channels_out: int, *, ndim: int) -> None:
        super().__init__()
        self.first = relu_conv_norm(channels_in, channels_out, 3, 2, ndim=ndim)
        self.second = relu_conv_norm(channels_out, channels_out, 3, ndim=ndim)
        # Rounding up keeps the shortcut as large as the strided convolution on odd sides.
        self.pool = average_pool(2, 2, ndim=ndim, ceil_mode=True)
        self.projection = convolution(channels_in, channels_out, 1, ndim=ndim)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, *S) -> (N, C_out, *ceil(S / 2))."""
        return cast(Tensor, self.projection(self.pool(x)) + self.second(self.first(x)))


class AuxiliaryHead(nn.Module):
    """DARTS's second classifier, on a middle cell and in training only: ReLU, pool, 1x1 and 2x2 convolution, linear.

    The field pools 8 positions a side by a window of 5 and a stride of 3, and 7 by 5 and 2. Both are two windows of
    five eighths of the side at its two ends, and that is the rule here for every side.
    """

    def __init__(self, channels: int, num_classes: int, *, ndim: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            convolution(channels, 128, 1, ndim=ndim),
            batch_norm(128, ndim=ndim),
            nn.ReLU(),
            convolution(128, 768, 2, ndim=ndim, padding=0),
            batch_norm(768, ndim=ndim),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *S) -> logits (N, classes)."""
        x = F.relu(x)
        for axis in range(2, x.dim()):
            x = _mean_of_ends(x, axis)
        return cast(Tensor, self.classifier(self.features(x).flatten(1)))


def _mean_of_ends(x: Tensor, axis: int) -> Tensor:
    """Means over the first and the last five eighths of a side, of at most all but one position."""
    side = x.shape[axis]
    window = max(1, min(-(-5 * side // 8), side - 1))
    ends = [x.narrow(axis, start, window).mean(axis, keepdim=True) for start in (0, side - window)]
    return torch.cat(ends, axis)
