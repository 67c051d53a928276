"""What a mixed cell computes, recognised from its modules: which parts of its operations can be shared or fused.

Modules are recognised by what they are, not by the names of their operations; whatever is not recognised, a user's own
operation among it, is called as the module that it is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from torch import nn

from nasdrop.models.layers import AveragePool3d, Dilated1d, Dilated2d, Dilated3d, Pointwise1d, Pointwise2d, Pointwise3d
from nasdrop.models.supernet.candidates import Candidates
from nasdrop.models.supernet.packed.depthwise import Window
from nasdrop.models.supernet.packed.products import EPS

Norm = nn.modules.batchnorm._BatchNorm
Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d

# Exact types: a subclass of somebody else's may compute something else.
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    Pointwise1d,
    Pointwise2d,
    Pointwise3d,
    Dilated1d,
    Dilated2d,
    Dilated3d,
)
_POOLS = (nn.AvgPool1d, nn.AvgPool2d, AveragePool3d, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


@dataclass(frozen=True)
class Stage:
    """ReLU, a depthwise convolution or none, a pointwise convolution, a batch norm."""

    depthwise: Convolution | None
    pointwise: Convolution
    norm: Norm


@dataclass(frozen=True)
class Chain:
    """Stages, one after the other."""

    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Pooled:
    """A pool, the same for all edges of a source, and a batch norm or none; `key` is equal for equal pools."""

    module: nn.Module
    norm: Norm | None
    key: str


@dataclass(frozen=True)
class Own:
    """Anything else."""

    module: nn.Module


Role = Chain | Pooled | Own


@dataclass(frozen=True)
class Term:
    """One candidate of one edge: which coefficient it has, which node it enters, how it is computed."""

    edge: int
    column: int
    target: int
    role: Role


Plan = tuple[tuple[Term, ...], ...]
"""The terms that leave each node of a cell, in the order of the nodes."""


def plan_cell(candidates: Candidates, operation: Callable[[int, int], nn.Module]) -> Plan:
    """Recognise every candidate of a cell but `none`; `operation` gives that at a position in the list of an edge."""
    last = max(edge.target for edge in candidates.edges)
    terms: list[list[Term]] = [[] for _ in range(last + 1)]
    for number, edge in enumerate(candidates.edges):
        for position, column in candidates.computed(number, None):
            terms[edge.source].append(Term(number, column, edge.target, recognise(operation(number, position))))
    return tuple(tuple(leaving) for leaving in terms)


def window_of(layer: Convolution) -> Window:
    """A convolution's window."""
    return Window(tuple(layer.kernel_size), tuple(layer.stride), tuple(layer.dilation))


def norms_of(plan: Plan) -> Iterator[Norm]:
    """The batch norms that the plan folds, which have to be in training."""
    for term in (term for terms in plan for term in terms):
        match term.role:
            case Chain(stages):
                yield from (stage.norm for stage in stages)
            case Pooled(_, norm, _) if norm is not None:
                yield norm


def recognise(module: nn.Module) -> Role:
    """The role of one operation."""
    if _is_pool(module):
        return Pooled(module, None, repr(module))
    if type(module) is not nn.Sequential:
        return Own(module)
    layers = list(module)
    if len(layers) == 2 and _is_pool(layers[0]) and is_plain_norm(layers[1]):
        return Pooled(layers[0], cast(Norm, layers[1]), repr(module))
    stages = _stages(layers)
    return Chain(stages) if stages else Own(module)


def _stages(layers: Sequence[nn.Module]) -> tuple[Stage, ...]:
    """The stages that a sequence of layers consists of; none where it is something else."""
    found: list[Stage] = []
    rest = list(layers)
    while rest:
        end = next((index for index, layer in enumerate(rest) if is_plain_norm(layer)), 0)
        relu, *convolutions = rest[: max(end, 1)]
        if type(relu) is not nn.ReLU or len(convolutions) not in (1, 2) or not _is_pointwise(convolutions[-1]):
            return ()
        if len(convolutions) == 2 and not _is_depthwise(convolutions[0]):
            return ()
        first = cast(Convolution, convolutions[0]) if len(convolutions) == 2 else None
        found.append(Stage(first, cast(Convolution, convolutions[-1]), cast(Norm, rest[end])))
        rest = rest[end + 1 :]
    return tuple(found)


def is_plain_norm(module: nn.Module) -> bool:
    """A batch norm without scale and shift that keeps statistics."""
    if type(module) not in _NORMS:
        return False
    norm = cast(Norm, module)
    return not norm.affine and norm.track_running_stats and norm.eps == EPS


def _is_pool(module: nn.Module) -> bool:
    """A pool of torch's own kind: equal ones print equally, and have no weights."""
    return type(module) in _POOLS and not getattr(module, "return_indices", False)


def is_convolution(layer: nn.Module) -> bool:
    """A convolution of torch's own kind without bias, padded with a number of zeros."""
    if type(layer) not in _CONVOLUTIONS:
        return False
    convolution = cast(Convolution, layer)
    return convolution.bias is None and convolution.padding_mode == "zeros" and isinstance(convolution.padding, tuple)


def _is_pointwise(layer: nn.Module) -> bool:
    if not is_convolution(layer):
        return False
    convolution = cast(nn.Conv2d, layer)
    ones = {*convolution.kernel_size, *convolution.stride, convolution.groups}
    return ones == {1} and set(convolution.padding) == {0}


def _is_depthwise(layer: nn.Module) -> bool:
    if not is_convolution(layer):
        return False
    convolution = cast(nn.Conv2d, layer)
    by_channel = convolution.in_channels == convolution.out_channels == convolution.groups
    window = window_of(convolution)
    odd = all(side % 2 for side in window.kernel)
    return by_channel and odd and convolution.padding == window.padding
