import pytest
import torch
from torch import nn
from torch.nn import functional

from nasdrop.errors import DataError
from nasdrop.train.data import Images
from nasdrop.train.score import evaluate


def test_a_score_is_accuracy_and_mean_cross_entropy(random_data, make_net):
    data, network = random_data(test=37), make_net(classes=4)
    score = evaluate(network, data.test, data)
    network.eval()
    with torch.no_grad():
        logits = network((data.test.pixels.float() - data.mean[0]) / data.std[0])
    correct = int((logits.argmax(1) == data.test.labels).sum())
    assert (score.correct, score.total) == (correct, 37)
    assert score.accuracy == correct / 37
    assert score.loss == pytest.approx(functional.cross_entropy(logits, data.test.labels).item(), rel=1e-5)


def test_the_batch_size_does_not_matter(random_data, make_net):
    data, network = random_data(test=37), make_net(classes=4)
    scores = [
        evaluate(network, data.test, data, batch_size=size, channels_last=size > 5) for size in (1, 5, 36, 37, 99)
    ]
    assert len({score.correct for score in scores}) == 1
    assert all(score.loss == pytest.approx(scores[0].loss, rel=1e-5) for score in scores)


def test_modes_random_state_and_weights_stay_as_they_were(random_data, make_net):
    data, network = random_data(), make_net(classes=4)
    network.train()
    network.norm.eval()  # frozen by its owner
    modes = [module.training for module in network.modules()]
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    evaluate(network, data.test, data)
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


class Noisy(nn.Module):
    """Draws even in evaluation, as a stranger's network may, and fails on demand."""

    def __init__(self, fails=False):
        super().__init__()
        self.fails = fails

    def forward(self, x):
        if self.fails:
            raise ZeroDivisionError
        return torch.randn(len(x), 4)


def test_the_random_state_survives_a_network_that_draws_and_one_that_fails(random_data):
    data, state = random_data(), torch.get_rng_state()
    evaluate(Noisy(), data.test, data)
    assert torch.equal(torch.get_rng_state(), state)
    network = Noisy(fails=True)
    with pytest.raises(ZeroDivisionError):
        evaluate(network, data.test, data)
    assert network.training


def test_autocast_reaches_the_network(random_data):
    class Probe(nn.Linear):
        def forward(self, x):
            y = super().forward(x.flatten(1))
            types.append(y.dtype)
            return y

    data, types = random_data(), []
    for kind in ("none", "bfloat16", "float16"):
        evaluate(Probe(64, 4), data.test, data, autocast=kind)
    assert types == [torch.float32, torch.bfloat16, torch.float16]


def test_no_images_is_an_error(random_data, make_net):
    data = random_data()
    empty = Images(data.test.pixels[:0], data.test.labels[:0])
    with pytest.raises(DataError, match="must have images to score on"):
        evaluate(make_net(), empty, data)
