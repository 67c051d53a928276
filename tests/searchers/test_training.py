"""What an experiment says of its network is what is built."""

import pytest

from nasdrop.errors import DropError
from nasdrop.searchers.training import build_network
from nasdrop.settings import Experiment
from nasdrop.space import Genotype, SearchSpace


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
