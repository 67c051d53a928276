"""A discovered network that starts from its supernet's weights.

Taken over are the stem, what makes the cells' inputs, the operation of every kept edge, and the classifier. Scales and
shifts of batch norms, which cells of a supernet do not have, start at 1 and 0.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from nasdrop.drop.paths import Draw
from nasdrop.models.cell import Cell
from nasdrop.models.network import Network
from nasdrop.models.supernet.cell import MixedCell

_Norm = nn.modules.batchnorm._BatchNorm


def inherit(network: Network, cells: Sequence[MixedCell], others: Sequence[tuple[nn.Module, nn.Module]]) -> None:
    """Copy a supernet's weights into a discovered network of the same sizes.

    Args:
        network: the discovered network.
        cells: the supernet's cells.
        others: (module of the supernet, module of the network) for stem, tail and classifier, the classifier last.
    """
    found = cast(Sequence[Cell], network.cells)
    kept = [_kept_channels(cell, target) for cell, target in zip(cells, found, strict=True)]
    for index, (cell, target) in enumerate(zip(cells, found, strict=True)):
        for edge, position, wanted in _kept_operations(cell, target):
            _copy(cell.operation(edge, position), target.edges[wanted])
        for number, (module, into) in enumerate(zip(cell.preprocess, target.preprocess, strict=True)):
            source = index - cell.num_inputs + number
            _copy(module, into, kept[source] if source >= 0 else None)
    for module, into in others:
        _copy(module, into, kept[-1])


def estimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Estimate the statistics of all batch norms anew: their plain mean over batches of images, nothing dropping.

    Args:
        network: a `Network` or a `SuperNet`; it is left in the mode, training or evaluation, that it was in.
        batches: images (N, C, *S) each; none: the statistics stay.
    """
    norms = [module for module in network.modules() if isinstance(module, _Norm)]
    momenta, training = [norm.momentum for norm in norms], network.training
    network.train()
    with torch.no_grad():
        for number, images in enumerate(batches):
            for norm in norms:
                norm.momentum = 1.0 / (number + 1)
            network(images, paths=Draw(None))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(training)


def _copy(source: nn.Module, target: nn.Module, columns: Sequence[int] | None = None) -> None:
    """Copy a module's weights; `columns`: the input channels that the target still has, where it has fewer."""
    wanted, state = target.state_dict(), source.state_dict()
    for name, value in state.items():
        if columns is not None and value.dim() > 1 and value.shape != wanted[name].shape:
            state[name] = value[:, list(columns)]
    target.load_state_dict(state, strict=False)


def _kept_channels(cell: MixedCell, target: Cell) -> list[int]:
    """The channels of a supernet cell's output that the discovered cell puts out too."""
    nodes = [cell.concat.index(node) for node in target.concat]
    return [node * cell.channels + channel for node in nodes for channel in range(cell.channels)]


def _kept_operations(cell: MixedCell, target: Cell) -> list[tuple[int, int, int]]:
    """(edge of the supernet, position in its list, edge of the genotype); parallel edges are taken in their order."""
    edges = cell.candidates.edges
    free, found = list(range(len(edges))), []
    for kept, wanted in enumerate(target.genotype.edges):
        ends = (wanted.source, wanted.target)
        edge = next(edge for edge in free if edges[edge][:2] == ends and wanted.operation in edges[edge].operations)
        free.remove(edge)
        found.append((edge, edges[edge].operations.index(wanted.operation), kept))
    return found
