import pytest
import torch
from torch import nn

from nasdrop.errors import DataError
from nasdrop.train.data import Images
from nasdrop.train.statistics import reestimate


class Branching(nn.Module):
    """A batch norm behind dropout that is used, one that is not, and one without statistics."""

    def __init__(self):
        super().__init__()
        self.dropout, self.used, self.unused = nn.Dropout(0.5), nn.BatchNorm2d(1), nn.BatchNorm2d(1)
        self.batchwise = nn.BatchNorm2d(1, track_running_stats=False)

    def forward(self, x):
        return self.batchwise(self.used(self.dropout(x))).flatten(1)


def test_statistics_are_means_over_batches_as_evaluation_sees_them(random_data):
    data, network = random_data(train=70), Branching()
    network.train()
    network.used.running_mean.fill_(9.0)
    network.unused.running_mean.fill_(7.0)
    state = torch.get_rng_state()
    assert reestimate(network, data.train, data, batch_size=32) == 1
    batches = (data.train.pixels[:64].float() - data.mean[0]).div(data.std[0]).view(2, 32, *data.shape)
    torch.testing.assert_close(network.used.running_mean, batches.mean().view(1))
    torch.testing.assert_close(network.used.running_var, batches.flatten(1).var(1).mean().view(1))
    assert network.unused.running_mean.item() == 7.0
    assert network.used.momentum == network.unused.momentum == 0.1
    assert all(module.training for module in network.modules())
    assert not network.used._forward_pre_hooks
    assert torch.equal(torch.get_rng_state(), state)


def test_few_images_are_one_batch(random_data):
    data, network = random_data(train=3), Branching()
    assert reestimate(network, data.train, data, batch_size=32) == 1
    assert network.used.num_batches_tracked == 1
    with pytest.raises(DataError, match="must have at least 2 images, got 1"):
        reestimate(network, Images(data.train.pixels[:1], data.train.labels[:1]), data)
