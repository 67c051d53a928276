"""Batches of images: shuffled and augmented for training, in order for evaluation.

Order and augmentation of an epoch are a pure function of (seed, epoch), so a resumed run sees what an unbroken one saw.
"""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn

from nasdrop.settings import WeightSettings
from nasdrop.train.augment import Share, crop, cutout, flip, normalise
from nasdrop.train.data import AnyImages, Dataset
from nasdrop.train.device import derive_seed
from nasdrop.train.ranks import ALONE, Ranks

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def memory_format(dims: int, *, channels_last: bool) -> torch.memory_format:
    """The memory format of batches of `dims` axes: channels last exists for images and volumes, not for signals."""
    return _CHANNELS_LAST.get(dims, torch.contiguous_format) if channels_last else torch.contiguous_format


def arrange(network: nn.Module, layout: torch.memory_format) -> None:
    """Lay out the weights of convolutions as their input, in place.

    `Module.to(memory_format=...)` would permute every tensor of four axes, packed weights of a layer's own kind too.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            module.weight.data = module.weight.data.contiguous(memory_format=layout)


def num_steps(images: AnyImages, batch_size: int) -> int:
    """Steps of one epoch: only whole batches, so that all steps have one shape; at least one."""
    return max(1, len(images) // batch_size)


def augmentation(device: torch.device, seed: int, epoch: int) -> Generator:
    """What draws the augmentation of an epoch."""
    return Generator(device).manual_seed(derive_seed(seed, epoch, "augment"))


def train_batches(
    images: AnyImages,
    data: Dataset,
    settings: WeightSettings,
    *,
    seed: int,
    epoch: int,
    first: int = 0,
    generator: Generator | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of shuffled, augmented, normalised batches.

    The images left over by the last whole batch are others in each epoch.

    Args:
        images: what to draw from.
        data: whose mean and standard deviation normalise.
        settings: batch size, augmentation, memory format.
        seed: of the run.
        epoch: from 0.
        first: the step to begin with, from 0.
        generator: draws the augmentation, for each batch when it is asked for; by default a fresh one of the epoch.
        ranks: the processes that share each batch; order and augmentation are drawn for all their rows.

    Yields:
        Images (N, C, *spatial), float32, and labels (N,), of this process.
    """
    device = images.labels.device
    order = torch.randperm(len(images), generator=Generator().manual_seed(derive_seed(seed, epoch, "order")))
    batches = torch.split(order.to(device), settings.batch_size)[first : num_steps(images, settings.batch_size)]
    share = Share(generator or augmentation(device, seed, epoch), ranks.rank, ranks.world_size)
    mean, std = torch.tensor(data.mean, device=device), torch.tensor(data.std, device=device)
    layout = memory_format(len(images.shape) + 1, channels_last=settings.channels_last)
    for stored, labels in images.batches([ranks.rows(batch) for batch in batches]):
        pixels = crop(stored, settings.crop_padding, share)
        if settings.flip:
            pixels = flip(pixels, share)
        batch = normalise(pixels.contiguous(memory_format=layout), mean, std)
        yield cutout(batch, settings.cutout, share), labels


def eval_batches(
    images: AnyImages, data: Dataset, *, batch_size: int, channels_last: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order, normalised; the last batch may be smaller."""
    device = images.labels.device
    mean, std = torch.tensor(data.mean, device=device), torch.tensor(data.std, device=device)
    layout = memory_format(len(images.shape) + 1, channels_last=channels_last)
    order = [slice(start, start + batch_size) for start in range(0, len(images), batch_size)]
    for pixels, labels in images.batches(order):
        yield normalise(pixels.contiguous(memory_format=layout), mean, std), labels
