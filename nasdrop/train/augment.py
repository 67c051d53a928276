"""Augmentation of a whole batch on its device: each sample has its own offsets, and nothing waits for the device.

Shapes: N images, C channels, one to three spatial axes (L), (H, W) or (D, H, W). A generator must live on the device
of the images; None takes the default one, and a `Share` its part of what is drawn for several processes. Nothing is
written into the argument.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional


class Share(NamedTuple):
    """A generator that several processes have alike, of whose draws for a whole batch each takes its own rows."""

    generator: Generator
    rank: int
    world_size: int


Source = Generator | Share | None


def normalise(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(pixels - mean) / std as float32, in the memory format of the pixels.

    Args:
        pixels: (N, C, *spatial), uint8 or float32.
        mean: (C,), float32, in the units of the pixels.
        std: (C,), likewise, positive.
    """
    shape = (1, -1, *[1] * (pixels.dim() - 2))
    return (pixels - mean.view(shape)) / std.view(shape)


def crop(pixels: Tensor, padding: int, generator: Source = None) -> Tensor:
    """Shift each sample by -padding .. padding along every spatial axis; zeros come in at the border.

    This is a random crop of the original size out of the image padded by `padding` on all sides.

    Args:
        pixels: (N, C, *spatial) of any type.
        padding: in pixels; 0 returns `pixels` itself.
        generator: draws the offsets.
    """
    if padding == 0:
        return pixels
    count, spatial = len(pixels), pixels.shape[2:]
    windows = functional.pad(pixels, [padding] * (2 * len(spatial)))
    for axis, size in enumerate(spatial, start=2):
        windows = windows.unfold(axis, size, 1)
    # (N, C, *offset, *spatial): a view that holds every crop there is; one indexing picks one crop a sample.
    offsets = _integers(2 * padding + 1, len(spatial), count, pixels.device, generator)
    index: tuple[Tensor | slice, ...] = (torch.arange(count, device=pixels.device), slice(None), *offsets)
    return windows[index]


def flip(pixels: Tensor, generator: Source = None) -> Tensor:
    """Mirror each sample along its last axis with probability 1/2.

    Args:
        pixels: (N, C, *spatial) of any type.
        generator: draws the coins.
    """
    heads = _integers(2, 1, len(pixels), pixels.device, generator)[0].bool()
    return torch.where(_per_sample(heads, pixels.dim()), pixels.flip(-1), pixels)


def cutout(images: Tensor, side: int, generator: Source = None) -> Tensor:
    """Set a cube of `side` pixels to zero in each sample, the same in all channels (arXiv:1708.04552).

    The centre is uniform over the image, so that a part of the cube may lie outside. On normalised images zero is the
    mean.

    Args:
        images: (N, C, *spatial).
        side: in pixels; 0 returns `images` itself.
        generator: draws the centres.
    """
    if side == 0:
        return images
    dims, spatial = images.dim(), images.shape[2:]
    hole: Tensor | None = None
    for axis, size in enumerate(spatial, start=2):
        start = _integers(size, 1, len(images), images.device, generator)[0] - side // 2
        position = torch.arange(size, device=images.device)
        inside = (position >= start[:, None]) & (position < start[:, None] + side)
        inside = inside.view([len(images) if other == 0 else size if other == axis else 1 for other in range(dims)])
        hole = inside if hole is None else hole & inside
    return images if hole is None else images.masked_fill(hole, 0.0)


def _integers(high: int, rows: int, count: int, device: torch.device, generator: Source) -> Sequence[Tensor]:
    """`rows` independent vectors (count,) of whole numbers in 0 .. high - 1."""
    source, rank, world_size = generator if isinstance(generator, Share) else (generator, 0, 1)
    drawn = torch.randint(high, (rows, count * world_size), generator=source, device=device)
    return drawn[:, rank * count : (rank + 1) * count].unbind(0)


def _per_sample(values: Tensor, dims: int) -> Tensor:
    """(N,) as (N, 1, ..., 1)."""
    return values.view(-1, *[1] * (dims - 1))
