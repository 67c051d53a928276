"""FractalNet (arXiv:1605.07648): fractal blocks under local and global path drop; every column is a network of its own.

Shapes: (N, C, *S) images, N samples, C channels, *S one to three spatial sides; logits (N, classes).
Invariant: what a sample does not use is not computed for it, so no zeros enter a batch norm's statistics.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import islice
from typing import Literal, TypedDict, TypeVar, cast

import torch
from torch import Tensor, nn

from nasdrop.drop.masks import check_rate
from nasdrop.drop.paths import Draw, Path, PathDrop
from nasdrop.drop.policies import POLICIES
from nasdrop.errors import ConfigError, DataError, DropError
from nasdrop.models.fractal_block import FractalBlock, join_paths
from nasdrop.models.fractal_units import Conventions, check_lists, check_sizes

ENDS = ("shallowest", "deepest")
"""Columns that have a name beside their number."""

FRACTAL_POLICIES = tuple(name for name, policy in POLICIES.items() if policy.choice == "columns")

Value = TypeVar("Value")
_MEAN: Mapping[int, Callable[[int], nn.Module]] = {
    1: nn.AdaptiveAvgPool1d,
    2: nn.AdaptiveAvgPool2d,
    3: nn.AdaptiveAvgPool3d,
}


class FractalDrop(TypedDict, total=False):
    """What `PathDrop` may be told of a fractal network; see there."""

    policy: str
    mode: Literal["row", "batch"]
    survivors: Literal["none", "revive", "redraw"]
    at_least: int
    global_share: float | None


class FractalNet(nn.Module):
    """Fractal blocks and a linear classifier; with the defaults, the published network of 20 layers.

    Args:
        columns: columns of each block; the deepest has 2^(columns - 1) convolutions.
        blocks: number of blocks, each of which ends in a max-pool that halves the sides.
        widths: channels of each block.
        num_classes: logits.
        in_channels: channels of the images.
        ndim: spatial sides of the images, 1 to 3.
        dropout: for each block, the probability of dropping an element in every unit; None: 0, 0.1, ... 0.4, 0.4, ...
        operations: the operation of all units, or for each column, the shallowest first, those of its 2^j units.
        order: what a unit does, in order: one of `fractal_units.ORDERS`.
        join: "pool_then_join" pools each column at the end of a block and then averages, as the published code does.
        bias: whether convolutions have a bias.
        affine: whether batch norms learn a scale and a shift.
        statistics: "own" gives a column that runs alone batch-norm statistics of its own, "shared" does not. They
            are kept where both kinds of passes are trained: with 0 < global share < 1, or with column networks.
        column_networks: train each column alone beside the local network at every step, as the published code can:
            training then returns the logits of the local network and those of the columns. Needs the policy "local".
        p: rate of dropping an input of a join, until a DropScheduler sets another.
        drop: options of `PathDrop`; by default policy "fractal" (local or global, half and half), once a batch.

    `paths` has one path an input of a join, named as the unit that it comes from; `own_statistics` tells whether
    columns have statistics of their own.

    Raises:
        ConfigError: a size or a name is out of range; all mistakes, one line each.
        DropError: a rate is not in [0, 1], or a policy is none of local, global and fractal.
    """

    def __init__(
        self,
        columns: int = 3,
        blocks: int = 5,
        widths: Sequence[int] = (64, 128, 256, 512, 512),
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        ndim: int = 2,
        dropout: Sequence[float] | None = None,
        operations: str | Sequence[Sequence[str]] = "conv_3x3",
        order: str = "conv-dropout-norm-relu",
        join: str = "pool_then_join",
        bias: bool = True,
        affine: bool = False,
        statistics: str = "own",
        column_networks: bool = False,
        p: float = 0.15,
        drop: FractalDrop | None = None,
    ) -> None:
        super().__init__()
        check_sizes(columns, blocks, widths, num_classes, in_channels)
        dropout = [min(0.1 * block, 0.4) for block in range(blocks)] if dropout is None else dropout
        if isinstance(operations, str):
            operations = [[operations] * 2**column for column in range(columns)]
        check_lists(columns, blocks, dropout, operations)
        conventions = Conventions(order, join, statistics, bias, affine, ndim)
        self.path_drop = _make_path_drop(columns, blocks, p, drop or {}, column_networks=column_networks)
        both = column_networks or 0 < float(self.path_drop.global_share) < 1
        if columns == 1 or not both:  # one kind of pass alone is trained: it has the only statistics
            conventions = replace(conventions, statistics="shared")
        self.own_statistics = conventions.statistics == "own"
        self.num_columns, self.in_channels, self.ndim = columns, in_channels, ndim
        self.column_networks = column_networks
        self.smallest_side = 2**blocks
        self.blocks = nn.ModuleList(
            FractalBlock(operations, before, channels, dropout=rate, conventions=conventions)
            for before, channels, rate in zip((in_channels, *widths[:-1]), widths, dropout, strict=True)
        )
        self.classifier = nn.Linear(widths[-1], num_classes)
        self.reset_parameters()

    @property
    def paths(self) -> tuple[Path, ...]:
        """All paths, block by block and join by join: the rows of a draw's factors."""
        return self.path_drop.paths

    def reset_parameters(self) -> None:
        """Caffe's Xavier rule, the published one: weights uniform with the variance 1 / fan-in, biases 0."""
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="linear")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(
        self, x: Tensor, paths: Draw | None = None, *, column: int | str | None = None
    ) -> Tensor | tuple[Tensor, tuple[Tensor, ...]]:
        """Classify images.

        Args:
            x: images (N, C, *S).
            paths: what `path_drop.draw` drew for this step; None: training draws for itself from torch's default
                generator. `Draw(None)` drops nothing. Ignored in evaluation and where a column is named.
            column: run this column alone: its number from 0, the shallowest, or one of ENDS.

        Returns:
            Logits; in training with column networks, the local network's logits and those of each column.

        Raises:
            ConfigError: there is no such column.
            DataError: images of another rank, number of channels, or too small for the pools.
            DropError: a draw for other paths or another number of samples.
        """
        self._check_input(x)
        if column is not None:
            return self._run(x, self.column_index(column))
        if not self.training:
            return self._run(x, -1)
        draw = self.path_drop.sample(self.path_drop.rates, x.shape[0]) if paths is None else paths
        self._check_draw(draw, x.shape[0])
        if self.column_networks:
            return self._run(x, -1, draw.factors), tuple(self._run(x, c) for c in range(self.num_columns))
        return self._run_chosen(x, draw)

    def column_index(self, column: int | str) -> int:
        """The number of a column.

        Raises:
            ConfigError: there is no such column.
        """
        if column in ENDS:
            return (0, self.num_columns - 1)[ENDS.index(str(column))]
        if isinstance(column, int) and 0 <= column < self.num_columns:
            return column
        known = [*map(str, range(self.num_columns)), *ENDS]
        raise ConfigError(f"column: must be one of {', '.join(known)}, got {column!r}")

    def only(self, column: int | str) -> "OneColumn":
        """A view of the network that runs one column alone, to score it, train it or estimate its statistics."""
        return OneColumn(self, self.column_index(column))

    def column(self, column: int | str) -> nn.Sequential:
        """One column as a plain network with copies of its weights and of its batch-norm statistics.

        Raises:
            ConfigError: there is no such column.
        """
        index = self.column_index(column)
        layers = [layer for block in self._blocks for layer in block.plain_column(index)]
        head = (_MEAN[self.ndim](1), nn.Flatten(), deepcopy(self.classifier))
        return nn.Sequential(*layers, *head).train(self.training)

    def parts(self) -> Mapping[str, nn.Module]:
        """What can be scored by itself beside the whole: each column, by its name in records."""
        return {f"column_{column}": self.only(column) for column in range(self.num_columns)}

    @property
    def _blocks(self) -> list[FractalBlock]:
        return [cast(FractalBlock, block) for block in self.blocks]

    def _run_chosen(self, x: Tensor, draw: Draw) -> Tensor:
        """Each sample through what was drawn for it: one column, or all of them under the local rule."""
        if draw.choices is None:
            return self._run(x, -1, draw.factors)
        kinds = sorted(set(draw.choices.tolist()))
        if len(kinds) == 1:
            return self._run(x, kinds[0], draw.factors)
        parts, order = [], []
        for kind in kinds:
            rows = (draw.choices == kind).nonzero().flatten().to(x.device, non_blocking=True)
            factors = draw.factors[:, rows] if kind < 0 and draw.factors is not None else None
            parts.append(self._run(x[rows], kind, factors))
            order.append(rows)
        return torch.cat(parts)[torch.cat(order).argsort()]

    def _run(self, x: Tensor, column: int, factors: Tensor | None = None) -> Tensor:
        """One column alone, or with -1 all of them, joined under factors (paths, N)."""
        if column >= 0:
            for block in self._blocks:
                x = block.forward_column(x, column)
        elif factors is None:
            for block in self._blocks:
                x = block(x)
        elif self.path_drop.mode == "batch":
            for block, live in zip(self._blocks, self._live(factors), strict=True):
                x = block(x, live)
        else:
            views = factors.view(*factors.shape, *(1 for _ in range(self.ndim + 1))).unbind(0)
            for block, of_joins in zip(self._blocks, self._by_join(views), strict=True):
                x = block(x, None, of_joins)
        return cast(Tensor, self.classifier(x.flatten(2).mean(2)))

    def _live(self, factors: Tensor) -> Iterator[list[list[int]]]:
        """For each block and join the columns that live in the whole batch; reads one small tensor from its device."""
        for block, of_joins in zip(self._blocks, self._by_join(factors[:, 0].tolist()), strict=True):
            pairs = zip(block.join_inputs, of_joins, strict=True)
            yield [[c for c, factor in zip(columns, drawn, strict=True) if factor] for columns, drawn in pairs]

    def _by_join(self, values: Iterable[Value]) -> list[list[list[Value]]]:
        """One value a path, arranged by block and join."""
        of_paths = iter(values)
        return [[list(islice(of_paths, len(columns))) for columns in block.join_inputs] for block in self._blocks]

    def _check_input(self, x: Tensor) -> None:
        if x.dim() != self.ndim + 2:
            rule = f"must have {self.ndim + 2} axes: samples, channels and {self.ndim} spatial"
            raise DataError(f"network input: {rule}, got shape {tuple(x.shape)}")
        if x.shape[1] != self.in_channels:
            raise DataError(f"network input: must have in_channels = {self.in_channels} channels, got {x.shape[1]}")
        if min(x.shape[2:]) < self.smallest_side:
            rule = f"each side must be at least {self.smallest_side}, as each of {len(self.blocks)} blocks halves it"
            raise DataError(f"network input: {rule}, got shape {tuple(x.shape)}")

    def _check_draw(self, draw: Draw, rows: int) -> None:
        expected = (len(self.paths), rows)
        if draw.factors is not None and tuple(draw.factors.shape) != expected:
            shape = tuple(draw.factors.shape)
            raise DropError(f"paths: factors must have the shape (paths, samples) = {expected}, got {shape}")
        if draw.choices is not None and tuple(draw.choices.shape) not in ((1,), (rows,)):
            shape = tuple(draw.choices.shape)
            raise DropError(f"paths: choices must be one for the batch or one for each of {rows} samples, got {shape}")


class OneColumn(nn.Module):
    """One column of a fractal network, with that network's very weights."""

    def __init__(self, network: FractalNet, column: int) -> None:
        super().__init__()
        self.network = network
        self.index = column

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, *S) -> logits (N, classes)."""
        return cast(Tensor, self.network(x, column=self.index))


def _make_path_drop(columns: int, blocks: int, p: float, drop: FractalDrop, *, column_networks: bool) -> PathDrop:
    """The masks of all joins; a network of one column has none, and nothing to choose."""
    options: FractalDrop = {"policy": "local" if column_networks else "fractal", "mode": "batch", **drop}
    policy, wanted = options["policy"], ("local",) if column_networks else FRACTAL_POLICIES
    if policy not in wanted:
        where = "with column networks" if column_networks else "in a fractal network"
        raise DropError(f"drop.policy: must be {' or '.join(wanted)} {where}, got {policy!r}")
    if columns == 1:
        options = {"policy": "edge", "mode": options["mode"]}
    path_drop = PathDrop(join_paths(columns, blocks), **options)
    if column_networks and path_drop.global_share > 0:
        share = float(path_drop.global_share)
        raise DropError(f"drop.global_share: must be 0 with column networks, which run every column, got {share:g}")
    path_drop.set_rates(float(check_rate("FractalNet p", p)))
    return path_drop
