"""Means of path rates, by hand; and that event files hold exactly what was planned and what was counted."""

import random

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils._python_dispatch import TorchDispatchMode

from nasdrop.drop import Path, PathDrop, Schedule
from nasdrop.models.fractal import FractalNet
from nasdrop.models.network import Network
from nasdrop.settings import TrainSettings
from nasdrop.space import SearchSpace
from nasdrop.train import Recorder, fit
from nasdrop.train.rates import drop_charts, drop_means, fractal_charts, live_inputs
from nasdrop.train.report import CHARTS, charts

PATHS = PathDrop(
    [
        Path("a", 0, 0, 0.5, place="normal/edge_00"),
        Path("b", 0, 0, 0.5, identity=True, place="normal/edge_01"),
        Path("c", 1, 1, 1.0, place="normal/edge_00"),
        Path("d", 1, 1, 1.0, place="normal/edge_01"),
    ],
    exempt_identity=True,
)
RATES = {"a": 0.2, "b": 0.0, "c": 0.3, "d": 0.5, "head.dropout": 0.7}
SETTINGS = TrainSettings(batch_size=16, learning_rate=0.02)


def test_rates_are_means_over_the_paths_that_can_drop():
    wanted = {
        "cell_00": 0.2, "cell_01": 0.4, "mean": 1.0 / 3, "normal/edge_00": 0.25, "normal/edge_01": 0.5,
        "head.dropout": 0.7,
    }  # fmt: skip
    assert drop_means(RATES, PATHS) == pytest.approx(wanted)
    assert drop_means({}, PATHS) == {}
    assert drop_means({"head.dropout": 0.7}, None) == {"head.dropout": 0.7}


def test_candidates_of_all_cells_of_a_kind_are_told_by_operation():
    names = ("sep_conv_3x3", "skip_connect")
    paths = [
        Path(f"{edge}.{name}", edge, 0, 1.0, name, edge=edge, place=f"normal/edge_{edge:02d}")
        for edge in range(2)
        for name in names
    ]
    groups = PathDrop(paths, "groups", "batch")
    rates = dict(zip((path.name for path in paths), (0.1, 0.2, 0.3, 0.6), strict=True))
    wanted = {
        "mean": 0.3, "operation/sep_conv_3x3": 0.2, "operation/skip_connect": 0.4,
        "normal/edge_00": 0.15, "normal/edge_01": 0.45,
    }  # fmt: skip
    assert drop_means(rates, groups) == pytest.approx(wanted)
    assert any("operation" in name for name in drop_charts(groups)["Drop schedule"])


def test_a_chart_shows_planned_beside_realised_for_each_edge_that_can_drop():
    rows = drop_charts(PATHS)["Drop rate an edge: normal"]
    assert rows["edge 01"] == ["Multiline", ["drop/planned/normal/edge_01", "drop/realised/normal/edge_01"]]
    assert set(drop_charts(None)) == {"Drop schedule"}


def make_fractal():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FractalNet(3, 2, (4, 6), 4, 1)


def test_live_inputs_are_sums_over_a_join():
    network = make_fractal()
    realised = {path.name: 0.25 for path in network.paths}
    live = live_inputs(realised, network.path_drop)
    assert live == pytest.approx({"join_00": 1.5, "join_01": 2.25, "join_02": 1.5, "join_03": 2.25})
    assert live_inputs({}, network.path_drop) == live_inputs(realised, None) == {}


def test_only_fractal_networks_have_their_charts(make_net):
    assert set(charts(make_net())) == {*CHARTS, "Drop schedule"}
    assert fractal_charts(None) == {}
    assert {"Fractal", "Drop rate an edge: join_02"} <= set(charts(make_fractal()))


def make_network(space="tiny", **drop):
    space = SearchSpace.load(space)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        genotype = space.sample(random.Random(3))
        return Network(space, genotype, 4, 3, num_classes=4, in_channels=1, drop=drop)


@pytest.mark.parametrize("drop", [{}, {"policy": "fan-in"}, {"policy": "cell"}, {"survivors": "revive"}])
def test_event_files_hold_the_schedule_and_the_counted_masks_exactly(random_data, tmp_path, monkeypatch, drop):
    network, masks, schedule = make_network(**drop), [], Schedule(0.4, "linear")
    path_drop = network.path_drop
    draw = path_drop.draw
    monkeypatch.setattr(path_drop, "draw", lambda *a, **k: masks.append((a[3], one := draw(*a, **k))) or one)
    with Recorder(tmp_path) as recorder:
        fit(network, random_data(train=96), SETTINGS, schedule=schedule, epochs=4, recorder=recorder)
    events = EventAccumulator(str(tmp_path)).Reload()
    numbers = {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert sum(tag.startswith("drop/realised/") for tag in numbers) > 8
    for epoch in range(4):
        dropped = torch.cat([one.factors == 0 for at, one in masks if at == epoch], 1)
        shares = dict(zip((path.name for path in path_drop.paths), dropped.double().mean(1).tolist(), strict=True))
        for name, share in drop_means(shares, path_drop).items():
            assert numbers[f"drop/realised/{name}"][epoch] == np.float32(share), name
        silent = sum(
            int(dropped[[i for i, path in enumerate(path_drop.paths) if path.node == node]].all(0).sum())
            for node in {path.node for path in path_drop.paths}
        )
        assert numbers["drop/silent/realised"][epoch] == np.float32(silent / dropped.shape[1])
        path_drop.set_rates(schedule.rate(epoch / 4))  # linear over e/E: the curve by hand
        planned = (1.0 - path_drop.live(path_drop.rates)).tolist()
        names = [path.name for path in path_drop.paths]
        for name, rate in drop_means(dict(zip(names, planned, strict=True)), path_drop).items():
            assert numbers[f"drop/planned/{name}"][epoch] == np.float32(rate), name
        assert numbers["drop/silent/expected"][epoch] == np.float32(path_drop.silent())
    if not drop:
        assert numbers["drop/planned/mean"] == pytest.approx([0.0, 0.1, 0.2, 0.3], abs=1e-7)


class Synchronisations(TorchDispatchMode):
    """Counts what reads a value back from the device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_no_step_reads_the_counts_back(random_data):
    """All synchronisations of an epoch come at its end: as many with two steps as with twelve."""
    found = {}
    for images in (32, 192):
        network = make_network()
        with Synchronisations() as seen:
            fit(network, random_data(train=images, valid=0), SETTINGS, schedule=Schedule(0.4, "constant"), epochs=1)
        found[images] = seen.count
    assert found[32] == found[192] > 0
