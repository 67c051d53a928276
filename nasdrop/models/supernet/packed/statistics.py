"""Running statistics of batch norms that were folded away: noted while a cell is computed, moved at once at its end."""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from nasdrop.models.supernet.packed.plan import Norm
from nasdrop.models.supernet.packed.products import EPS


class Statistics:
    """What norms saw."""

    def __init__(self) -> None:
        self._seen: list[tuple[Norm, Tensor, Tensor]] = []

    @torch.no_grad()
    def add(self, norms: Sequence[Norm], means: Tensor, scales: Tensor, positions: int) -> None:
        """Note what norms saw over so many positions.

        Args:
            norms: T of them.
            means: (T, C).
            scales: one over the root of eps and the biased variances, (T, C).
            positions: how many.
        """
        unbiased = positions / max(positions - 1, 1)
        variances = (scales.pow(-2) - EPS) * unbiased
        self._seen += zip(norms, means, variances, strict=True)

    @torch.no_grad()
    def update(self) -> None:
        """Move the running statistics as the norms themselves would have."""
        counts = [norm.num_batches_tracked for norm, *_ in self._seen if norm.num_batches_tracked is not None]
        if counts:
            torch._foreach_add_(counts, 1)
        for momentum, group in groupby(self._seen, key=lambda seen: seen[0].momentum):
            norms, means, variances = zip(*group, strict=True)
            # Without a momentum they are plain means over all batches.
            share = 1.0 / int(norms[0].num_batches_tracked) if momentum is None else momentum
            torch._foreach_lerp_([norm.running_mean for norm in norms], list(means), share)
            torch._foreach_lerp_([norm.running_var for norm in norms], list(variances), share)
