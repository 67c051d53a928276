"""What an experiment says of its network is what is built."""

import random
from dataclasses import replace
from functools import partial

import pytest
import torch

from nasdrop.errors import ConfigError, DropError
from nasdrop.models.fractal import FractalNet
from nasdrop.searchers.training import Training, build_network
from nasdrop.settings import DataSettings, Experiment
from nasdrop.space import Genotype, SearchSpace, load_space
from nasdrop.train import Recorder, evaluate, evaluate_parts, load


def built(**drop):
    experiment = Experiment.model_validate({"name": "x", "network": {"channels": 2, "num_cells": 3}, "drop": drop})
    space = SearchSpace.load("darts")
    return build_network(experiment, space, Genotype.read("DARTS_V2"), shape=(1, 8, 8), num_classes=10)


def test_drop_settings_reach_the_network():
    drop = built(policy="node", mode="batch", survivors="redraw", at_least=2, exempt_identity=False).path_drop
    assert (drop.policy, drop.mode, drop.exempt_identity) == ("node", "batch", False)
    drop.set_rates(0.99)
    factors = drop.draw(drop.rates, 1, 0, 0, 0).factors
    kept = {}
    for path, factor in zip(drop.paths, factors[:, 0].tolist(), strict=True):
        kept[path.node] = kept.get(path.node, 0) + (factor > 0)
    assert set(kept.values()) == {2}  # both inputs of each node, although each would drop with 0.99


def test_settings_that_do_not_fit_each_other():
    with pytest.raises(DropError, match="at_least has to be 1, or above it with a survivor rule, got 2"):
        built(at_least=2)


FRACTAL = {"name": "x", "space": "fractal", "network": {"channels": 2, "num_cells": 2}, "drop": {"policy": "fractal"}}


def fractal(genotype=None, **changes):
    experiment = Experiment.model_validate({**FRACTAL, **changes})
    space = load_space("fractal")
    genotype = genotype or space.sample(random.Random(0))
    return build_network(experiment, space, genotype, shape=(1, 8, 8), num_classes=10), experiment, space, genotype


def test_a_fractal_space_has_fractal_networks():
    size = {"channels": 2, "num_cells": 2, "fractal": {"affine": True, "bias": False}}
    network, *_ = fractal(network=size, drop={"policy": "fractal", "mode": "batch", "survivors": "redraw"})
    assert isinstance(network, FractalNet)
    assert (len(network.blocks), network.path_drop.mode) == (2, "batch")
    unit = network.blocks[0].columns[0][0]
    assert unit.norm.affine


def test_rates_that_the_genotype_says_win(tmp_path):
    _, experiment, space, genotype = fractal(drop={"policy": "fractal", "p": 0.01, "global_share": 0.99})
    training = Training(experiment, space, None, torch.device("cpu"), tmp_path, None)
    said = dict(genotype.options)
    assert training.schedule(genotype).p == float(said["p"])
    assert training.global_share(genotype).p == float(said["global_share"])
    silent = Genotype(genotype.space, genotype.cells)
    assert training.schedule(silent).p == 0.01
    assert training.global_share(silent).p == 0.99
    assert training.schedule(genotype, drop=False).p == training.global_share(genotype, drop=False).p == 0
    local = Experiment.model_validate({**FRACTAL, "drop": {"policy": "local"}})
    policy = Training(local, space, None, torch.device("cpu"), tmp_path, None)
    assert policy.global_share(silent) is None
    darts = Training(experiment, SearchSpace.load("darts"), None, torch.device("cpu"), tmp_path, None)
    assert darts.global_share(Genotype.read("DARTS_V2"), drop=False) is None


def test_what_a_fractal_network_has_not():
    with pytest.raises(ConfigError) as caught:
        fractal(network={"auxiliary": True, "dropout": 0.5})
    assert list(caught.value.lines) == [
        "network.auxiliary: a fractal network has none, got True",
        "network.dropout: a fractal network has none, got 0.5",
    ]
    with pytest.raises(DropError, match=r"drop.policy: must be local or global or fractal in a fractal network"):
        fractal(drop={"policy": "edge"})


def test_statistics_are_estimated_anew_before_the_last_score(tmp_path):
    data = load(DataSettings()).limited(100).merged()
    data = replace(data, train=data.train[:100], test=data.test[:50])
    _, experiment, space, genotype = fractal()
    size = {**FRACTAL["network"], "fractal": {"reestimate": True}}
    anew = Experiment.model_validate({**FRACTAL, "network": size})
    networks = []
    for said in (experiment, anew):
        device = torch.device("cpu")
        recorder = partial(Recorder, tmp_path, tensorboard=False)
        training = Training(said, space, data, device, tmp_path, lambda _, recorder=recorder: recorder())
        outcome = training.run(genotype, label="x", epochs=1, seed=0)
        assert outcome.accuracy == evaluate(outcome.network, data.test, data).accuracy
        assert outcome.parts == evaluate_parts(outcome.network, data.test, data)
        networks.append(outcome.network)
    old, new = (network.state_dict() for network in networks)
    moved = [name for name, value in old.items() if not torch.equal(value, new[name])]
    assert moved and all(".running_" in name or ".num_batches_" in name for name in moved)
    for kind in ("norm.running_mean", "norm_alone.running_mean"):
        assert any(name.endswith(kind) for name in moved)
