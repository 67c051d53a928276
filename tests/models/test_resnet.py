"""The reference network: its published size, its paths, and how near it comes to a wanted size."""

import pytest
import torch

from nasdrop.drop import Draw, DropScheduler, Schedule
from nasdrop.models.resnet import ResNet, count_parameters, resnet_of


def size(network):
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(("blocks", "millions"), [(3, 0.27), (5, 0.46), (9, 0.85)])
def test_published_sizes(blocks, millions):
    """Table 6 of arXiv:1512.03385; its shortcuts have no weights, ours are projections, 2.7 k more."""
    network = ResNet((16, 32, 64), blocks, 10, 3)
    assert round((size(network) - 16 * 32 - 2 * 32 - 32 * 64 - 2 * 64) / 1e6, 2) == millions


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_count_without_building(ndim):
    for widths in ((3, 3, 6), (2, 5, 9)):
        network = ResNet(widths, 2, 7, 3, ndim=ndim)
        assert count_parameters(widths, 2, 7, 3, ndim=ndim) == size(network)


@pytest.mark.parametrize("wanted", [5_000, 21_000, 300_000])
def test_as_near_as_widths_allow(wanted):
    found = size(resnet_of(wanted, 10, 1))
    assert found == pytest.approx(wanted, rel=0.1)
    assert size(resnet_of(1, 10, 1)) == count_parameters((1, 1, 1), 3, 10, 1, ndim=2)


def test_a_dropped_branch_leaves_the_shortcut():
    network = ResNet((2, 3, 4), 1, 5, 1)
    x = torch.randn(3, 1, 8, 8)
    factors = torch.ones(3, 3)
    factors[1, 2] = 0.0
    whole, dropped = network(x, Draw(torch.ones(3, 3))), network(x, Draw(factors))
    assert not torch.allclose(whole[2], dropped[2]) and dropped.shape == (3, 5)
    torch.testing.assert_close(network(x, Draw(None)), whole)


def test_the_schedule_finds_its_paths():
    network = ResNet((2, 3, 4), 2, 5, 1)
    DropScheduler(network, Schedule(0.3), epochs=3).step(2)
    assert (network.path_drop.rates > 0).all()
    network.eval()
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(network(x), network(x))
