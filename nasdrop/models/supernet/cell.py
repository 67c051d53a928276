"""MixedCell: a cell whose edges compute several operations and mix them; one module an edge and candidate.

Shapes: (N, C, *S) a state, N samples, C channels, *S spatial sides; E edges, O columns; R is N, or 1 where all samples
have the same weight.
Invariant: a node is the sum over its edges and their operations of each output times its coefficient, computed in
float32 or better and rounded once. What is not active and what is `none` is not computed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasdrop.drop.modules import Dropout
from nasdrop.models.cell import weighted_sum
from nasdrop.models.layers import batch_norm, concatenate, every
from nasdrop.models.ops import Builder, build_operation
from nasdrop.models.supernet.candidates import Candidates
from nasdrop.models.supernet.grouped.compute import GroupedPass
from nasdrop.models.supernet.grouped.plan import norms_of as norms_of_groups
from nasdrop.models.supernet.grouped.plan import plan_groups
from nasdrop.models.supernet.packed.compute import Pass
from nasdrop.models.supernet.packed.plan import norms_of, plan_cell
from nasdrop.space.cell_space import CellSpace
from nasdrop.space.operations import Family, family

Layout = Literal["auto", "packed", "grouped", "reference"]
"""How a cell is computed while training: edge by edge, sharing and fusing what it can (packed); the edges that leave a
node as one (grouped); one module an edge and candidate (reference). auto: grouped on a GPU, packed elsewhere."""

Active = Sequence[Sequence[int]]
"""The columns that each edge computes, as host integers."""


class MixedCell(nn.Module):
    """A cell of a supernet.

    Args:
        space: the candidate edges, and which nodes are concatenated (all of them where a genotype's are its loose
            ends, for in a supernet every node is read).
        channels: channels of every state inside the cell.
        preprocess: one module an input, from the previous cells' outputs to `channels` channels.
        ndim: number of spatial sides.
        norm_after_pools: follow each pool by a batch norm without scale and shift, as DARTS does in search.
        partial_channels: k sends one channel of k through the operations and the others around them (PC-DARTS).
        skip_dropout: let identities drop elements (P-DARTS): each is a `Dropout` module, whose p starts at 0.
        layout: see `Layout`. The weights have the same names in all of them.
        custom: a user's own operations.

    `edges[e][i]` is the i-th operation in the list of edge e.
    """

    _order: Tensor

    def __init__(
        self,
        space: CellSpace,
        channels: int,
        preprocess: Sequence[nn.Module],
        *,
        ndim: int,
        norm_after_pools: bool,
        partial_channels: int = 1,
        skip_dropout: bool = False,
        layout: Layout = "auto",
        custom: Mapping[str, Builder] | None = None,
    ) -> None:
        super().__init__()
        self.kind = space.name
        self.channels = channels
        self.stride = 2 if space.strided else 1
        self.candidates = Candidates.of(space)
        self.plan = space.graph.plan
        self.num_inputs = space.graph.num_inputs
        self.concat = tuple(space.graph.nodes) if space.output != "last" else (space.graph.nodes[-1],)
        self.partial_channels = partial_channels
        self.preprocess = nn.ModuleList(preprocess)
        mixed = channels // partial_channels

        def build(name: str, stride: int) -> nn.Module:
            operation = build_operation(name, mixed, stride, ndim=ndim, affine=False, custom=custom)
            if skip_dropout and isinstance(operation, nn.Identity):
                return Dropout(0.0)
            if norm_after_pools and family(name) is Family.POOLING:
                return nn.Sequential(operation, batch_norm(mixed, ndim=ndim, affine=False))
            return operation

        self.edges = nn.ModuleList(
            nn.ModuleList(build(name, space.stride(edge.source)) for name in edge.operations)
            for edge in self.candidates.edges
        )
        self.layout = layout
        self._terms = plan_cell(self.candidates, self.operation)
        self._norms = tuple(norms_of(self._terms))
        self._leaving = plan_groups(self._terms, self.candidates, self.operation)
        self._grouped_norms = tuple(norms_of_groups(self._leaving))
        order = torch.tensor([edge for node in self._leaving for edge in node.edges])
        self.register_buffer("_order", order, persistent=False)

    def operation(self, edge: int, position: int) -> nn.Module:
        """The operation at a position in the list of an edge."""
        return cast(nn.ModuleList, self.edges[edge])[position]

    def forward(
        self,
        inputs: Sequence[Tensor],
        coefficients: Tensor,
        around: Tensor | None = None,
        active: Active | None = None,
    ) -> Tensor:
        """Compute the cell.

        Args:
            inputs: outputs of the previous cells, the latest last, one a module of `preprocess`.
            coefficients: what each operation's output is multiplied by, (E, O, R).
            around: with partial channels, what the channels that go around the operations are multiplied by, (E, R).
            active: the columns to compute on each edge; None: all.

        Returns:
            (N, C * len(concat), *ceil(S / stride)).
        """
        states: list[Tensor] = [module(x) for module, x in zip(self.preprocess, inputs, strict=True)]
        for node, mixed in self._nodes(states, coefficients, active):
            if self.partial_channels > 1:
                mixed = self._join_around(mixed, states, self.plan[node - self.num_inputs][1], around)
            states.append(mixed)
        return concatenate([states[node] for node in self.concat], training=self.training)

    def form(self, x: Tensor) -> Literal["packed", "grouped", "reference"]:
        """How the cell computes states like this one now: its layout, or the reference where that is not exact."""
        layout = self.layout
        if layout == "auto":
            layout = "grouped" if x.is_cuda else "packed"
        if layout == "reference" or not self.training:
            return "reference"
        if layout == "grouped":
            return "grouped" if all(norm.training for norm in self._grouped_norms) else "reference"
        exact = x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(x.device.type)
        exact = exact and not torch.compiler.is_compiling()
        return "packed" if exact and all(norm.training for norm in self._norms) else "reference"

    def _nodes(
        self, states: Sequence[Tensor], coefficients: Tensor, active: Active | None
    ) -> Iterator[tuple[int, Tensor]]:
        """What is mixed at each node, one after the other; `states` grows meanwhile."""
        form = self.form(states[0])
        if form == "reference":
            return self._by_module(states, coefficients, active)
        wanted = None if active is None else [set(columns) for columns in active]
        if form == "grouped":
            by_source = coefficients.index_select(0, self._order)
            return self._by_source(GroupedPass(self._leaving, by_source, wanted), states)
        return self._by_source(Pass(self._terms, coefficients.to(states[0].dtype), wanted), states)

    def _by_source(self, run: Pass | GroupedPass, states: Sequence[Tensor]) -> Iterator[tuple[int, Tensor]]:
        """What is mixed at each node; the states of the nodes before it are read as they appear."""
        for node in range(len(self._terms)):
            if node >= self.num_inputs:
                mixed = run.enter(node)
                yield node, self._nothing(states) if mixed is None else mixed.to(states[0].dtype)
            run.leave(node, self._through(states[node]))
        run.statistics.update()

    def _by_module(
        self, states: Sequence[Tensor], coefficients: Tensor, active: Active | None
    ) -> Iterator[tuple[int, Tensor]]:
        """The same, one module an edge and candidate."""
        scalars = coefficients.reshape(*coefficients.shape, *(1 for _ in states[0].shape[1:]))
        for node, entering in self.plan:
            yield node, self._mix(states, entering, scalars, active)

    def _mix(self, states: Sequence[Tensor], entering: Sequence[int], scalars: Tensor, active: Active | None) -> Tensor:
        """Sum the operations that enter a node."""
        values, factors = [], []
        for edge in entering:
            source = self.candidates.edges[edge].source
            state = self._through(states[source])
            for position, column in self.candidates.computed(edge, active):
                values.append(self.operation(edge, position)(state))
                factors.append(scalars[edge, column])
        return weighted_sum(values, factors) if values else self._nothing(states)

    def _nothing(self, states: Sequence[Tensor]) -> Tensor:
        return torch.zeros_like(every(self._through(states[0]), self.stride))

    def _through(self, state: Tensor) -> Tensor:
        """The channels that go through the operations."""
        return state if self.partial_channels == 1 else state[:, : state.shape[1] // self.partial_channels]

    def _join_around(
        self, mixed: Tensor, states: Sequence[Tensor], entering: Sequence[int], around: Tensor | None
    ) -> Tensor:
        """Add the channels that went around the operations, and shuffle all (PC-DARTS, arXiv:1907.05737)."""
        values, factors = [], []
        for edge in entering:
            source = self.candidates.edges[edge].source
            rest = states[source][:, mixed.shape[1] :]
            values.append(_halve(rest) if self.stride == 2 and source < self.num_inputs else rest)
            shape = (-1, *(1 for _ in rest.shape[1:]))
            factors.append(None if around is None else around[edge].reshape(shape))
        joined = torch.cat((mixed, weighted_sum(values, factors)), 1)
        return F.channel_shuffle(joined, self.partial_channels)


def _halve(x: Tensor) -> Tensor:
    """Maximum over windows of 2 a side: (N, C, *S) -> (N, C, *ceil(S / 2))."""
    pools = {3: F.max_pool1d, 4: F.max_pool2d, 5: F.max_pool3d}
    return pools[x.dim()](x, 2, 2, ceil_mode=True)
