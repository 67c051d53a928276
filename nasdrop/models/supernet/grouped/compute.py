"""A mixed cell in few calls: the candidates of one column that leave one node are one convolution, one norm, one sum.

The sums are the reference layout's, edge beside edge: E edges of C channels are E * C channels in E groups. Made for a
GPU, where starting a kernel costs more than what a small one computes; everything is torch's own and runs in every
number format.

Shapes: (N, C, *S) a state; E edges leave a node; R is N, or 1 where all samples have the same coefficients.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasdrop.models.layers import every
from nasdrop.models.ops import FactorizedReduce
from nasdrop.models.supernet.grouped.mix import Share, mix
from nasdrop.models.supernet.grouped.plan import Candidate, Leaving
from nasdrop.models.supernet.packed.plan import Convolution, Norm, is_plain_norm
from nasdrop.models.supernet.packed.products import EPS
from nasdrop.models.supernet.packed.statistics import Statistics

Group = tuple[Candidate, ...]

_CONVOLVE: dict[int, Callable[..., Tensor]] = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}


class GroupedPass:
    """One forward pass through the edges of a cell.

    Args:
        leaving: what leaves each node.
        coefficients: what each operation's output is multiplied by, (edges, O, R), the edges in the order in which
            they leave the nodes.
        wanted: the columns that each edge of the cell computes; None: all.
    """

    def __init__(
        self, leaving: Sequence[Leaving], coefficients: Tensor, wanted: Sequence[set[int]] | None = None
    ) -> None:
        self._leaving = leaving
        self._groups = [node.groups(wanted) for node in leaving]
        self._alone = [node.alone(wanted) for node in leaving]
        self._coefficients = torch.split(coefficients, [len(node.edges) for node in leaving])
        self._weights = _join_weights([group for groups in self._groups for group in groups])
        self._sums: defaultdict[int, list[Tensor]] = defaultdict(list)
        self._calls: defaultdict[int, list[tuple[Candidate, Tensor, Tensor]]] = defaultdict(list)
        self.statistics = Statistics()

    def leave(self, node: int, x: Tensor) -> None:
        """Compute what leaves a state (N, C, *S)."""
        leaving, coefficients = self._leaving[node], self._coefficients[node]
        for candidate in self._alone[node]:
            factor = coefficients[candidate.place, candidate.column]
            self._calls[leaving.targets[candidate.place]].append((candidate, x, factor))
        groups = self._groups[node]
        if not groups:
            return
        source = _Source(x)
        shares = [_share(group) for group in groups]
        maps = [self._map(source, group, share) for group, share in zip(groups, shares, strict=True)]
        sums = mix(coefficients, maps, shares, source.axis).unbind(source.axis)
        entered = {place for share in shares for place in share.places}
        for place, (target, value) in enumerate(zip(leaving.targets, sums, strict=True)):
            if place in entered:
                self._sums[target].append(source.channels_second(value))

    def enter(self, node: int) -> Tensor | None:
        """The sum of what enters a node, (N, C, *S), not yet rounded; None: nothing does."""
        values = self._sums.pop(node, [])
        # In the order of the edges, as the reference layout calls them: some draw random numbers.
        for candidate, x, factor in sorted(self._calls.pop(node, []), key=lambda call: call[0].edge):
            values.append(candidate.module(x) * factor.reshape(-1, *(1 for _ in x.shape[1:])))
        return reduce(torch.add, values) if values else None

    def _map(self, source: "_Source", group: Group, share: Share) -> Tensor:
        """What a group makes, with its edges on an axis of their own."""
        module = group[0].module
        if type(module) is nn.Identity:
            return source.with_edges(source.x, 1)
        if share.shared:
            return source.with_edges(self._pool(source.x, group), 1)
        if type(module) is FactorizedReduce:
            return source.with_edges(self._halve(source, group), len(group))
        return source.with_edges(self._layers(source, group), len(group))

    def _pool(self, x: Tensor, group: Group) -> Tensor:
        """One pool of a source, for all edges that ask for it."""
        modules = [candidate.module for candidate in group]
        if type(modules[0]) is not nn.Sequential:
            return cast(Tensor, modules[0](x))
        norms = [cast(Norm, cast(nn.Sequential, module)[1]) for module in modules]
        made, mean, scale = _normalise(modules[0][0](x))
        self._note(norms, mean.expand(len(norms), -1), scale.expand(len(norms), -1), made)
        return made

    def _layers(self, source: "_Source", group: Group) -> Tensor:
        """Layer by layer, all edges at once: from the source's channels to E times as many."""
        x, count = source.relu, len(group)
        for number, layers in enumerate(zip(*(_layers_of(candidate) for candidate in group), strict=True)):
            if number == 0:
                continue
            if type(layers[0]) is nn.ReLU:
                x = F.relu(x)
            elif is_plain_norm(layers[0]):
                x, mean, scale = _normalise(x)
                norms = [cast(Norm, norm) for norm in layers]
                self._note(norms, mean.view(count, -1), scale.view(count, -1), x)
            else:
                layer = cast(Convolution, layers[0])
                weight = self._weights[id(layer)]
                if number > 1:
                    x = _convolve(x, weight, layer, layer.groups * count)
                elif layer.groups == 1:
                    x = _convolve(x, weight, layer, 1)
                else:
                    x = _convolve(source.repeated(count), weight, layer, layer.groups * count)
        return x

    def _halve(self, source: "_Source", group: Group) -> Tensor:
        """Pointwise convolutions of the even and of the odd positions, their channels taken turn by turn by edges."""
        first, count = cast(FactorizedReduce, group[0].module), len(group)
        halves = [_convolve(source.even, self._weights[id(first.even)], cast(Convolution, first.even), 1)]
        if first.odd is not None:
            halves.append(_convolve(source.odd, self._weights[id(first.odd)], cast(Convolution, first.odd), 1))
        joined = torch.cat([_unflattened(half, 1, count) for half in halves], 2).flatten(1, 2)
        x, mean, scale = _normalise(joined)
        norms = [cast(Norm, cast(FactorizedReduce, candidate.module).norm) for candidate in group]
        self._note(norms, mean.view(count, -1), scale.view(count, -1), x)
        return x

    def _note(self, norms: Sequence[Norm], means: Tensor, scales: Tensor, made: Tensor) -> None:
        self.statistics.add(norms, means, scales, made[:, 0].numel())


class _Source:
    """A state, and what is made of it once for all groups that read it; `axis` is where its edges go."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.axis = 1 if x.is_contiguous() else -2  # beside the channels, wherever those are
        self._relu: Tensor | None = None
        self._repeated: dict[int, Tensor] = {}
        self._halves: list[Tensor] = []

    @property
    def relu(self) -> Tensor:
        """After ReLU."""
        if self._relu is None:
            self._relu = F.relu(self.x)
        return self._relu

    @property
    def even(self) -> Tensor:
        """The even positions after ReLU."""
        return self._halved()[0]

    @property
    def odd(self) -> Tensor:
        """The odd positions after ReLU; zeros stand in for one that is missing."""
        return self._halved()[1]

    def repeated(self, count: int) -> Tensor:
        """The channels after ReLU, `count` times over."""
        if count not in self._repeated:
            edges = self.with_edges(self.relu, 1)
            shape = list(edges.shape)
            shape[self.axis] = count
            whole = edges.expand(shape).flatten(*((1, 2) if self.axis == 1 else (-2, -1)))
            self._repeated[count] = self.channels_second(whole)
        return self._repeated[count]

    def with_edges(self, x: Tensor, count: int) -> Tensor:
        """(N, count * C, *S) with the edges on their axis, and where that is not the second, channels last."""
        return _unflattened(x, 1, count) if self.axis == 1 else _unflattened(x.movedim(1, -1), x.dim() - 1, count)

    def channels_second(self, x: Tensor) -> Tensor:
        """Undo the move of the channels."""
        return x if self.axis == 1 else x.movedim(-1, 1)

    def _halved(self) -> list[Tensor]:
        if not self._halves:
            missing = [amount for side in reversed(self.x.shape[2:]) for amount in (0, side % 2)]
            odd = every(self.relu, 2, start=1)
            self._halves = [every(self.relu, 2), F.pad(odd, missing) if any(missing) else odd]
        return self._halves


def _share(group: Group) -> Share:
    return Share(group[0].column, tuple(candidate.place for candidate in group), group[0].is_shared)


def _layers_of(candidate: Candidate) -> Iterator[nn.Module]:
    return iter(cast(nn.Sequential, candidate.module))


def _unflattened(x: Tensor, axis: int, count: int) -> Tensor:
    """The axis in so many parts."""
    return x.view(*x.shape[:axis], count, -1, *x.shape[axis + 1 :])


def _join_weights(groups: Sequence[Group]) -> dict[int, Tensor]:
    """The weights of each convolution of each group, edge after edge, by the identity of the first edge's layer.

    Weights of one shape are copied in one call, whatever their group.
    """
    alike: dict[torch.Size, list[tuple[Convolution, ...]]] = defaultdict(list)
    for group in groups:
        for layers in zip(*(candidate.convolutions for candidate in group), strict=True):
            alike[layers[0].weight.shape].append(layers)
    joined: dict[int, Tensor] = {}
    for shape, found in alike.items():
        whole = torch.cat([layer.weight for layers in found for layer in layers])
        parts = torch.split(whole, [len(layers) * shape[0] for layers in found])
        joined |= {id(layers[0]): part for layers, part in zip(found, parts, strict=True)}
    return joined


def _convolve(x: Tensor, weight: Tensor, like: Convolution, groups: int) -> Tensor:
    return _CONVOLVE[x.dim()](x, weight, None, like.stride, like.padding, like.dilation, groups)


def _normalise(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Batch norm, the means, and one over the deviations; the latter two in float32 or better."""
    training, scratch = True, None
    if x.is_cpu and x.element_size() < 4:
        # There running statistics are what makes the saved ones more than half precision.
        scratch = x.new_zeros(x.shape[1], dtype=torch.float32)
    return torch.native_batch_norm(x, None, None, scratch, scratch, training, 0.0, EPS)
