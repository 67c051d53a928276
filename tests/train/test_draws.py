"""Fractal networks in the training loop: draws, shares over time, scores of columns, column networks."""

import pytest
import torch
from torch.nn import functional

from nasdrop.drop import Schedule
from nasdrop.models.fractal import FractalNet
from nasdrop.settings import TrainSettings
from nasdrop.train import Recorder, fit, read_metrics
from nasdrop.train.draws import StepDraws

SETTINGS = TrainSettings(batch_size=16, learning_rate=0.02)
LOCAL = Schedule(0.15, "constant")


def make_fractal(**options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FractalNet(3, 2, (4, 6), 4, 1, **options)


def test_columns_are_drawn_counted_scored_and_recorded(random_data, tmp_path):
    network = make_fractal(drop={"mode": "row"})
    with Recorder(tmp_path, tensorboard=False) as recorder:
        (report,) = fit(network, random_data(train=160), SETTINGS, schedule=LOCAL, epochs=1, recorder=recorder).history
    assert set(report.parts) == {"column_0", "column_1", "column_2"}
    assert all(0 <= accuracy <= 1 for accuracy in report.parts.values())
    assert set(report.drawn) == {"local", "column 0", "column 1", "column 2"}
    assert sum(report.drawn.values()) == pytest.approx(1)
    (record,) = read_metrics(tmp_path / "metrics.jsonl")
    assert record["valid/column_2"] == report.parts["column_2"]
    assert record["fractal/drawn/column_1"] == report.drawn["column 1"]
    joins = {tag: value for tag, value in record.items() if tag.startswith("fractal/live_inputs/")}
    assert len(joins) == 4
    # A join in the middle has no input where the shallowest column runs alone; a last one always has one or more.
    assert joins["fractal/live_inputs/join_01"] > 1 > joins["fractal/live_inputs/join_00"] - 1


def test_weights_may_be_used_for_the_first_time_in_a_later_step(random_data):
    network = make_fractal(drop={"policy": "global"})
    before = [weight.clone() for weight in network.parameters()]
    report = fit(network, random_data(train=320), SETTINGS, schedule=Schedule(0.0), epochs=1).history[0]
    assert min(report.drawn[f"column {c}"] for c in range(3)) > 0
    assert not any(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_the_share_of_single_columns_follows_its_own_schedule():
    network = make_fractal()
    draws = StepDraws(network, LOCAL, 0, 5, 4, global_share=Schedule(1.0, "linear"))
    for epoch in range(5):
        draws.paths(8, epoch, 0)
        assert float(network.path_drop.global_share) == pytest.approx(epoch / 5)


@pytest.mark.parametrize(("p", "share", "draws"), [(0.0, 0.0, False), (0.0, 1.0, True), (0.2, 0.0, True)])
def test_nothing_is_drawn_only_where_neither_local_nor_global_drop_is_on(p, share, draws):
    step = StepDraws(make_fractal(), Schedule(p, "constant"), 0, 1, 4, global_share=Schedule(share, "constant"))
    drawn = step.paths(8, 0, 0)["paths"]
    assert (drawn.factors is not None) is draws
    assert StepDraws(make_fractal(), Schedule(0.0), 0, 1, 4).never is False  # the policy's own half


def test_column_networks_weigh_one_all_together(random_data):
    """One step of plain SGD from the loss of the paper's code: local network 1, each of three columns 1/3."""
    data = random_data(train=16, valid=0)
    settings = SETTINGS.model_copy(update={"momentum": 0.0, "weight_decay": 0.0, "gradient_clip": 0.0})
    options = {"column_networks": True, "dropout": [0.0, 0.0]}
    trained, plain = make_fractal(**options), make_fractal(**options)
    fit(trained, data, settings, schedule=Schedule(0.0), epochs=1)
    plain.train().path_drop.set_rates(0.0)
    whole, columns = plain((data.train.pixels.float() - data.mean[0]) / data.std[0])
    losses = [functional.cross_entropy(logits, data.train.labels) for logits in (whole, *columns)]
    (losses[0] + sum(losses[1:]) / 3).backward()
    for after, before in zip(trained.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(after, before - settings.learning_rate * before.grad)
