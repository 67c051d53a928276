"""Running statistics of batch norms that were folded away: noted while a cell is computed, moved at once at its end."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nasdrop.models.supernet.packed.plan import Norm
from nasdrop.models.supernet.packed.products import EPS


class _Seen(NamedTuple):
    norms: Sequence[Norm]
    means: Tensor
    scales: Tensor
    positions: int


class Statistics:
    """What norms saw."""

    def __init__(self) -> None:
        self._seen: list[_Seen] = []

    def add(self, norms: Sequence[Norm], means: Tensor, scales: Tensor, positions: int) -> None:
        """Note what norms saw over so many positions.

        Args:
            norms: T of them.
            means: (T, C).
            scales: one over the root of eps and the biased variances, (T, C).
            positions: how many.
        """
        self._seen.append(_Seen(norms, means, scales, positions))

    def update(self) -> None:
        """Move the running statistics as the norms themselves would have."""
        with torch.no_grad():  # not as a decorator: torch.compile does not know methods that are decorated so
            self._count()
            alike: dict[tuple[int, int], list[_Seen]] = defaultdict(list)
            for seen in self._seen:
                alike[seen.positions, seen.means.shape[1]].append(seen)
            for (positions, _), group in alike.items():
                norms = [norm for seen in group for norm in seen.norms]
                unbiased = positions / max(positions - 1, 1)
                variances = (torch.cat([seen.scales for seen in group]).pow(-2) - EPS) * unbiased
                _move(norms, [mean for seen in group for mean in seen.means.unbind()], variances.unbind())

    def _count(self) -> None:
        counts = [
            norm.num_batches_tracked
            for seen in self._seen
            for norm in seen.norms
            if norm.num_batches_tracked is not None
        ]
        if counts:
            torch._foreach_add_(counts, 1)


def _move(norms: Sequence[Norm], means: Sequence[Tensor], variances: Sequence[Tensor]) -> None:
    found = list(zip(norms, means, variances, strict=True))
    for momentum in dict.fromkeys(norm.momentum for norm in norms):
        own, means, variances = zip(*(seen for seen in found if seen[0].momentum == momentum), strict=True)
        # Without a momentum they are plain means over all batches.
        share = 1.0 / int(own[0].num_batches_tracked) if momentum is None else momentum
        torch._foreach_lerp_([norm.running_mean for norm in own], list(means), share)
        torch._foreach_lerp_([norm.running_var for norm in own], list(variances), share)
