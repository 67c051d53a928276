"""What is looked at after each epoch: how sharp the mixture is, how much of it is skips, whether it still moves."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from nasdrop.searchers.gradient.mixture import Columns
from nasdrop.searchers.gradient.report import SearchEpoch
from nasdrop.space import Genotype

COLLAPSED = 0.75  # share of skip connections among the kept edges: 6 of 8 in the DARTS space
STILL = 0.01  # a largest change of a mixing weight below this is no search


def shares(strengths: Mapping[str, Tensor], columns: Columns) -> dict[str, Tensor]:
    """Strengths as shares of each edge's sum, 0 where a column is not available."""
    parts = {kind: torch.where(columns.available[kind], rows.detach(), 0.0) for kind, rows in strengths.items()}
    return {kind: part / part.sum(-1, keepdim=True).clamp_min(1e-12) for kind, part in parts.items()}


def entropy(shares: Mapping[str, Tensor]) -> dict[str, float]:
    """Mean over the edges of the entropy of their shares, in nats."""
    return {kind: float(torch.special.entr(rows).sum(-1).mean()) for kind, rows in shares.items()}


def skip_shares(shares: Mapping[str, Tensor], columns: Columns) -> dict[str, float]:
    """Mean over the edges of the share of skip connections."""
    return {kind: float(rows[:, columns.column(kind, "skip_connect")].sum(-1).mean()) for kind, rows in shares.items()}


def largest_change(shares: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> float:
    """The largest change of one share."""
    return max(float((rows - before[kind]).abs().max()) for kind, rows in shares.items())


def skips(genotype: Genotype) -> dict[str, int]:
    """Skip connections by cell kind."""
    return {cell.name: sum(edge.operation == "skip_connect" for edge in cell.edges) for cell in genotype.cells}


def changes(genotype: Genotype, before: Genotype) -> int:
    """Edges of a genotype, with their operations, that another one does not have."""
    return sum(edge not in before[cell.name].edges for cell in genotype.cells for edge in cell.edges)


def warnings(history: Sequence[SearchEpoch], *, learns: bool, last: bool) -> Iterator[str]:
    """What the user should know after the latest epoch, in plain words; each thing once.

    Args:
        history: all epochs so far.
        learns: whether the strategy has alphas.
        last: whether the search ends here.
    """
    now = history[-1]
    for kind, count in now.skips.items():
        new = len(history) == 1 or not _collapsed(history[-2], kind)
        if learns and _collapsed(now, kind) and (new or last):
            yield (
                f"epoch {now.epoch + 1}: the {kind} cell collapses: {count} of its {now.kept[kind]} edges are skip "
                "connections; more drop path (drop.p), weight decay or an early stop may help"
            )
    if learns and last and now.moved < STILL:
        yield (
            f"the alphas did not move: no mixing weight changed by more than {now.moved:.2g}; the cell is as good as "
            "random; more epochs or a larger search.alpha_learning_rate may help"
        )


def _collapsed(report: SearchEpoch, kind: str) -> bool:
    return report.kept[kind] >= 4 and report.skips[kind] >= COLLAPSED * report.kept[kind]
