"""Which candidates can be computed as one: those of one column that leave one node and are built alike.

Modules are recognised by what they are, not by the names of their operations; whatever is not recognised, a user's own
operation among it, is called as the module that it is.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import cast

from torch import nn

from nasdrop.models.ops import FactorizedReduce
from nasdrop.models.supernet.candidates import Candidates
from nasdrop.models.supernet.packed.plan import (
    Convolution,
    Norm,
    Plan,
    Pooled,
    Term,
    is_convolution,
    is_plain_norm,
)

Alike = tuple[Hashable, ...]
"""How a candidate is built, its weights apart."""


@dataclass(frozen=True)
class Candidate:
    """One candidate of one edge.

    Attributes:
        edge: its number in the cell.
        column: its operation.
        place: of its edge among the edges that leave the source.
        module: what computes it.
        alike: equal for candidates that can be computed as one; None: called by itself.
        convolutions: of the module, in the order of its layers.
    """

    edge: int
    column: int
    place: int
    module: nn.Module
    alike: Alike | None
    convolutions: tuple[Convolution, ...]

    @property
    def is_shared(self) -> bool:
        """Whether all alike edges of a source get the same map: a pool's, or the source itself."""
        return self.alike is not None and self.alike[0] in ("pool", "identity")


@dataclass(frozen=True)
class Leaving:
    """What leaves a node.

    Attributes:
        edges: numbers of the edges, in the order of their targets.
        targets: the node that each of them enters.
        candidates: of these edges, but `none`.
    """

    edges: tuple[int, ...]
    targets: tuple[int, ...]
    candidates: tuple[Candidate, ...]

    def groups(self, wanted: Sequence[set[int]] | None) -> list[tuple[Candidate, ...]]:
        """The candidates that are computed as one, for the columns that each edge wants; None: all of them."""
        found: dict[Hashable, list[Candidate]] = defaultdict(list)
        for candidate in self.candidates:
            if candidate.alike is not None and (wanted is None or candidate.column in wanted[candidate.edge]):
                found[candidate.column, candidate.alike].append(candidate)
        return [tuple(group) for group in found.values()]

    def alone(self, wanted: Sequence[set[int]] | None) -> list[Candidate]:
        """The candidates that are called by themselves."""
        return [
            candidate
            for candidate in self.candidates
            if candidate.alike is None and (wanted is None or candidate.column in wanted[candidate.edge])
        ]


def plan_groups(plan: Plan, candidates: Candidates, operation: Callable[[int, int], nn.Module]) -> tuple[Leaving, ...]:
    """What leaves each node of a cell.

    Args:
        plan: of the packed layout, which leaves `none` out.
        candidates: of the cell.
        operation: gives that at a position in the list of an edge.
    """
    result = []
    for source, terms in enumerate(plan):
        edges = [number for number, edge in enumerate(candidates.edges) if edge.source == source]
        made = tuple(
            _candidate(
                term,
                edges.index(term.edge),
                operation(term.edge, candidates.columns[term.edge].index(term.column)),
            )
            for term in terms
        )
        result.append(Leaving(tuple(edges), tuple(candidates.edges[edge].target for edge in edges), made))
    return tuple(result)


def norms_of(leaving: Sequence[Leaving]) -> list[Norm]:
    """The batch norms that groups compute by themselves, which have to be in training."""
    return [
        cast(Norm, module)
        for node in leaving
        for candidate in node.candidates
        if candidate.alike is not None
        for module in candidate.module.modules()
        if is_plain_norm(module)
    ]


def _candidate(term: Term, place: int, module: nn.Module) -> Candidate:
    found = tuple(cast(Convolution, layer) for layer in module.modules() if is_convolution(layer))
    return Candidate(term.edge, term.column, place, module, _alike(term, module), found)


def _alike(term: Term, module: nn.Module) -> Alike | None:
    """What modules that can be computed as one have in common; None: this one cannot."""
    if isinstance(term.role, Pooled):
        return "pool", term.role.key
    if type(module) is nn.Identity:
        return ("identity",)
    if type(module) is FactorizedReduce:
        halves = [layer for layer in (module.even, module.odd) if layer is not None]
        plain = all(map(is_convolution, halves)) and is_plain_norm(module.norm)
        return ("halve", tuple(map(_built, halves)), _built(module.norm)) if plain else None
    return _alike_layers(list(module)) if type(module) is nn.Sequential else None


def _alike_layers(layers: Sequence[nn.Module]) -> Alike | None:
    """ReLU first, then a convolution, then any of these and plain norms."""
    if len(layers) < 2 or type(layers[0]) is not nn.ReLU or not is_convolution(layers[1]):
        return None
    if not all(type(layer) is nn.ReLU or is_convolution(layer) or is_plain_norm(layer) for layer in layers):
        return None
    return tuple(map(_built, layers))


def _built(layer: nn.Module) -> Alike | str:
    """How a layer is built, its weights apart."""
    if type(layer) is nn.ReLU:
        return "relu"
    if is_plain_norm(layer):
        return "norm", cast(Norm, layer).num_features
    convolution = cast(Convolution, layer)
    sizes = (convolution.in_channels, convolution.out_channels, convolution.groups)
    window = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation)
    return ("convolution", *sizes, *window)
