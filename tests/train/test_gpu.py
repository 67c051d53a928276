"""What only a CUDA device can show."""

import pytest
import torch

from nasdrop.drop import Schedule
from nasdrop.settings import TrainSettings
from nasdrop.train import choose_device, evaluate, fit
from nasdrop.train.device import isolated_rng, seed_rng

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

SETTINGS = TrainSettings(batch_size=16, learning_rate=0.05)


@pytest.mark.parametrize("kind", ["none", "bfloat16", "float16"])
def test_training_on_the_device_learns_and_scores_as_on_the_cpu(random_data, make_net, kind):
    data, network = random_data(train=128), make_net(classes=4)
    settings = SETTINGS.model_copy(update={"autocast": kind, "crop_padding": 1, "flip": True, "cutout": 2})
    device = choose_device("cuda")
    result = fit(network, data, settings, schedule=Schedule(0.2), epochs=6, device=device)
    assert next(network.parameters()).device == device
    assert result.history[-1].train_loss < result.history[0].train_loss
    there = evaluate(network, data.to(device).test, data)
    here = evaluate(network.cpu(), data.test, data)
    assert here.loss == pytest.approx(there.loss, rel=1e-2)


def test_a_resumed_deterministic_training_has_equal_bits(random_data, make_net, tmp_path):
    settings = SETTINGS.model_copy(update={"deterministic": True, "crop_padding": 1})
    states = []
    for pieces in ((3,), (1, 3)):
        for epochs in pieces:
            network = make_net(classes=4)
            options = {"epochs": epochs, "full_epochs": 3, "checkpoint": tmp_path / f"{len(pieces)}.pt"}
            fit(network, random_data().to("cuda"), settings, schedule=Schedule(0.3), **options)
        states.append(network.state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_the_devices_random_state_is_kept():
    device = choose_device("cuda")
    before = torch.cuda.get_rng_state(device)
    with isolated_rng(device):
        seed_rng(device, 7)
        first = torch.rand(3, device=device)
        seed_rng(device, 7)
        assert torch.equal(first, torch.rand(3, device=device))
    assert torch.equal(torch.cuda.get_rng_state(device), before)
