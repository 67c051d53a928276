"""Recorded steps: what a CPU can show of them, and on a GPU that a replayed search is the plain one."""

from contextlib import nullcontext
from importlib import import_module

import numpy as np
import pytest
import torch
from torch.nn.utils import clip_grad_norm_
from torch.utils._python_dispatch import TorchDispatchMode

from nasdrop.drop import Draw
from nasdrop.errors import ConfigError
from nasdrop.models.supernet import SuperNet
from nasdrop.searchers.gradient import learner as learners
from nasdrop.searchers.gradient import loop as loops
from nasdrop.searchers.gradient.captured import WARM_UP, CapturedLearner, Recorded, kept
from nasdrop.searchers.gradient.learner import Learner
from nasdrop.searchers.gradient.mixture import Columns
from nasdrop.searchers.gradient.strategies import STRATEGIES, make_strategy
from nasdrop.space import SearchSpace
from nasdrop.train.device import isolated_rng
from nasdrop.train.ranks import Ranks

RECORDABLE = {
    "darts": {},
    "pc_darts": {"partial_channels": 2, "alpha_start": 1},
    "fair_darts": {"shrink": [[1, 2]]},
    "drop_nas": {"space": "darts", "p": 0.01, "drop": {"policy": "groups", "mode": "batch"}, "epochs": 1},
    "p_darts": {"stage_cells": [3, 3], "stage_operations": [4, 2], "stage_skip_drop": [0.3, 0.5], "epochs": 1,
                "alpha_start": 0},
}  # fmt: skip


class OnTheHost(Recorded):
    """All that recording does, but for the graph: inputs that stay, a warm-up that leaves no trace."""

    made = 0

    def __init__(self, step, inputs, state):
        type(self).made += 1
        self.inputs = [None if x is None else x.clone() for x in inputs]
        with kept(state), isolated_rng(torch.device("cpu")):
            for _ in range(WARM_UP):
                step(*self.inputs)
        self.graph, self.step = self, step

    def replay(self, inputs):
        for static, new in zip(self.inputs, inputs, strict=True):
            if static is not None:
                static.copy_(new)
        return self.step(*self.inputs)


def test_every_strategy_with_one_mixture_can_be_recorded():
    assert set(RECORDABLE) == {name for name, strategy in STRATEGIES.items() if not strategy.samples}


@pytest.mark.parametrize("name", list(RECORDABLE))
def test_a_step_is_a_function_of_its_inputs_and_of_tensors_that_stay(name, make_loop, monkeypatch):
    """Bit for bit what a plain search does, when every step reads fixed buffers, as a graph does."""
    plain = loops.learning_rate
    monkeypatch.setattr(loops, "learning_rate", lambda *arguments: float(np.float32(plain(*arguments))))
    monkeypatch.setattr(loops, "check", lambda *_: None)
    monkeypatch.setattr(CapturedLearner, "recorder", OnTheHost)
    monkeypatch.setattr(OnTheHost, "made", 0)
    ends = []
    for cuda_graph in (False, True):
        options = {"p": 0.3} | RECORDABLE[name] | {"cuda_graph": cuda_graph}
        loop = make_loop(f"{cuda_graph}", strategy=name, **options)
        loop.run()
        ends.append(loop)
    one, other = ends
    for key, value in one.part.supernet.state_dict().items():
        torch.testing.assert_close(other.part.supernet.state_dict()[key], value, rtol=0, atol=0, msg=key)
    assert [report.weights_loss for report in one.history] == [report.weights_loss for report in other.history]
    steps = 1 if STRATEGIES[name].one_level else 2
    again = 2 if name in ("fair_darts", "p_darts") else 1  # other candidates, or another stage
    assert OnTheHost.made == steps * again


def test_what_appears_in_a_warm_up_is_zero_after_it():
    old, tensors = torch.arange(3.0), []
    with kept(lambda: [old, *tensors]):
        old += 1
        tensors.append(torch.ones(2))
    assert old.tolist() == [0, 1, 2] and tensors[0].tolist() == [0, 0]


HOST = {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "unique", "_unique2", "equal", "item"}


class NothingFromTheHost(TorchDispatchMode):
    """Refuses calls that wait for the device, and tensors that come from the host: a graph can record neither."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__.split(".")[-1]
        assert name not in HOST, name
        flat = [x for x in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        assert all(x.is_meta for x in flat), (name, [(x.device, x.shape) for x in flat])
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("layout", ["grouped", "reference"])
@pytest.mark.parametrize("name", list(RECORDABLE))
def test_a_step_waits_for_nothing(name, layout, make_experiment, monkeypatch):
    """On tensors without numbers, as on a device that must not be waited for."""
    adam = import_module("torch.optim.adam")
    monkeypatch.setattr(learners, "autocasting", lambda *_: nullcontext())  # which knows no such device
    monkeypatch.setattr(learners, "clip_grad_norm_", lambda weights, most, foreach: clip_grad_norm_(weights, most))
    monkeypatch.setattr(adam, "_get_capturable_supported_devices", lambda **_: ["meta"])
    options = {"p": 0.3} | RECORDABLE[name]
    settings = make_experiment(strategy=name, **options).search
    space = SearchSpace.load(options.get("space", "tiny"))
    drop = options.get("drop", {})
    with torch.device("meta"):
        partial = options.get("partial_channels", 1)
        supernet = SuperNet(space, 4, 3, 4, 1, layout=layout, partial_channels=partial, drop=drop).train()
        learner = Learner(supernet, make_strategy(settings, Columns.of(supernet), space), settings)
        batch = torch.empty(8, 1, 8, 8), torch.empty(8, dtype=torch.long)
        paths = len(supernet.paths)
        draw = Draw(None, torch.empty(paths, dtype=torch.bool)) if name == "drop_nas" else Draw(torch.empty(paths, 8))
    learner.alpha_optimizer.param_groups[0]["capturable"] = True
    learner.weight_optimizer.param_groups[0].update(fused=False, foreach=True)  # fused has no form without numbers
    with NothingFromTheHost():
        mixture = learner.expected()
        if learner.strategy.one_level:
            learner.step_both(batch, mixture, draw, 0.1, learns=True)
        else:
            learner.step_alphas(batch, mixture, draw)
            learner.step_weights(batch, mixture, draw, 0.1)


@pytest.mark.parametrize(("settings", "line"), [
    ({}, r"search.cuda_graph: needs a CUDA device, got 'cpu'"),
    ({"layout": "packed"}, r"cuda_graph: the packed layout's tables come from the host; search.layout must be"),
    ({"order": 2}, r"cuda_graph: only steps of first order are recorded"),
    ({"strategy": "gdas"}, r"cuda_graph: gdas draws its mixture"),
    ({"compile": "aot_eager"}, r"compile: must be none with search.cuda_graph, got 'aot_eager'"),
    ({"ranks": Ranks(0, 2)}, r"cuda_graph: needs one process, got 2"),
])  # fmt: skip
def test_what_cannot_be_recorded_is_refused(settings, line, make_loop):
    with pytest.raises(ConfigError, match=line):
        make_loop(cuda_graph=True, **settings)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", list(RECORDABLE))
def test_a_replayed_search_is_the_plain_one(name, make_loop, monkeypatch):
    losses = []
    for cuda_graph in (False, True):
        options = {"p": 0.3} | RECORDABLE[name] | {"cuda_graph": cuda_graph}
        loop = make_loop(f"{cuda_graph}", strategy=name, device="cuda", **options)
        loop.run()
        losses.append([report.weights_loss for report in loop.history])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
