"""Which shape the pictures of a data set are brought to, found from their headers, and whether they fit into memory."""

import math
import os
import statistics
from dataclasses import dataclass

import numpy as np

from nasdrop.errors import DataError
from nasdrop.settings import DataSettings
from nasdrop.train.listings import Listing, refuse
from nasdrop.train.order import stratified_order
from nasdrop.train.pictures import Header, read_header

_SAMPLE = 1000  # headers that are looked at, in proportion of the classes
_MEMORY_SHARE = 8  # pictures stay on disk where they would fill more than this part of the memory


@dataclass(frozen=True)
class Sizes:
    """What the pictures of a data set are like.

    Attributes:
        headers: of the files that were looked at and could be read.
        faults: a line for each of the others.
    """

    headers: tuple[Header, ...]
    faults: tuple[str, ...]

    @property
    def side(self) -> int:
        """Median of the shorter sides, in pixels."""
        return int(statistics.median_low(min(header.height, header.width) for header in self.headers))

    @property
    def channels(self) -> int:
        """As many as all pictures have; 3 where they differ."""
        kinds = {header.channels for header in self.headers}
        return kinds.pop() if len(kinds) == 1 else 3

    def shape(self, settings: DataSettings) -> tuple[int, int, int]:
        """(C, H, W) that pictures are brought to: as set; else what all of them have, or the median square."""
        found = {(header.height, header.width) for header in self.headers}
        side = settings.size or self.side
        height, width = found.pop() if len(found) == 1 and not settings.size else (side, side)
        return settings.channels or self.channels, height, width

    def describe(self) -> str:
        """The sizes in words."""
        by_area = sorted({(header.width, header.height) for header in self.headers}, key=math.prod)
        small, large = (f"{width} x {height}" for width, height in (by_area[0], by_area[-1]))
        return small if small == large else f"{small} to {large}"


def look(listing: Listing, count: int = _SAMPLE) -> Sizes:
    """Read the headers of a stratified sample of `count` pictures.

    Raises:
        DataError: none of them can be read.
    """
    headers: list[Header] = []
    faults: list[str] = []
    for row in np.sort(stratified_order(listing.labels, 0)[:count]).tolist():
        try:
            headers.append(read_header(listing.path(row)))
        except DataError as error:
            faults += error.lines
    if not headers:
        refuse(faults)
    return Sizes(tuple(headers), tuple(faults))


def streams(settings: DataSettings, count: int, shape: tuple[int, ...]) -> bool:
    """Whether so many images of a shape stay on disk."""
    if settings.streaming != "auto":
        return settings.streaming
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return count * math.prod(shape) > memory / _MEMORY_SHARE
