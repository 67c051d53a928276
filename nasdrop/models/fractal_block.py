"""The fractal block: convolution units in columns, and the joins that average them (FractalNet, arXiv:1605.07648).

Shapes: (N, C, *S), N samples, C channels, *S one to three spatial sides; a factor of a path is (N, 1, *1), float32.
Invariant: a join is the plain mean of the inputs that live, so nothing is rescaled in evaluation.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import cast

from torch import Tensor, nn

from nasdrop.drop.paths import Path
from nasdrop.models.cell import weighted_sum
from nasdrop.models.fractal_units import Conventions, Unit
from nasdrop.models.layers import max_pool
from nasdrop.space.fractal import ending_columns, length


class Join(nn.Module):
    """The mean of the inputs that live."""

    def forward(self, values: Sequence[Tensor], factors: Sequence[Tensor] | None = None) -> Tensor:
        """(N, C, *S) each -> (N, C, *S).

        Args:
            values: the inputs; with no factors all of them live.
            factors: for each input (N, 1, *1): n / (number of live inputs) where it lives, 0 where it does not.
        """
        chosen = [None] * len(values) if factors is None else factors
        return weighted_sum(values, chosen) / len(values)


class FractalBlock(nn.Module):
    """One fractal block: columns of units, joined where they end in one row, and a max-pool.

    Args:
        operations: for each column, the shallowest first, the operation of each of its 2^j units.
        channels_in: channels of the input.
        channels: channels of every unit's output.
        dropout: probability of dropping an element in each unit.
        conventions: how units and joins are built.

    `columns[j][i]` is unit i of column j; `join_inputs[i]` the columns that the block's i-th join averages.
    """

    def __init__(
        self,
        operations: Sequence[Sequence[str]],
        channels_in: int,
        channels: int,
        *,
        dropout: float = 0.0,
        conventions: Conventions | None = None,
    ) -> None:
        super().__init__()
        conventions = conventions or Conventions()
        self.num_columns = len(operations)
        self.columns = nn.ModuleList(
            nn.ModuleList(
                Unit(name, channels if slot else channels_in, channels, dropout, conventions)
                for slot, name in enumerate(names)
            )
            for names in operations
        )
        self.rows = ending_columns(self.num_columns)
        self.join_inputs = tuple(columns for columns in self.rows if len(columns) > 1)
        self.joins = nn.ModuleList(Join() for _ in self.join_inputs)
        self.pool = max_pool(2, 2, ndim=conventions.ndim)
        self.pools_first = conventions.join == "pool_then_join"

    def forward(
        self,
        x: Tensor,
        live: Sequence[Sequence[int]] | None = None,
        factors: Sequence[Sequence[Tensor]] | None = None,
    ) -> Tensor:
        """All columns, joined: (N, C_in, *S) -> (N, C, *S // 2).

        Args:
            x: the input.
            live: for each join the columns that live, for the whole batch; a unit whose output nothing uses is not
                computed. None: all of them.
            factors: for each join a factor (N, 1, *1) an input, where samples differ.
        """
        used = self._used(self.join_inputs if live is None else live)
        states = [x] * self.num_columns
        joins = 0
        for row, columns in enumerate(self.rows):
            last = row == len(self.rows) - 1
            join, joins = joins, joins + (len(columns) > 1)
            if not used[row]:
                continue
            values = [self.unit(row, column)(states[column]) for column in used[row]]
            if last and self.pools_first:
                values = [self.pool(value) for value in values]
            value = values[0]
            if len(columns) > 1:
                value = self.joins[join](values, None if factors is None else factors[join])
            if last and not self.pools_first:
                value = self.pool(value)
            for column in columns:
                states[column] = value
        return states[0]

    def forward_column(self, x: Tensor, column: int) -> Tensor:
        """One column alone: (N, C_in, *S) -> (N, C, *S // 2)."""
        for unit in cast(nn.ModuleList, self.columns[column]):
            x = unit(x, alone=True)
        return cast(Tensor, self.pool(x))

    def plain_column(self, column: int) -> list[nn.Module]:
        """Copies of the layers of one column."""
        units = cast(nn.ModuleList, self.columns[column])
        return [*(layer for unit in units for layer in cast(Unit, unit).plain()), deepcopy(self.pool)]

    def slot(self, row: int, column: int) -> int:
        """Which unit of a column ends in a row."""
        return (row + 1) // length(column, self.num_columns) - 1

    def unit(self, row: int, column: int) -> nn.Module:
        """The unit of a column that ends in a row."""
        return cast(nn.ModuleList, self.columns[column])[self.slot(row, column)]

    def _used(self, live: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
        """The columns of each row whose units are computed: what lives and reaches the output."""
        of_joins = iter(live)
        inputs = [tuple(next(of_joins)) if len(columns) > 1 else columns for columns in self.rows]
        needed = {len(self.rows) - 1}
        for row in reversed(range(len(self.rows))):
            if row in needed:
                needed |= {row - length(column, self.num_columns) for column in inputs[row]}
        return [columns if row in needed else () for row, columns in enumerate(inputs)]


def join_paths(columns: int, blocks: int) -> Iterator[Path]:
    """Every input of every join of a network, block by block, row by row, the shallowest column first."""
    joins = [(row, ends) for row, ends in enumerate(ending_columns(columns), start=1) if len(ends) > 1]
    for block in range(blocks):
        for number, (row, ends) in enumerate(joins):
            for column in ends:
                yield Path(
                    name=f"blocks.{block}.columns.{column}.{row // length(column, columns) - 1}",
                    node=block * len(joins) + number,
                    cell=block,
                    depth=(block + 1) / blocks,
                    column=column,
                    place=f"join_{row:02d}/column_{column}",
                )
