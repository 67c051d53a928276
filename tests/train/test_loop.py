import math
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from nasdrop.drop import Draw, DropScheduler, PathDrop, Schedule
from nasdrop.errors import ConfigError, DataError, DropError, RunError, RunFolderError
from nasdrop.settings import TrainSettings
from nasdrop.train import DivergedError, Recorder, evaluate, fit, learning_rate, read_metrics, train_batches
from nasdrop.train import checkpoint as checkpoints

SETTINGS = TrainSettings(batch_size=16, learning_rate=0.05)
SCHEDULE = Schedule(0.3)


class Stop(Exception):
    """What a pruner raises."""


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def told(report):
    """A report without what differs between two equal trainings."""
    return vars(report) | {"seconds": 0, "images_per_second": 0, "memory_mib": 0, "replayed": False}


# ---- learning rate ----


def test_the_rate_starts_and_ends_where_it_should():
    settings = TrainSettings(learning_rate=0.4, final_learning_rate=0.1)
    assert learning_rate(settings, 0, 7, 10) == pytest.approx(0.4)
    assert learning_rate(settings, 35, 7, 10) == pytest.approx(0.25)
    assert learning_rate(settings, 69, 7, 10) == pytest.approx(0.1, abs=1e-3)
    assert learning_rate(settings, 70, 7, 10) == pytest.approx(0.1)


def test_the_rate_is_torchs_cosine_at_the_beginning_of_each_epoch():
    settings = TrainSettings(learning_rate=0.3, final_learning_rate=0.01)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12, eta_min=0.01)
    for epoch in range(12):
        assert learning_rate(settings, epoch * 5, 5, 12) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


def test_the_published_fractal_decay_divides_by_ten_at_200_300_350_and_375_of_400_epochs():
    settings = TrainSettings(learning_rate=0.02, decay="halving")
    rates = [learning_rate(settings, epoch * 3, 3, 400) for epoch in range(400)]
    changes = [epoch for epoch in range(1, 400) if rates[epoch] != rates[epoch - 1]]
    assert changes == [200, 300, 350, 375]
    assert rates[0] == 0.02
    assert rates[-1] == pytest.approx(0.02 / 10_000)


def test_warm_up_is_a_line_that_ends_at_the_full_rate():
    settings = TrainSettings(learning_rate=0.4, warmup_epochs=2)
    rates = [learning_rate(settings, step, 5, 10) for step in range(50)]
    assert rates[:10] == pytest.approx([0.04 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(0.4)
    assert all(a >= b for a, b in pairwise(rates[9:]))


# ---- the loop against a plain one ----


def plain_training(network, data, settings, epochs, seed):
    """The same training written with torch's slow, plain parts, in the contiguous format."""
    options = {"momentum": settings.momentum, "weight_decay": settings.weight_decay}
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0, foreach=False, fused=False, **options)
    losses, step = [], 0
    for epoch in range(epochs):
        network.train()
        for images, labels in train_batches(data.train, data, settings, seed=seed, epoch=epoch):
            output = network(images.contiguous())
            logits, extra = output if isinstance(output, tuple) else (output, None)
            loss = functional.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
            if extra is not None:
                more = functional.cross_entropy(extra, labels, label_smoothing=settings.label_smoothing)
                loss = loss + settings.auxiliary_weight * more
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip or math.inf, foreach=False)
            optimizer.param_groups[0]["lr"] = learning_rate(
                settings, step, len(data.train) // settings.batch_size, epochs
            )
            optimizer.step()
            losses.append(loss.item())
            step += 1
    return losses


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"gradient_clip": 0.05},
        {"gradient_clip": 0.0},
        {"label_smoothing": 0.1},
        {"channels_last": False},
        {"weight_decay": 0.1, "momentum": 0.5, "warmup_epochs": 1, "final_learning_rate": 0.01},
        {"crop_padding": 1, "flip": True, "cutout": 3},
    ],
)
def test_it_is_sgd_as_written_plainly(random_data, make_net, change):
    data, settings = random_data(), SETTINGS.model_copy(update=change)
    network, reference = make_net(classes=4, dropout=0.0), make_net(classes=4, dropout=0.0)
    result = fit(network, data, settings, epochs=2, seed=5)
    losses = plain_training(reference, data, settings, 2, 5)
    assert result.history[0].train_loss == pytest.approx(sum(losses[:4]) / 4, rel=1e-4)
    assert result.history[1].train_loss == pytest.approx(sum(losses[4:]) / 4, rel=1e-4)
    for name, tensor in reference.state_dict().items():
        assert torch.allclose(network.state_dict()[name], tensor, rtol=1e-3, atol=1e-5), name


def test_an_auxiliary_head_counts_with_its_weight(random_data, twice):
    data, settings = random_data(classes=10), SETTINGS.model_copy(update={"auxiliary_weight": 0.7})
    reference = type(twice)()
    reference.load_state_dict(twice.state_dict())
    result = fit(twice, data, settings, epochs=1)
    losses = plain_training(reference, data, settings, 1, 0)
    assert result.history[0].train_loss == pytest.approx(sum(losses) / 4, rel=1e-5)
    assert torch.allclose(twice.extra.weight, reference.extra.weight, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("ndim", "shape"), [(1, (2, 12)), (2, (3, 6, 6)), (3, (1, 6, 6, 6))])
def test_signals_images_and_volumes_are_learnt(random_data, make_net, ndim, shape):
    data = random_data(shape, train=128, valid=64)
    network = make_net(channels=shape[0], classes=4, ndim=ndim)
    settings = SETTINGS.model_copy(update={"crop_padding": 1, "flip": True, "cutout": 1})
    result = fit(network, data, settings, schedule=SCHEDULE, epochs=8)
    assert result.history[-1].train_loss < result.history[0].train_loss
    assert result.valid.accuracy > 0.6


def test_real_digits_are_learnt(digits, make_net):
    network = make_net(width=16)
    result = fit(network, digits, TrainSettings(batch_size=64, learning_rate=0.2), schedule=Schedule(0.1), epochs=5)
    assert result.valid.accuracy > 0.8
    assert evaluate(network, digits.test, digits).accuracy > 0.8
    assert not network.training


def test_frozen_weights_stay(random_data, make_net):
    network = make_net(classes=4)
    network.stem.weight.requires_grad_(False)
    before = network.stem.weight.clone()
    fit(network, random_data(), SETTINGS, epochs=1)
    assert torch.equal(network.stem.weight, before)


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_autocast_trains_in_half_precision_and_keeps_the_weights_in_full(random_data, twice, kind):
    types = []
    twice.main.register_forward_hook(lambda _module, _inputs, output: types.append(output.dtype))
    result = fit(twice, random_data(classes=10), SETTINGS.model_copy(update={"autocast": kind}), epochs=3)
    assert set(types) == {getattr(torch, kind)}
    assert twice.main.weight.dtype == torch.float32
    assert result.history[-1].train_loss < result.history[0].train_loss


# ---- what it tells ----


def test_reports_are_of_every_epoch_and_of_the_full_budget(random_data, make_net):
    reports = []
    data, network = random_data(), make_net(classes=4)
    result = fit(network, data, SETTINGS, epochs=2, full_epochs=5, on_epoch=reports.append)
    assert tuple(reports) == result.history
    assert [(report.epoch, report.epochs, report.replayed) for report in reports] == [(0, 5, False), (1, 5, False)]
    assert reports[1].learning_rate == learning_rate(SETTINGS, 7, 4, 5)
    assert reports[1].valid == evaluate(network, data.valid, data)
    assert result.resumed_at == 0


def test_without_validation_images_nothing_is_scored(random_data, make_net):
    assert fit(make_net(classes=4), random_data().merged(), SETTINGS, epochs=1).valid is None


def test_epochs_come_from_the_settings_where_nothing_else_is_said(random_data, make_net):
    settings = SETTINGS.model_copy(update={"epochs": 3})
    assert len(fit(make_net(classes=4), random_data(), settings).history) == 3


def test_everything_is_recorded(random_data, make_net, tmp_path):
    with Recorder(tmp_path) as recorder:
        fit(make_net(classes=4), random_data(), SETTINGS, schedule=SCHEDULE, epochs=2, recorder=recorder)
    first, second = read_metrics(tmp_path / "metrics.jsonl")
    assert (first["step"], second["step"]) == (0, 1)
    assert first.keys() >= {"train/loss", "train/accuracy", "train/learning_rate", "valid/loss", "valid/accuracy"}
    assert second["drop/planned/mean"] == pytest.approx(0.15)
    assert second["drop/realised/cell_00"] == pytest.approx(0.15, abs=0.2)


def test_the_callers_random_state_does_not_matter_and_is_kept(random_data, make_net):
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        network = make_net(classes=4)
        fit(network, random_data(), SETTINGS, schedule=SCHEDULE, epochs=2)
        assert torch.equal(torch.get_rng_state(), before)
        states.append(network.state_dict())
    assert same(*states)


def test_deterministic_algorithms_are_used_inside_only(random_data, make_net):
    seen = []
    network = make_net(classes=4)
    network.register_forward_hook(lambda *_: seen.append(torch.are_deterministic_algorithms_enabled()))
    before = torch.are_deterministic_algorithms_enabled()
    fit(network, random_data(), SETTINGS.model_copy(update={"deterministic": True}), epochs=1)
    assert all(seen)
    assert torch.are_deterministic_algorithms_enabled() == before


class CountReads(TorchDispatchMode):
    """Counts values read from the device."""

    reads = 0

    def __torch_dispatch__(self, function, _types, arguments=(), options=None):
        if function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            self.reads += 1
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("kind", ["none", "float16"])
def test_no_step_reads_from_the_device(random_data, make_net, kind):
    def reads(train):
        settings = SETTINGS.model_copy(update={"crop_padding": 1, "flip": True, "cutout": 2, "autocast": kind})
        with CountReads() as counter:
            fit(make_net(classes=4), random_data(train=train), settings, schedule=SCHEDULE, epochs=1)
        return counter.reads

    assert reads(train=32) == reads(train=320)


# ---- drop ----


def test_one_draw_a_step_is_passed_in_and_is_that_of_seed_epoch_and_step(random_data, make_net):
    network = make_net(classes=4)
    fit(network, random_data().merged(), SETTINGS, schedule=Schedule(0.3, "constant"), seed=9, epochs=2)
    assert len(network.seen) == 10  # 80 images, 16 a step
    for number, draw in enumerate(network.seen):
        expected = network.path_drop.draw(torch.full((2,), 0.3), 16, 9, number // 5, number % 5)
        assert torch.equal(draw.factors, expected.factors)


def test_planned_rates_are_of_the_full_budget_and_realised_ones_are_counted(random_data, make_net):
    network, data = make_net(classes=4), random_data(train=640)
    result = fit(network, data, SETTINGS, schedule=Schedule(0.4), epochs=3, full_epochs=4)
    for report in result.history:
        rate = 0.4 * report.epoch / 4
        assert report.planned == pytest.approx({"left": rate, "right": rate})
        assert report.realised.keys() == report.planned.keys()
        for share in report.realised.values():
            assert abs(share - rate) <= 4 * math.sqrt(rate * (1 - rate) / 640)
    counted = [draw.factors for draw in network.seen if draw is not None]
    assert len(counted) == 3 * 40
    share = torch.cat(counted[-40:], dim=1).eq(0).float().mean(1).tolist()
    assert list(result.history[-1].realised.values()) == pytest.approx(share)


def test_a_clock_of_steps_moves_within_an_epoch(random_data, make_net, monkeypatch):
    rates = []
    draw = PathDrop.draw

    def spy(self, values, *arguments, **options):
        rates.append(values[0].item())
        return draw(self, values, *arguments, **options)

    monkeypatch.setattr(PathDrop, "draw", spy)
    schedule = Schedule(0.4, clock="step")
    fit(make_net(classes=4), random_data(), SETTINGS, schedule=schedule, epochs=2)
    assert rates == pytest.approx([schedule.rate(schedule.progress(step=step, steps=8)) for step in range(8)])
    assert len(set(rates)) == 8


def test_rates_are_set_once_an_epoch_where_nothing_changes_within(random_data, make_net, monkeypatch):
    calls = []
    step = DropScheduler.step
    monkeypatch.setattr(
        DropScheduler, "step", lambda self, *arguments, **options: (calls.append(1), step(self, *arguments, **options))
    )
    fit(make_net(classes=4), random_data(train=320), SETTINGS, schedule=SCHEDULE, epochs=2)
    assert len(calls) <= 5  # one at the start, then two an epoch, of 20 steps each


def test_a_rate_of_zero_drops_nothing_and_draws_nothing(random_data, make_net):
    network = make_net(classes=4)
    result = fit(network, random_data().merged(), SETTINGS, schedule=Schedule(0.0), epochs=1)
    assert set(network.seen) == {Draw(None)}
    assert result.history[0].planned == {"left": 0.0, "right": 0.0}
    assert result.history[0].realised == {}


def test_without_a_schedule_the_network_is_left_to_itself(random_data, make_net):
    network = make_net(classes=4)
    network.path_drop.set_rates(0.5)
    result = fit(network, random_data(), SETTINGS, epochs=1)
    assert set(network.seen) == {None}
    assert network.path_drop.rates.tolist() == [0.5, 0.5]
    assert result.history[0].planned == {}


def test_a_schedule_for_a_network_that_cannot_drop_is_an_error(random_data, twice):
    with pytest.raises(DropError, match="needs something to drive"):
        fit(twice, random_data(classes=10), SETTINGS, schedule=SCHEDULE, epochs=1)


def test_a_foreign_network_is_driven_by_its_own_modules(random_data):
    dropout = nn.Dropout(0.9)
    network = nn.Sequential(nn.Flatten(), dropout, nn.Linear(64, 4))
    result = fit(network, random_data(), SETTINGS, schedule=Schedule(0.4), epochs=2)
    assert dropout.p == pytest.approx(0.2)
    assert list(result.history[1].planned.values()) == pytest.approx([0.2])


# ---- what goes wrong ----


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_the_last_good_epoch(random_data, make_net, tmp_path):
    network, path = make_net(classes=4), tmp_path / "state.pt"

    def poison(report):
        if report.epoch == 1:
            network.classifier.weight.data.fill_(math.nan)

    with pytest.raises(DivergedError, match="epoch 3: the training loss must be finite, got nan") as caught:
        fit(network, random_data(), SETTINGS, epochs=4, checkpoint=path, on_epoch=poison)
    assert isinstance(caught.value, RunError)
    assert len(checkpoints.load(path)["history"]) == 2
    with pytest.raises(DivergedError, match="epoch 1"):
        fit(make_net(classes=4), random_data(), SETTINGS.model_copy(update={"learning_rate": 1e30}), epochs=3)


def test_a_validation_loss_that_is_not_finite_is_seen_too(random_data, make_net):
    data = random_data(train=16)  # one step: its loss is finite, and what it leaves behind is not
    settings = SETTINGS.model_copy(update={"learning_rate": 1e38, "gradient_clip": 0.0})
    with pytest.raises(DivergedError, match="epoch 1: the validation loss"):
        fit(make_net(classes=4), data, settings, epochs=2)


@pytest.mark.parametrize(
    ("options", "change", "line"),
    [
        ({"epochs": 5, "full_epochs": 4}, {}, r"epochs must be at most full_epochs \(4\), got 5"),
        ({"epochs": 2}, {"warmup_epochs": 2}, "train.warmup_epochs: must be below the 2 epochs, got 2"),
    ],
)
def test_budgets_must_fit_each_other(random_data, make_net, options, change, line):
    with pytest.raises(ConfigError, match=line):
        fit(make_net(classes=4), random_data(), SETTINGS.model_copy(update=change), **options)


def test_one_image_is_too_few(random_data, make_net):
    with pytest.raises(DataError, match="at least 2 images"):
        fit(make_net(classes=4), random_data(train=1), SETTINGS, epochs=1)


# ---- resuming ----

BUSY = SETTINGS.model_copy(update={"crop_padding": 1, "flip": True, "cutout": 2})


def train(make_net, data, settings=BUSY, **options):
    network = make_net(classes=4)
    result = fit(network, data, settings, schedule=SCHEDULE, seed=3, epochs=options.pop("epochs", 4), **options)
    return network.state_dict(), result


@pytest.mark.parametrize("last", [0, 1, 2, 3])
def test_a_training_that_was_broken_off_ends_with_the_bits_of_an_unbroken_one(random_data, make_net, tmp_path, last):
    data, path, reports = random_data(), tmp_path / "state.pt", []
    unbroken, history = train(make_net, data)

    def stop(report):
        if report.epoch == last:
            raise Stop

    with pytest.raises(Stop):
        train(make_net, data, checkpoint=path, on_epoch=stop)
    torch.manual_seed(99)
    resumed, result = train(make_net, data, checkpoint=path, on_epoch=reports.append)
    assert same(resumed, unbroken)
    assert [told(report) for report in result.history] == [told(report) for report in history.history]
    assert [report.replayed for report in reports] == [epoch <= last for epoch in range(4)]
    assert result.resumed_at == last + 1


def test_a_budget_may_be_spent_in_pieces(random_data, make_net, tmp_path):
    data, path = random_data(), tmp_path / "state.pt"
    unbroken, _ = train(make_net, data)
    for epochs in (1, 2, 4):
        pieces, _ = train(make_net, data, checkpoint=path, epochs=epochs, full_epochs=4)
    assert same(pieces, unbroken)


def test_the_loss_scale_goes_on_where_it_was(random_data, twice, tmp_path):
    data, settings = random_data(classes=10), BUSY.model_copy(update={"autocast": "float16"})
    path = tmp_path / "state.pt"
    fit(twice, data, settings, epochs=1, full_epochs=2, checkpoint=path)
    state = checkpoints.load(path)
    checkpoints.save(path, state | {"scaler": state["scaler"] | {"scale": 4.0}})
    fit(twice, data, settings, epochs=2, checkpoint=path)
    assert checkpoints.load(path)["scaler"]["scale"] == 4.0


@pytest.mark.parametrize("kind", ["none", "float16"])
def test_momentum_is_resumed_too(random_data, twice, tmp_path, kind):
    data, settings = random_data(classes=10), BUSY.model_copy(update={"autocast": kind})
    start = {name: tensor.clone() for name, tensor in twice.state_dict().items()}
    fit(twice, data, settings, epochs=3)
    unbroken = {name: tensor.clone() for name, tensor in twice.state_dict().items()}
    for epochs in (1, 3):
        twice.load_state_dict(start)
        fit(twice, data, settings, epochs=epochs, full_epochs=3, checkpoint=tmp_path / "state.pt")
    assert same(twice.state_dict(), unbroken)


def test_a_finished_training_is_only_told_again(random_data, make_net, tmp_path):
    data, path, reports = random_data(), tmp_path / "state.pt", []
    first, _ = train(make_net, data, checkpoint=path)
    before = path.read_bytes()
    again, result = train(make_net, data, checkpoint=path, on_epoch=reports.append)
    assert same(first, again)
    assert len(reports) == len(result.history) == result.resumed_at == 4
    assert path.read_bytes() == before


def test_an_epoch_recorded_twice_counts_once(random_data, make_net, tmp_path):
    """A kill between record and checkpoint repeats an epoch; the records then hold it once, with the same numbers."""
    data, path = random_data(), tmp_path / "state.pt"
    with Recorder(tmp_path, tensorboard=False) as recorder:
        train(make_net, data, checkpoint=path, recorder=recorder, epochs=1, full_epochs=4)
    kept = path.read_bytes()
    with Recorder(tmp_path, tensorboard=False) as recorder:
        train(make_net, data, checkpoint=path, recorder=recorder, epochs=2, full_epochs=4)
    before = read_metrics(tmp_path / "metrics.jsonl")
    path.write_bytes(kept)
    with Recorder(tmp_path, tensorboard=False) as recorder:
        train(make_net, data, checkpoint=path, recorder=recorder, epochs=2, full_epochs=4)
    after = read_metrics(tmp_path / "metrics.jsonl")
    drop = {"time", "train/seconds", "train/images_per_second", "train/memory_mib"}
    assert [{k: v for k, v in r.items() if k not in drop} for r in after] == [
        {k: v for k, v in r.items() if k not in drop} for r in before
    ]


def test_a_checkpoint_of_another_training_is_refused_with_all_that_differs(random_data, make_net, tmp_path):
    path = tmp_path / "state.pt"
    fit(make_net(classes=4), random_data(), BUSY, schedule=SCHEDULE, seed=3, epochs=1, full_epochs=4, checkpoint=path)
    before = path.read_bytes()
    other = BUSY.model_copy(update={"learning_rate": 0.06})
    with pytest.raises(RunFolderError) as caught:
        fit(make_net(classes=4), random_data(), other, schedule=SCHEDULE, seed=4, epochs=4, checkpoint=path)
    assert [line.split(": ")[2] for line in caught.value.lines] == [
        "seed is 3 there, 4 here",
        "learning_rate is 0.05 there, 0.06 here",
    ]
    with pytest.raises(RunFolderError, match="belongs to another network"):
        fit(make_net(classes=4, width=8), random_data(), BUSY, schedule=SCHEDULE, seed=3, epochs=4, checkpoint=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [{"identity": None}, {"history": None}, {"history": [{}]}, {"optimizer": {}}, {"network": 3}],
)
def test_a_checkpoint_of_another_form_is_refused(random_data, make_net, tmp_path, change):
    path = tmp_path / "state.pt"
    train(make_net, random_data(), checkpoint=path, epochs=1, full_epochs=4)
    checkpoints.save(path, checkpoints.load(path) | change)
    with pytest.raises(RunFolderError, match=r"state\.pt"):
        train(make_net, random_data(), checkpoint=path)


SCRIPT = Path(__file__).with_name("resume_process.py")


@pytest.mark.parametrize(("stop", "step"), [(11, 0), (13, 3)])
def test_kill_9_in_the_middle_of_an_epoch_loses_no_bit(random_data, make_net, tmp_path, stop, step):
    path, result = tmp_path / "state.pt", tmp_path / "network.pt"
    command = [sys.executable, str(SCRIPT), str(path), str(result)]
    with subprocess.Popen([*command, str(stop)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"  # 4 steps and an evaluation an epoch: two epochs and the rest
        process.send_signal(signal.SIGKILL)
    kept = checkpoints.load(path)
    assert (len(kept["history"]), kept["step"]) == (2, step)
    subprocess.run(command, check=True, timeout=60)
    settings = BUSY.model_copy(update={"ema": 0.9, "checkpoint_steps": 3})
    unbroken, _ = train(make_net, random_data(), settings)  # on one thread, as there: more have other roundings
    assert same(torch.load(result), unbroken)
