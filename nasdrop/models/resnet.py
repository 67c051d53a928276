"""A residual network of a wanted size, the reference beside a discovered one (arXiv:1512.03385, section 4.2).

Shapes: (N, C, *S) images, N samples, C channels, *S one to three spatial sides; logits (N, classes). Every residual
branch drops its path (stochastic depth, arXiv:1603.09382), so that it is trained as a network of cells is.
"""

from typing import Literal, cast

import torch.nn.functional as F
from torch import Tensor, nn

from nasdrop.drop.paths import Draw, Path, PathDrop
from nasdrop.models.layers import batch_norm, convolution


class Residual(nn.Module):
    """Two 3x3 convolutions, each normalised, beside the identity or a strided 1x1 convolution."""

    def __init__(self, channels_in: int, channels: int, stride: int, *, ndim: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            convolution(channels_in, channels, 3, ndim=ndim, stride=stride),
            batch_norm(channels, ndim=ndim),
            nn.ReLU(),
            convolution(channels, channels, 3, ndim=ndim),
            batch_norm(channels, ndim=ndim),
        )
        plain = stride == 1 and channels_in == channels
        projection = [convolution(channels_in, channels, 1, ndim=ndim, stride=stride), batch_norm(channels, ndim=ndim)]
        self.shortcut = nn.Identity() if plain else nn.Sequential(*projection)

    def forward(self, x: Tensor, factor: Tensor | None) -> Tensor:
        """(N, C_in, *S) -> (N, C, *ceil(S / stride)); the factor (N, 1, *1) multiplies the branch."""
        y = self.branch(x)
        return F.relu(self.shortcut(x) + (y if factor is None else y * factor))


class ResNet(nn.Module):
    """Three stages of equally many blocks, the sides halved between them.

    Args:
        widths: channels of each stage.
        blocks: in each stage.
        num_classes: logits.
        in_channels: channels of the images.
        ndim: spatial sides of the images, 1 to 3.
        mode: "row", a decision a sample and block, or "batch".
    """

    def __init__(
        self,
        widths: tuple[int, int, int],
        blocks: int,
        num_classes: int,
        in_channels: int,
        *,
        ndim: int = 2,
        mode: Literal["row", "batch"] = "row",
    ) -> None:
        super().__init__()
        first = widths[0]
        self.stem = nn.Sequential(
            convolution(in_channels, first, 3, ndim=ndim), batch_norm(first, ndim=ndim), nn.ReLU()
        )
        found, channels = [], first
        for stage, width in enumerate(widths):
            for block in range(blocks):
                found.append(Residual(channels, width, 2 if stage and not block else 1, ndim=ndim))
                channels = width
        self.blocks = nn.ModuleList(found)
        self.classifier = nn.Linear(channels, num_classes)
        paths = [Path(f"blocks.{i}.branch", i, i, (i + 1) / len(found), "residual") for i in range(len(found))]
        self.path_drop = PathDrop(paths, mode=mode)

    def forward(self, x: Tensor, paths: Draw | None = None) -> Tensor:
        """Classify images (N, C, *S); `paths` as in `Network`."""
        factors: list[Tensor | None] = [None] * len(self.blocks)
        if self.training:
            drawn = self.path_drop(len(x)) if paths is None else paths
            if drawn.factors is not None:
                factors = list(drawn.factors.view(len(self.blocks), len(x), *[1] * (x.dim() - 1)).unbind(0))
        x = self.stem(x)
        for block, factor in zip(self.blocks, factors, strict=True):
            x = block(x, factor)
        return cast(Tensor, self.classifier(x.flatten(2).mean(2)))


def resnet_of(
    parameters: int,
    num_classes: int,
    in_channels: int,
    *,
    ndim: int = 2,
    blocks: int = 3,
    mode: Literal["row", "batch"] = "row",
) -> ResNet:
    """The ResNet whose number of parameters is nearest to a wanted one; widths w, 2 w, 4 w to within a channel.

    Args:
        parameters: wanted; one too small to reach gives the narrowest network.
        num_classes: logits.
        in_channels: channels of the images.
        ndim: spatial sides of the images, 1 to 3.
        blocks: in each stage; 3 are ResNet-20.
        mode: of path drop.
    """

    def widths(quarters: int) -> tuple[int, int, int]:
        return max(1, round(quarters / 4)), max(1, round(quarters / 2)), quarters

    def size(quarters: int) -> int:
        return count_parameters(widths(quarters), blocks, num_classes, in_channels, ndim=ndim)

    quarters = 1
    while size(quarters + 1) <= parameters:
        quarters += 1
    nearest = min((quarters, quarters + 1), key=lambda number: abs(size(number) - parameters))
    return ResNet(widths(nearest), blocks, num_classes, in_channels, ndim=ndim, mode=mode)


def count_parameters(
    widths: tuple[int, int, int], blocks: int, num_classes: int, in_channels: int, *, ndim: int
) -> int:
    """Weights of a ResNet, without building it."""
    kernel, first = int(3**ndim), widths[0]
    total, channels = kernel * in_channels * first + 2 * first, first
    for stage, width in enumerate(widths):
        for block in range(blocks):
            total += kernel * width * (channels + width) + 4 * width
            if (stage and not block) or channels != width:
                total += channels * width + 2 * width
            channels = width
    return total + (channels + 1) * num_classes
