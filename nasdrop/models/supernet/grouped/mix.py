"""The weighted sum of what leaves a node, for all edges that leave it at once.

Shapes: E edges leave the node; a map is (N, G, C, *S) or, with channels last, (N, *S, G, C): G is the number of its
places among the edges, or 1 where all places share it. `axis` is that of G. R is N, or 1 where all samples have the
same coefficients.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

Run = tuple[int, int, int]
"""First place, how many, and the first one's number in the map."""


@dataclass(frozen=True)
class Share:
    """Where a map goes.

    Attributes:
        column: of its coefficients.
        places: the edges that it goes to, rising.
        shared: whether all of them get the same map.
    """

    column: int
    places: tuple[int, ...]
    shared: bool

    def runs(self) -> Iterator[Run]:
        """The places in stretches without gaps."""
        first = 0
        for number in range(1, len(self.places) + 1):
            if number == len(self.places) or self.places[number] != self.places[number - 1] + 1:
                yield self.places[first], number - first, first
                first = number


def mix(coefficients: Tensor, maps: Sequence[Tensor], shares: Sequence[Share], axis: int) -> Tensor:
    """The sums on the edges, (N, E, C, *S) or (N, *S, E, C), in float32 or better; 0 where nothing goes.

    Args:
        coefficients: (E, O, R).
        maps: as many as shares.
        shares: where they go, and with which column of the coefficients.
        axis: of the edges.
    """
    if torch.compiler.is_compiling():
        return _plain_mix(coefficients, maps, shares, axis)
    apply = cast(Callable[..., Tensor], _Mix.apply)
    return apply(coefficients, tuple(shares), axis, *maps)


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, shares: tuple[Share, ...], axis: int, *maps: Tensor) -> Tensor:
        ctx.shares, ctx.axis = shares, axis
        ctx.save_for_backward(coefficients, *maps)
        total: Tensor | None = None
        # What goes everywhere comes first: then there is nothing to set to zero.
        order = sorted(range(len(maps)), key=lambda number: -len(shares[number].places))
        for number in order:
            made, share = maps[number], shares[number]
            if total is None and len(share.places) == len(coefficients) and made.shape[axis] == len(coefficients):
                total = made * _factor(coefficients, share, (0, len(coefficients), 0), made.dim(), axis)
                continue
            total = _zeros(coefficients, made, axis) if total is None else total
            for run in share.runs():
                factor = _factor(coefficients, share, run, made.dim(), axis)
                total.narrow(axis, run[0], run[1]).addcmul_(_part(made, share, run, axis), factor)
        return cast(Tensor, total)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        coefficients, *maps = ctx.saved_tensors
        shares, axis, gradient = ctx.shares, ctx.axis, gradients[0]
        wants_coefficients, _, _, *wanted = ctx.needs_input_grad
        if torch.is_grad_enabled():
            return _gradients_of(coefficients, maps, shares, axis, gradient, ctx.needs_input_grad)
        of_coefficients = torch.zeros_like(coefficients) if wants_coefficients else None
        of_maps: list[Tensor | None] = []
        for made, share, wants in zip(maps, shares, wanted, strict=True):
            if of_coefficients is not None:
                _add_coefficients(of_coefficients, gradient, made, share, axis)
            of_maps.append(_of_map(coefficients, gradient, made, share, axis) if wants else None)
        return of_coefficients, None, None, *of_maps


def _add_coefficients(found: Tensor, gradient: Tensor, made: Tensor, share: Share, axis: int) -> None:
    """Write the gradient of a map's coefficients."""
    for run in share.runs():
        product = gradient.narrow(axis, run[0], run[1]) * _part(made, share, run, axis)
        others = [dim for dim in range(1, made.dim()) if dim != axis % made.dim()]
        place = found[run[0] : run[0] + run[1], share.column].t()
        if len(place) > 1:
            torch.sum(product, others, out=place)
        else:
            torch.sum(product, [0, *others], out=place[0])


def _of_map(coefficients: Tensor, gradient: Tensor, made: Tensor, share: Share, axis: int) -> Tensor:
    parts = [
        gradient.narrow(axis, run[0], run[1]) * _factor(coefficients, share, run, made.dim(), axis)
        for run in share.runs()
    ]
    if share.shared:
        sums = [part.sum(axis, keepdim=True) for part in parts]
        return sum(sums[1:], sums[0]).to(made.dtype)
    return (parts[0] if len(parts) == 1 else torch.cat(parts, axis)).to(made.dtype)


def _part(made: Tensor, share: Share, run: Run, axis: int) -> Tensor:
    return made if share.shared else made.narrow(axis, run[2], run[1])


def _factor(coefficients: Tensor, share: Share, run: Run, dims: int, axis: int) -> Tensor:
    """A run's coefficients, broadcast against its map: R first, the edges on their axis."""
    shape = [1] * dims
    shape[0], shape[axis] = coefficients.shape[2], run[1]
    return coefficients[run[0] : run[0] + run[1], share.column].t().reshape(shape)


def _zeros(coefficients: Tensor, like: Tensor, axis: int) -> Tensor:
    shape = list(like.shape)
    shape[axis] = len(coefficients)
    return like.new_zeros(shape, dtype=torch.promote_types(like.dtype, coefficients.dtype))


def _plain_mix(coefficients: Tensor, maps: Sequence[Tensor], shares: Sequence[Share], axis: int) -> Tensor:
    """The same in differentiable operations, none in place."""
    count = len(coefficients)
    total = _zeros(coefficients, maps[0], axis)
    for made, share in zip(maps, shares, strict=True):
        for run in share.runs():
            value = _part(made, share, run, axis) * _factor(coefficients, share, run, made.dim(), axis)
            before, after = total.narrow(axis, 0, run[0]), total.narrow(axis, run[0] + run[1], count - run[0] - run[1])
            rest = total.narrow(axis, run[0], run[1]) + value
            total = rest if run[1] == count else torch.cat((before, rest, after), axis)
    return total


def _gradients_of(
    coefficients: Tensor,
    maps: Sequence[Tensor],
    shares: Sequence[Share],
    axis: int,
    gradient: Tensor,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    """Gradients that can be differentiated again."""
    total = _plain_mix(coefficients, maps, shares, axis)
    inputs = [coefficients, None, None, *maps]
    chosen = [cast(Tensor, x) for x, wants in zip(inputs, wanted, strict=True) if wants]
    found = iter(torch.autograd.grad(total, chosen, gradient, create_graph=True))
    return tuple(next(found) if wants else None for wants in wanted)
