"""Batch-norm statistics, estimated anew from images as evaluation sees them.

Single Path One-Shot (arXiv:1904.00420) does so before it scores a path; a column of a fractal network whose statistics
were not kept while it trained needs it too.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from nasdrop.errors import DataError
from nasdrop.train.batches import eval_batches
from nasdrop.train.data import AnyImages, Dataset
from nasdrop.train.device import isolated_rng
from nasdrop.train.score import eval_mode

_Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


def reestimate(network: nn.Module, images: AnyImages, data: Dataset, *, batch_size: int = 256) -> int:
    """Set the running statistics of the batch norms that the network's evaluation uses; the weights stay.

    Everything but these batch norms is in evaluation mode, so dropout and path drop are off. What the network does not
    run keeps its statistics, and so does a batch norm without running statistics.

    Args:
        network: on the device of the images; its modes are restored afterwards.
        images: a split of `data`, best the one that the network was trained on.
        data: whose mean and standard deviation normalise.
        batch_size: images at a time; a last, smaller batch is left out unless it is the only one.

    Returns:
        Number of batch norms whose statistics were set.

    Raises:
        DataError: there are fewer than two images.
    """
    if len(images) < 2:
        raise DataError(f"reestimate: must have at least 2 images, got {len(images)}")
    device = images.labels.device
    with eval_mode(network), isolated_rng(device), torch.no_grad(), _averaging(network) as reached:
        for number, (batch, _) in enumerate(eval_batches(images, data, batch_size=batch_size, channels_last=True)):
            if number == 0 or len(batch) == batch_size:
                network(batch)
    return len(reached)


@contextmanager
def _averaging(network: nn.Module) -> Iterator[set[nn.Module]]:
    """Inside, a batch norm that is reached starts anew and averages all batches evenly; gives those reached."""
    norms = [norm for norm in network.modules() if isinstance(norm, _Norm) and norm.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    reached: set[nn.Module] = set()

    def start(norm: nn.Module, _: object) -> None:
        assert isinstance(norm, _Norm)  # noqa: S101 - hooked below
        if norm not in reached:
            reached.add(norm)
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()

    hooks = [norm.register_forward_pre_hook(start) for norm in norms]
    try:
        yield reached
    finally:
        for hook in hooks:
            hook.remove()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
