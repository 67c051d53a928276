"""The moving average of weights, against the recurrence written out."""

import pytest
import torch
from torch import nn

from nasdrop.settings import TrainSettings
from nasdrop.train import evaluate, fit
from nasdrop.train.average import WeightAverage


def wander(network):
    """Change every weight and buffer."""
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(torch.ones_like(value))


@pytest.mark.parametrize("decay", [0.0, 0.15, 0.9])
def test_the_recurrence(decay):
    network = nn.BatchNorm1d(3)
    expected = {name: value.clone().double() for name, value in network.state_dict().items()}
    average = WeightAverage(network, decay)
    for step in range(12):
        wander(network)
        average.update(step)
        kept = min(decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            moved = kept * expected[name] + (1 - kept) * value
            expected[name] = moved if value.is_floating_point() else value.double()
    for name, value in average.state().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-6, atol=0, msg=name)


def test_applied_swaps_for_a_while(make_net):
    network = make_net()
    average = WeightAverage(network, 0.9)
    first = {name: value.clone() for name, value in network.state_dict().items()}
    wander(network)
    moved = {name: value.clone() for name, value in network.state_dict().items()}
    with average.applied():
        assert all(torch.equal(value, first[name]) for name, value in network.state_dict().items())
    assert all(torch.equal(value, moved[name]) for name, value in network.state_dict().items())


def test_a_training_is_scored_as_and_ends_as_the_average(make_net, random_data):
    data, settings = random_data(), TrainSettings(batch_size=16, learning_rate=0.05, ema=0.9)
    network, plain = make_net(classes=4), make_net(classes=4)
    result = fit(network, data, settings, epochs=3)
    fit(plain, data, settings.model_copy(update={"ema": 0.0}), epochs=3)
    assert evaluate(network, data.valid, data).loss == result.valid.loss
    assert not torch.equal(network.norm.running_mean, plain.norm.running_mean)
    assert not torch.equal(network.left.weight, plain.left.weight)
    assert torch.equal(network.norm.num_batches_tracked, plain.norm.num_batches_tracked)
    assert result.history[-1].train_loss == fit(make_net(classes=4), data, settings, epochs=3).history[-1].train_loss
