"""Whose statistics batch norm uses; those of several processes are tested in test_ranks.py."""

import torch

from nasdrop.settings import TrainSettings
from nasdrop.train import ALONE, fit
from nasdrop.train.norms import sharing_statistics


def test_frozen_statistics_stay_and_the_scale_learns(make_net, random_data):
    network = make_net(classes=4)
    network.norm.running_mean.fill_(0.3)
    settings = TrainSettings(batch_size=16, norm_statistics="frozen", epochs=1)
    fit(network, random_data(), settings)
    assert torch.equal(network.norm.running_mean, torch.full((6,), 0.3))
    assert not torch.equal(network.norm.weight, torch.ones(6))


def test_a_lone_process_uses_torchs_own(make_net):
    network = make_net()
    with sharing_statistics(network, "global", ALONE):
        assert "forward" not in vars(network.norm)
