"""Survivor rules: what happens to a node of which fewer inputs live than it needs.

Shapes: P paths, G nodes, M slots a node, R rows. An empty slot has the rate 1: it never lives. Rates q are the
probabilities of dropping before the rule. Everything is exact, and no loop depends on data, so it compiles.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

RULES = ("none", "revive", "redraw")

_NEAR_ONE = 1.0 - 2.0**-20
"""Largest rate under "redraw": with all rates 1, the condition that somebody lives would have probability 0."""


class Nodes(nn.Module):
    """The inputs of every node, as slots of one table.

    Args:
        members: Indices of the inputs of each node; each of 0 .. P - 1 is in exactly one node.
        rule: A name in RULES.
        at_least: How many inputs a node keeps under a rule, or all of them where it has fewer.
    """

    inputs: Tensor
    sizes: Tensor
    need: Tensor
    slots: Tensor

    def __init__(self, members: Sequence[Sequence[int]], rule: str, at_least: int = 1) -> None:
        super().__init__()
        width = max(map(len, members), default=0)
        num_paths = sum(map(len, members))
        self.rule = rule
        self.at_least = at_least
        inputs = torch.full((len(members), width), num_paths)
        slots = torch.zeros(num_paths, dtype=torch.long)
        for node, paths in enumerate(members):
            inputs[node, : len(paths)] = torch.tensor(paths, dtype=torch.long)
            slots[torch.tensor(paths, dtype=torch.long)] = node * width + torch.arange(len(paths))
        sizes = torch.tensor([len(paths) for paths in members], dtype=torch.long)
        for name, table in (
            ("inputs", inputs),
            ("slots", slots),
            ("sizes", sizes),
            ("need", sizes.clamp_max(at_least)),
        ):
            self.register_buffer(name, table, persistent=False)

    def spread(self, values: Tensor, empty: float = 1.0) -> Tensor:
        """Bring values a path, (P, ...), into slots (G, M, ...), with `empty` in the empty ones."""
        return torch.cat([values, values.new_full((1, *values.shape[1:]), empty)])[self.inputs]

    def collect(self, slots: Tensor) -> Tensor:
        """Bring slots (G, M, ...) back to paths (P, ...)."""
        return slots.flatten(0, 1)[self.slots]

    def live_probability(self, rates: Tensor) -> Tensor:
        """P(live) of each path (P,) under the rule."""
        if self.rule == "none":
            return 1.0 - rates
        q = self.spread(rates)
        return self.collect(self._after_redraw(q) if self.rule == "redraw" else self._after_revival(q))

    def draw_live(self, uniform: Tensor, rates: Tensor) -> Tensor:
        """Which paths live, bool (P, R), from uniforms in [0, 1) of that shape: all that is random."""
        live = uniform < 1.0 - rates[:, None]
        if self.rule == "none":
            return live
        q = self.spread(rates)
        if self.rule == "redraw":
            return self.collect(self._redrawn(self.spread(uniform), q))
        return live | self.collect(self._revived(self.spread(uniform), q))

    def _after_revival(self, q: Tensor) -> Tensor:
        """1 - q + q P(revived): of b < need living others, need - b of the n - b dropped ones come back."""
        living = torch.arange(self.at_least, device=q.device)
        chance = (self.need[:, None] - living).clamp_min(0) / (self.sizes[:, None] - living).clamp_min(1)
        return 1.0 - q + q * (_counts(_others(q), self.at_least) * chance[:, None]).sum(2)

    def _after_redraw(self, q: Tensor) -> Tensor:
        """(1 - q) P(enough others) / P(enough)."""
        q = self._redrawable(q)
        enough = _suffix_tails(q, self.at_least)[:, 0].gather(1, self.need[:, None])
        others_need = (self.need - 1)[:, None, None].expand(*q.shape, 1)
        enough_others = _suffix_tails(_others(q), self.at_least)[:, :, 0].gather(2, others_need)[..., 0]
        return (1.0 - q) * enough_others / enough

    def _revived(self, uniform: Tensor, q: Tensor) -> Tensor:
        """The first `at_least` slots of a node: living ones before dropped ones, those in random order.

        Given that a path dropped, (1 - uniform) / q is uniform on (0, 1], whatever its rate: no second draw is needed.
        """
        rate = q[..., None]
        order = torch.where(uniform < 1.0 - rate, 2.0, (1.0 - uniform) / rate)
        order = torch.where(self._empty()[..., None], -1.0, order)
        chosen = order.topk(min(self.at_least, q.shape[1]), dim=1).indices
        return torch.zeros_like(order, dtype=torch.bool).scatter(1, chosen, value=True)

    def _redrawn(self, uniform: Tensor, q: Tensor) -> Tensor:
        """Slot by slot, given that enough will live: distributed as if drawn again until they do."""
        q = self._redrawable(q)
        enough = _suffix_tails(q, self.at_least)
        missing = self.need[:, None].expand(-1, uniform.shape[2])
        live = []
        for slot in range(q.shape[1]):
            alive_and_enough = enough[:, slot + 1].gather(1, (missing - 1).clamp_min(0)) * (1.0 - q[:, slot, None])
            live.append(uniform[:, slot] < alive_and_enough / enough[:, slot].gather(1, missing))
            missing = (missing - live[-1].long()).clamp_min(0)
        return torch.stack(live, 1)

    def _redrawable(self, q: Tensor) -> Tensor:
        return torch.where(self._empty(), 1.0, q.clamp_max(_NEAR_ONE))

    def _empty(self) -> Tensor:
        return torch.arange(self.inputs.shape[1], device=self.sizes.device) >= self.sizes[:, None]


def _others(q: Tensor) -> Tensor:
    """(G, M) to (G, M, M): the rates of a node as each slot sees them, itself never living."""
    itself = torch.eye(q.shape[1], dtype=torch.bool, device=q.device)
    return torch.where(itself, 1.0, q[:, None])


def _suffix_tails(q: Tensor, most: int) -> Tensor:
    """(..., M) to (..., M + 1, most + 1): P(at least r live among the slots from i on); only sums of positive terms."""
    tails = [torch.nn.functional.pad(torch.ones_like(q[..., :1]), (0, most))]
    for rate in reversed(q.unsqueeze(-1).unbind(-2)):
        one_fewer = torch.cat([tails[0][..., :1], tails[0][..., :-1]], -1)
        tails.insert(0, (1.0 - rate) * one_fewer + rate * tails[0])
    return torch.stack(tails, -2)


def _counts(q: Tensor, most: int) -> Tensor:
    """(..., M) to (..., most): P(exactly r live), r below `most`."""
    counts = torch.nn.functional.pad(torch.ones_like(q[..., :1]), (0, most - 1))
    for rate in q.unsqueeze(-1).unbind(-2):
        one_fewer = torch.nn.functional.pad(counts[..., :-1], (1, 0))
        counts = (1.0 - rate) * one_fewer + rate * counts
    return counts
