"""Partial channels and edge weights, by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasdrop.drop import Draw


@pytest.mark.parametrize("space", ["darts", "nas_bench_201"])
def test_partial_channels_by_hand(space, make):
    """PC-DARTS's rule on the last node, from the states that enter it."""
    supernet = make(space, channels=8, partial_channels=4).double()
    cell = supernet.cells[1]
    states = [torch.randn(2, cell.channels, 6, 6, dtype=torch.float64) for _ in range(cell.num_inputs)]
    cell.preprocess = nn.ModuleList(nn.Identity() for _ in states)
    weights = torch.rand(*cell.candidates.shape, 1, dtype=torch.float64)
    around = torch.rand(cell.candidates.shape[0], 1, dtype=torch.float64)
    inputs = list(states)
    part = cell.channels // 4
    for _, entering in cell.plan:
        total = 0
        for edge in entering:
            source = cell.candidates.edges[edge].source
            through, rest = states[source][:, :part], states[source][:, part:]
            mixed = sum(
                weights[edge, column] * cell.edges[edge][position](through)
                for position, column in enumerate(cell.candidates.columns[edge])
            )
            if mixed.shape[2:] != rest.shape[2:]:
                rest = F.max_pool2d(rest, 2, 2)
            total = total + torch.cat((mixed, around[edge] * rest), 1)
        grouped = total.view(2, 4, part, *total.shape[2:]).transpose(1, 2)
        states.append(grouped.reshape(total.shape))
    expected = torch.cat([states[node] for node in cell.concat], 1)
    torch.testing.assert_close(cell(inputs, weights, around), expected, rtol=1e-10, atol=1e-10)


def test_partial_channels_have_smaller_operations(make, images):
    whole, part = make("darts", channels=8), make("darts", channels=8, partial_channels=4)
    sizes = [sum(p.numel() for p in net.cells[0].edges[0][4].parameters()) for net in (whole, part)]
    assert sizes == [2 * (9 * 8 + 64), 2 * (9 * 2 + 4)]
    assert part(images(dtype=torch.float32, side=9)).shape == (3, 5)


def test_edge_weights_multiply_whole_edges(make, images):
    supernet = make("darts", channels=8, partial_channels=4).double()
    edge_weights = {kind: torch.rand(14, dtype=torch.float64) for kind in supernet.alphas}
    factors = torch.stack([edge_weights[kind] for kind in supernet.mixer.kinds]).flatten()[:, None].expand(-1, 3)
    x = images()
    expected = supernet(x, paths=Draw(factors))
    torch.testing.assert_close(supernet(x, paths=Draw(None), edge_weights=edge_weights), expected)
    whole = make("darts").double()
    scaled = {kind: whole.mixture()[kind] * weights[:, None] for kind, weights in edge_weights.items()}
    torch.testing.assert_close(whole(x, paths=Draw(None), edge_weights=edge_weights), whole(x, scaled, Draw(None)))
