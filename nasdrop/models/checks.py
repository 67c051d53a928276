"""What the networks of this room are asked before they compute: sizes, options, images, draws."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypedDict

from torch import Tensor

from nasdrop.drop.functional import alpha_dropout, dropout
from nasdrop.errors import ConfigError, DataError, DropError

DROPOUTS: Mapping[str, Callable[[Tensor, float, bool], Tensor]] = {"dropout": dropout, "alpha_dropout": alpha_dropout}
"""What drops elements in front of the classifier, by name."""


class DropOptions(TypedDict, total=False):
    """What `PathDrop` may be told; see there."""

    policy: str
    mode: Literal["row", "batch"]
    exempt_identity: bool
    survivors: Literal["none", "revive", "redraw"]
    at_least: int
    groups: Sequence[Sequence[str]]


def check_sizes(**sizes: int) -> None:
    """Refuse sizes that are not whole numbers of at least 1, all at once."""
    rule = "must be a whole number of at least 1"
    wrong = {name: size for name, size in sizes.items() if not isinstance(size, int) or size < 1}
    if wrong:
        raise ConfigError(*(f"{name}: {rule}, got {size!r}" for name, size in wrong.items()))


def check_options(ndim: int, dropout: float, dropout_kind: str = "dropout") -> None:
    """Refuse a number of spatial sides that no operation has, and what is no probability."""
    if ndim not in (1, 2, 3):
        raise ConfigError(f"ndim: must be 1, 2 or 3, got {ndim!r}")
    if not 0 <= dropout <= 1:
        raise DropError(f"dropout: must be a probability from 0 to 1, got {dropout!r}")
    if dropout_kind not in DROPOUTS:
        raise DropError(f"dropout_kind: must be {' or '.join(DROPOUTS)}, got {dropout_kind!r}")


def check_images(x: Tensor, in_channels: int, ndim: int, smallest_side: int) -> None:
    """Refuse images of another rank or number of channels, or too small for the reductions."""
    if x.dim() != ndim + 2:
        rule = f"must have {ndim + 2} axes: samples, channels and {ndim} spatial"
        raise DataError(f"network input: {rule}, got shape {tuple(x.shape)}")
    if x.shape[1] != in_channels:
        raise DataError(f"network input: must have in_channels = {in_channels} channels, got {x.shape[1]}")
    if min(x.shape[2:]) < smallest_side:
        rule = f"each side must be at least {smallest_side}, as it is halved at each reduction"
        raise DataError(f"network input: {rule}, got shape {tuple(x.shape)}")


def check_factors(factors: Tensor, paths: int, rows: int) -> None:
    """Refuse a draw for other paths or another number of samples."""
    if tuple(factors.shape) != (paths, rows):
        expected, shape = (paths, rows), tuple(factors.shape)
        raise DropError(f"paths: factors must have the shape (paths, samples) = {expected}, got {shape}")
