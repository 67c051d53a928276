"""A mixed cell in another order of the same sums: what its edges share is computed once, and norms are folded away.

Of each source there are one ReLU and one of each pool with its norm; pointwise convolutions, their batch norms, mixing
weights and path drop are one product a candidate (products.py), which a node adds up in place.

Shapes: (N, C, *S) a state, (N, *S, C) a map; E edges, O columns; R is N, or 1 where all samples have the same
coefficients.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasdrop.models.layers import every
from nasdrop.models.supernet.packed.depthwise import Window, first, last
from nasdrop.models.supernet.packed.plan import Chain, Plan, Pooled, Stage, Term, window_of
from nasdrop.models.supernet.packed.products import EPS, centred_depthwise, hidden, weighted_products
from nasdrop.models.supernet.packed.statistics import Statistics


class _Feature(NamedTuple):
    """What a stage's pointwise convolution reads, less its mean, and that mean."""

    stage: Stage
    values: Tensor
    mean: Tensor


@dataclass
class _Node:
    """What enters a node: features, maps as they are, and modules to be called, each with its term."""

    features: list[tuple[Term, _Feature]] = field(default_factory=list)
    maps: list[tuple[Term, Tensor]] = field(default_factory=list)
    modules: list[tuple[Term, nn.Module, Tensor]] = field(default_factory=list)


class Pass:
    """One forward pass through the edges of a cell.

    Args:
        plan: what leaves each node.
        coefficients: what each operation's output is multiplied by, (E, O, R).
        wanted: the columns that each edge computes; None: all.
    """

    def __init__(self, plan: Plan, coefficients: Tensor, wanted: Sequence[set[int]] | None = None) -> None:
        self._plan, self._coefficients, self._wanted = plan, coefficients, wanted
        self._nodes: defaultdict[int, _Node] = defaultdict(_Node)
        self.statistics = Statistics()

    def leave(self, node: int, x: Tensor) -> None:
        """Compute what leaves a state (N, C, *S)."""
        wanted = self._wanted
        terms = [term for term in self._plan[node] if wanted is None or term.column in wanted[term.edge]]
        pools: dict[str, list[tuple[Term, Pooled]]] = defaultdict(list)
        for term in terms:
            if isinstance(term.role, Pooled):
                pools[term.role.key].append((term, term.role))
            elif not isinstance(term.role, Chain):
                self._nodes[term.target].modules.append((term, term.role.module, x))
        for alike in pools.values():
            self._pool(x, alike)
        chains = [(term, term.role.stages) for term in terms if isinstance(term.role, Chain)]
        if chains:
            self._follow(_Inputs(last(F.relu(x))), chains)

    def enter(self, node: int) -> Tensor | None:
        """The sum of what enters a node, (N, C, *S); None: nothing does."""
        entering = self._nodes.pop(node, None)
        if entering is None:
            return None
        # In the order of the edges, as the reference layout calls them: some draw random numbers.
        for term, module, x in sorted(entering.modules, key=lambda item: item[0].edge):
            entering.maps.append((term, last(module(x))))
        terms = [term for term, _ in entering.features] + [term for term, _ in entering.maps]
        rows, columns = [term.edge for term in terms], [term.column for term in terms]
        features = [feature for _, feature in entering.features]
        values, maps = [feature.values for feature in features], [made for _, made in entering.maps]
        weights = _weights(features, like=(values + maps)[0])
        total, scale = weighted_products(weights, self._coefficients[rows, columns], values, maps)
        self._note(features, weights, scale)
        return first(total)

    def _note(self, features: Sequence[_Feature], weights: Tensor, scale: Tensor) -> None:
        """Note the statistics of the norms behind features' pointwise convolutions."""
        if features:
            means = torch.stack([feature.mean for feature in features])
            seen = (weights.detach() @ means.unsqueeze(-1)).squeeze(-1)
            positions = features[0].values[..., 0].numel()
            self.statistics.add([feature.stage.norm for feature in features], seen, scale, positions)

    def _pool(self, x: Tensor, alike: Sequence[tuple[Term, Pooled]]) -> None:
        """One pool of a source, for all edges that ask for it."""
        made = alike[0][1].module(x)
        norms = [role.norm for _, role in alike if role.norm is not None]
        if norms:
            training = True
            made, mean, scale = torch.native_batch_norm(made, None, None, None, None, training, 0.0, EPS)
            self.statistics.add(norms, mean.expand(len(norms), -1), scale.expand(len(norms), -1), made[:, 0].numel())
        for term, _ in alike:
            self._nodes[term.target].maps.append((term, last(made)))

    def _follow(self, inputs: "_Inputs", chains: Sequence[tuple[Term, tuple[Stage, ...]]]) -> None:
        """All chains of a source, stage by stage."""
        made: dict[int, Tensor] = {}
        for level in range(max(len(stages) for _, stages in chains)):
            going_on: dict[int, _Feature] = {}
            for number, (term, stages) in enumerate(chains):
                if level >= len(stages):
                    continue
                feature = inputs.feature(stages[level], made.get(number))
                if level + 1 < len(stages):
                    going_on[number] = feature
                else:
                    self._nodes[term.target].features.append((term, feature))
            made = self._hide(going_on)

    def _hide(self, going_on: Mapping[int, _Feature]) -> dict[int, Tensor]:
        """What the chains that go on read next, by their numbers."""
        if not going_on:
            return {}
        features = list(going_on.values())
        values = [feature.values for feature in features]
        weights = _weights(features, like=values[0])
        maps, scale = hidden(weights, values)
        self._note(features, weights, scale)
        return dict(zip(going_on, maps, strict=True))


class _Inputs:
    """A source after ReLU, and what is made of it once for all chains that read it."""

    def __init__(self, relu: Tensor) -> None:
        self.relu = relu
        self._half: Tensor | None = None
        self._centred: tuple[Tensor, Tensor] | None = None

    def feature(self, stage: Stage, x: Tensor | None) -> _Feature:
        """What a stage makes of what the stage before it made, or of the source."""
        if stage.depthwise is None:
            return _Feature(stage, *(self._centre() if x is None else _centred(x)))
        window, weight = window_of(stage.depthwise), stage.depthwise.weight
        if x is None and {*window.stride} == {*window.dilation} == {2}:
            # Only every second position is looked at: of those alone the convolution is a plain one.
            x, ones = self._every_second(), (1,) * len(window.stride)
            window = Window(window.kernel, ones, ones)
        return _Feature(stage, *centred_depthwise(self.relu if x is None else x, weight, window))

    def _every_second(self) -> Tensor:
        if self._half is None:
            self._half = last(every(first(self.relu), 2))
        return self._half

    def _centre(self) -> tuple[Tensor, Tensor]:
        if self._centred is None:
            self._centred = _centred(self.relu)
        return self._centred


def _centred(x: Tensor) -> tuple[Tensor, Tensor]:
    mean = x.flatten(0, -2).mean(0)
    return x - mean, mean.detach()


def _weights(features: Sequence[_Feature], like: Tensor) -> Tensor:
    """The pointwise weights that multiply the features, (T, C, D)."""
    if not features:
        return like.new_empty(0, like.shape[-1], like.shape[-1])
    return torch.stack([feature.stage.pointwise.weight.flatten(1) for feature in features])
