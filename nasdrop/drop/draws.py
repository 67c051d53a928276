"""What PathDrop takes and what it gives: paths, and the masks of one step."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from nasdrop.errors import DropError


@dataclass(frozen=True)
class Path:
    """One input of a node's sum.

    Args:
        name: Unique in the network.
        node: Global index of the sum that it enters.
        cell: Index of its cell, from 0, reductions counted.
        depth: (cell + 1) / cells, in (0, 1].
        operation: Name of the operation.
        identity: Whether it passes its input on unchanged.
        edge: For a candidate operation: global index of the edge that it belongs to.
        column: For an input of a fractal join: the column that it comes from, 0 being the shallowest.
        place: What the same path is called in every cell of its kind, such as `normal/edge_07`; "" if there are no
            cells alike.
    """

    name: str
    node: int
    cell: int
    depth: float
    operation: str = ""
    identity: bool = False
    edge: int | None = None
    column: int | None = None
    place: str = ""

    def __post_init__(self) -> None:
        if not 0.0 < self.depth <= 1.0:
            raise DropError(f"path {self.name}: depth has to be above 0 and at most 1, got {self.depth!r}")


class Draw(NamedTuple):
    """The masks of one step.

    Attributes:
        factors: (paths, rows) fp32 on the rates' device, 0 or 1 / P(live). At a fractal join of n inputs, n divided by
            the number of live ones, so that the plain mean of the products is the mean over the live inputs. None where
            a policy only chooses what runs.
        choices: For operation groups the kept operations, bool (paths,), on the rates' device. For fractal columns the
            column that a row runs alone, int64 (rows,) or (1,) for the batch, on the CPU; -1 for the local rule.
    """

    factors: Tensor | None
    choices: Tensor | None = None
