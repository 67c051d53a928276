"""The labelled images of one split: in memory, or as picture files that are decoded when they are asked for.

Both kinds answer to the same few names, and in every order give the same bytes: what trains on images never knows which
it has. Shapes: N images, C channels, spatial axes (L), (H, W) or (D, H, W).
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nasdrop.errors import DataError
from nasdrop.train.device import num_cores
from nasdrop.train.listings import Listing, refuse
from nasdrop.train.pictures import read_picture
from nasdrop.train.readers import Bytes

Selection = Tensor | slice
"""Which images: their indices in any order, or a stretch of them."""

_WATCH = 1.0  # seconds between two looks of a worker at its parent
_CHUNK = 64  # pictures that a worker decodes at a time when all are read


@dataclass(frozen=True)
class Images:
    """Labelled images in memory.

    Attributes:
        pixels: (N, C, *spatial), uint8; float32 where a user's archive holds other numbers than bytes.
        labels: (N,), int64.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, *spatial) of one image."""
        return tuple(self.pixels.shape[1:])

    def to(self, device: torch.device | str) -> "Images":
        """The same images on a device."""
        return Images(self.pixels.to(device), self.labels.to(device))

    def __getitem__(self, index: Selection) -> "Images":
        return Images(self.pixels[index], self.labels[index])

    def batches(self, order: Sequence[Selection]) -> Iterator[tuple[Tensor, Tensor]]:
        """Pixels as they are stored, and labels, of each selection in turn; both on the device of the labels."""
        for chosen in order:
            yield self.pixels[chosen], self.labels[chosen]


@dataclass(frozen=True)
class StoredImages:
    """Labelled images that stay on disk, decoded by other processes ahead of their use.

    Attributes:
        listing: the files of the whole data set.
        rows: (N,), which of them these are.
        labels: (N,), int64; on the device that batches go to.
        shape: (C, H, W) that every picture is brought to.
        workers: processes that decode; 0: this one.
    """

    listing: Listing
    rows: Tensor
    labels: Tensor
    shape: tuple[int, ...]
    workers: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> "StoredImages":
        """The same images, whose batches go to a device."""
        return replace(self, labels=self.labels.to(device))

    def __getitem__(self, index: Selection) -> "StoredImages":
        rows = self.rows[index.to(self.rows.device) if isinstance(index, Tensor) else index]
        return replace(self, rows=rows, labels=self.labels[index])

    def batches(self, order: Sequence[Selection]) -> Iterator[tuple[Tensor, Tensor]]:
        """As `Images.batches`: the same order and the same bytes, whatever the number of workers.

        Raises:
            DataError: a file is missing or damaged; all of the batch are named, up to a number.
        """
        device, pinned = self.labels.device, self.labels.is_cuda
        for chosen, (pixels, faults) in zip(order, self._decoded(order), strict=True):
            refuse(faults)
            batch = torch.from_numpy(pixels)
            yield (batch.pin_memory() if pinned else batch).to(device, non_blocking=True), self.labels[chosen]

    def _decoded(self, order: Sequence[Selection]) -> Iterator[tuple[Bytes, list[str]]]:
        """Pixels and faults of each selection."""
        wanted = [self.rows[chosen.cpu() if isinstance(chosen, Tensor) else chosen].tolist() for chosen in order]
        loader = DataLoader(
            _Decoder(self.listing, self.shape),
            sampler=wanted,
            batch_size=None,
            num_workers=min(self.workers, num_cores(), len(wanted)),
            collate_fn=_as_it_is,  # arrays go through pipes: shared memory is small in most containers
            generator=torch.Generator(),  # or it draws from the default one
            worker_init_fn=_end_with_parent,
        )
        return iter(loader)


AnyImages = Images | StoredImages


class _Decoder(Dataset[tuple[Bytes, list[str]]]):
    """Decodes the pictures of one batch; what is wrong with files is told by lines, which cross processes whole."""

    def __init__(self, listing: Listing, shape: tuple[int, ...]) -> None:
        self.listing, self.shape = listing, shape

    def __getitem__(self, rows: Sequence[int]) -> tuple[Bytes, list[str]]:
        pixels = np.zeros((len(rows), *self.shape), dtype=np.uint8)
        faults: list[str] = []
        for place, row in enumerate(rows):
            try:
                pixels[place] = read_picture(self.listing.path(row), self.shape)
            except DataError as error:
                faults += error.lines
        return pixels, faults


def _end_with_parent(_number: int) -> None:
    """Let a worker end soon after a parent that was killed: torch's own watch waits until somebody reads its batch."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _as_it_is(batch: Any) -> Any:
    return batch


def joined(first: AnyImages, second: AnyImages) -> AnyImages:
    """The images of two splits of one data set, those of the first one first."""
    labels = torch.cat([first.labels, second.labels])
    if isinstance(first, StoredImages) and isinstance(second, StoredImages):
        return replace(first, rows=torch.cat([first.rows, second.rows]), labels=labels)
    if isinstance(first, Images) and isinstance(second, Images):
        return Images(torch.cat([first.pixels, second.pixels]), labels)
    raise TypeError("joined: both splits must be in memory or both on disk")


def in_memory(splits: Mapping[str, StoredImages]) -> dict[str, Images]:
    """Decode all pictures of some splits.

    Raises:
        DataError: files are missing or damaged; all are counted, and the first ones named.
    """
    faults: list[str] = []
    read: dict[str, Images] = {}
    for name, split in splits.items():
        pixels = torch.empty((len(split), *split.shape), dtype=torch.uint8)
        order = [slice(start, start + _CHUNK) for start in range(0, len(split), _CHUNK)]
        for chosen, (decoded, wrong) in zip(order, split._decoded(order), strict=True):
            pixels[chosen] = torch.from_numpy(decoded)
            faults += wrong
        read[name] = Images(pixels, split.labels)
    refuse(faults)
    return read
