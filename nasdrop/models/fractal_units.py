"""The convolution unit of a fractal block, its operations, and the conventions it is built by (arXiv:1605.07648).

Shapes: (N, C, *S), N samples, C channels, *S one to three spatial sides.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasdrop.drop.functional import dropout as drop_elements
from nasdrop.drop.masks import check_rate
from nasdrop.drop.modules import Dropout
from nasdrop.errors import ConfigError, suggest
from nasdrop.models.layers import batch_norm, convolution
from nasdrop.space.fractal import MAX_COLUMNS
from nasdrop.space.fractal_options import JOINS

ORDERS = ("conv-dropout-norm-relu", "conv-norm-relu-dropout", "norm-relu-conv-dropout")
"""What a unit does, in order; the first is the published one."""

STATISTICS = ("own", "shared")
"""Whether a column that runs alone has batch-norm statistics of its own, as in the published code."""


@dataclass(frozen=True)
class Conventions:
    """How the units and joins of a network are built; the defaults are the published ones.

    Args:
        order: one of ORDERS.
        join: one of JOINS.
        statistics: one of STATISTICS.
        bias: whether convolutions have a bias.
        affine: whether batch norms learn a scale and a shift.
        ndim: number of spatial sides, 1 to 3.

    Raises:
        ConfigError: all mistakes, one line each.
    """

    order: str = ORDERS[0]
    join: str = JOINS[0]
    statistics: str = STATISTICS[0]
    bias: bool = True
    affine: bool = False
    ndim: int = 2

    def __post_init__(self) -> None:
        known = {"order": ORDERS, "join": JOINS, "statistics": STATISTICS}
        given = {name: getattr(self, name) for name in known}
        lines = [
            f"{name}: must be a known name, got {given[name]!r}; {suggest(str(given[name]), names)}"
            for name, names in known.items()
            if given[name] not in names
        ]
        if self.ndim not in (1, 2, 3):
            lines.append(f"ndim: must be 1, 2 or 3, got {self.ndim!r}")
        if lines:
            raise ConfigError(*lines)


class Unit(nn.Module):
    """One convolution slot: convolution, dropout of elements, batch norm and ReLU, in the order of the conventions.

    Args:
        operation: a name of SLOT_OPERATIONS.
        channels_in: channels of the input.
        channels: channels of the output.
        dropout: probability of dropping an element; constant, no schedule touches it.
        conventions: order, bias, affine and whether a column alone has statistics of its own.
    """

    def __init__(
        self, operation: str, channels_in: int, channels: int, dropout: float, conventions: Conventions
    ) -> None:
        super().__init__()
        ndim = conventions.ndim
        self.steps = conventions.order.split("-")
        self.dropout = dropout
        build = SLOT_OPERATIONS[operation]
        self.convolution = build(channels_in, channels, ndim=ndim, bias=conventions.bias)
        normed = channels if self.steps.index("conv") < self.steps.index("norm") else channels_in
        self.norm = batch_norm(normed, ndim=ndim, affine=conventions.affine)
        # Only statistics: scale and shift are weights, which a column alone shares with the whole.
        self.norm_alone = batch_norm(normed, ndim=ndim, affine=False) if conventions.statistics == "own" else None

    def forward(self, x: Tensor, *, alone: bool = False) -> Tensor:
        """(N, C_in, *S) -> (N, C, *S).

        Args:
            x: the input.
            alone: whether the column runs without the others, with its own statistics where it has them.
        """
        for step in self.steps:
            if step == "conv":
                x = self.convolution(x)
            elif step == "dropout":
                x = drop_elements(x, self.dropout, self.training)
            elif step == "norm":
                x = self._normalise(x, alone=alone)
            else:
                x = F.relu(x)
        return x

    def plain(self) -> list[nn.Module]:
        """Copies of the unit's layers as they are when the column runs alone."""
        norm = deepcopy(self.norm)
        if self.norm_alone is not None:
            norm.load_state_dict(self.norm_alone.state_dict(), strict=False)
        copies = {
            "conv": deepcopy(self.convolution),
            "dropout": Dropout(self.dropout) if self.dropout else None,
            "norm": norm,
            "relu": nn.ReLU(),
        }
        return [layer for step in self.steps if (layer := copies[step]) is not None]

    def _normalise(self, x: Tensor, *, alone: bool) -> Tensor:
        if not alone or self.norm_alone is None:
            return cast(Tensor, self.norm(x))
        y = cast(Tensor, self.norm_alone(x))
        if self.norm.weight is None:
            return y
        shape = (-1, *(1 for _ in x.shape[2:]))
        weight, bias = cast(Tensor, self.norm.weight), cast(Tensor, self.norm.bias)
        return torch.addcmul(bias.view(shape), y, weight.view(shape))


class SlotBuilder(Protocol):
    """What builds the convolution of a slot."""

    def __call__(self, channels_in: int, channels: int, *, ndim: int, bias: bool) -> nn.Module:
        """Build the linear part of a unit."""
        ...


def _dense(kernel: int, channels_in: int, channels: int, *, ndim: int, bias: bool) -> nn.Module:
    return convolution(channels_in, channels, kernel, ndim=ndim, bias=bias)


def _dilated(kernel: int, channels_in: int, channels: int, *, ndim: int, bias: bool) -> nn.Module:
    """Depthwise with dilation 2, then pointwise: the linear part of DARTS's operation of this name."""
    depthwise = convolution(channels_in, channels_in, kernel, ndim=ndim, dilation=2, groups=channels_in)
    return nn.Sequential(depthwise, convolution(channels_in, channels, 1, ndim=ndim, bias=bias))


def _by_axis(kernel: int, channels_in: int, channels: int, *, ndim: int, bias: bool) -> nn.Module:
    """One convolution along each side, the last side first; the first of them changes the width."""
    layers = []
    for axis in reversed(range(ndim)):
        along = tuple(kernel if side == axis else 1 for side in range(ndim))
        layers.append(convolution(channels_in, channels, along, ndim=ndim, bias=bias and axis == 0))
        channels_in = channels
    return nn.Sequential(*layers)


SLOT_OPERATIONS: Mapping[str, SlotBuilder] = {
    "conv_1x1": partial(_dense, 1),
    "conv_3x3": partial(_dense, 3),
    "conv_3x1_1x3": partial(_by_axis, 3),
    "dil_conv_3x3": partial(_dilated, 3),
    "dil_conv_5x5": partial(_dilated, 5),
}
"""What a slot may hold; dropout, batch norm and ReLU are the unit's."""


def check_sizes(columns: int, blocks: int, widths: Sequence[int], num_classes: int, in_channels: int) -> None:
    """Check the sizes of a fractal network.

    Raises:
        ConfigError: all mistakes, one line each.
    """
    sizes = {"columns": columns, "blocks": blocks, "num_classes": num_classes, "in_channels": in_channels}
    sizes |= {f"widths[{block}]": width for block, width in enumerate(widths)}
    rule = "must be a whole number of at least 1"
    lines = [f"{name}: {rule}, got {size!r}" for name, size in sizes.items() if not _is_size(size)]
    if _is_size(columns) and columns > MAX_COLUMNS:
        lines.append(f"columns: must be at most {MAX_COLUMNS}, got {columns}")
    if _is_size(blocks) and len(widths) != blocks:
        lines.append(f"widths: must be one for each of {blocks} blocks, got {len(widths)}: {list(widths)!r}")
    if lines:
        raise ConfigError(*lines)


def check_lists(columns: int, blocks: int, dropout: Sequence[float], operations: Sequence[Sequence[str]]) -> None:
    """Check what is given for each block and for each slot.

    Raises:
        ConfigError: a list of another length, or an unknown operation.
        DropError: a dropout is not in [0, 1].
    """
    if len(dropout) != blocks:
        raise ConfigError(f"dropout: must be one for each of {blocks} blocks, got {len(dropout)}: {list(dropout)!r}")
    for block, rate in enumerate(dropout):
        check_rate(f"dropout[{block}]", rate)
    counts = [len(names) for names in operations]
    wanted = [2**column for column in range(columns)]
    if counts != wanted:
        raise ConfigError(f"operations: must have {wanted} names, one list a column, got {counts}")
    unknown = dict.fromkeys(name for names in operations for name in names if name not in SLOT_OPERATIONS)
    if unknown:
        rule = "a fractal block has no operation"
        raise ConfigError(*(f"operations: {rule} {name!r}; {suggest(name, SLOT_OPERATIONS)}" for name in unknown))


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
