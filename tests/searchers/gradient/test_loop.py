"""The loop: every strategy learns, what should stand still does, and a search that was killed ends the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nasdrop.drop import Draw
from nasdrop.errors import ConfigError, DropError, RunFolderError
from nasdrop.models.supernet import SuperNet
from nasdrop.searchers.gradient.strategies import STRATEGIES
from nasdrop.train import DivergedError, read_metrics
from nasdrop.train.ranks import Ranks

SETTINGS = {
    "drop_nas": {"space": "darts", "p": 0.01, "drop": {"policy": "groups", "mode": "batch"}},
    "p_darts": {"stage_cells": [3, 3], "stage_operations": [4, 2], "stage_skip_drop": [0.3, 0.5], "epochs": 1,
                "alpha_start": 0},
    "pc_darts": {"partial_channels": 2, "alpha_start": 0, "batch_size": 16},
    "one_shot": {"cells": 3},
}  # fmt: skip


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_every_strategy_trains_weights_and_alphas(name, make_loop, listener):
    loop = make_loop(strategy=name, observer=listener, **({"p": 0.3} | SETTINGS.get(name, {})))
    first = {key: value.clone() for key, value in loop.part.supernet.state_dict().items()}
    genotype = loop.run()
    loop.space.validate(genotype)
    assert len(loop.history) == len(listener.epochs) == 2
    learns = STRATEGIES[name].has_alphas
    if name != "p_darts":  # whose second stage has another supernet
        moved = {key for key, value in loop.part.supernet.state_dict().items() if not torch.equal(value, first[key])}
        assert {"alphas.normal", "alphas.reduction"} <= moved if learns else "alphas.normal" not in moved
        assert "classifier.weight" in moved
    assert (loop.history[-1].moved > 0.01) == learns
    assert (loop.history[-1].valid is not None) == learns


def test_the_second_order_learns_too(make_loop):
    loop = make_loop(order=2, p=0.4, epochs=1)
    loop.run()
    other = make_loop("first", order=1, p=0.4, epochs=1)
    other.run()
    assert loop.history[0].moved > 0.01
    assert not torch.equal(loop.part.supernet.alphas["normal"], other.part.supernet.alphas["normal"])


def test_alphas_wait_for_their_start(make_loop):
    loop = make_loop(alpha_start=1)
    before = loop.part.supernet.alphas["normal"].detach().clone()
    loop._run_epoch(None)
    assert torch.equal(loop.part.supernet.alphas["normal"], before)
    assert loop.history[0].alphas_loss is None
    loop._run_epoch(None)
    assert not torch.equal(loop.part.supernet.alphas["normal"], before)
    assert loop.history[1].alphas_loss > 0


def test_what_is_shrunk_away_stays_away(make_loop):
    loop = make_loop(epochs=3, shrink=[[1, 2], [2, 1]])
    loop.run()
    assert all(int(flags.sum()) == len(flags) for flags in loop.part.strategy.columns.available.values())
    assert loop.history[-1].entropy == {"normal": 0.0, "reduction": 0.0}
    assert all(len(edge) == 1 for edge in loop.part.learner.active["normal"])


def test_drop_path_is_counted_at_its_planned_rate(make_loop):
    loop = make_loop(p=0.4, epochs=1)
    loop.run()
    report = loop.history[0]
    samples = 2 * 16 * len(report.realised)  # steps, batch, paths
    mean = sum(report.realised.values()) / len(report.realised)
    assert list(report.planned.values()) == pytest.approx([0.4] * len(report.planned))
    assert abs(mean - 0.4) < 4.5 * (0.4 * 0.6 / samples) ** 0.5


def test_numbers_of_every_epoch_are_recorded(make_loop, tmp_path):
    make_loop(hessian_epochs=1, space="nas_bench_201").run()
    records = [record for record in read_metrics(tmp_path / "run" / "metrics.jsonl") if "search/weights_loss" in record]
    assert [record["step"] for record in records] == [0, 1]
    wanted = {
        "search/alphas_loss", "search/entropy/normal", "search/skip_share/normal", "search/skips/normal",
        "search/genotype_changes", "search/gradient_norm/weights", "search/gradient_norm/alphas", "search/eigenvalue",
        "valid/accuracy", "drop/realised/normal/edge_05", "drop/planned/mean",
        "drop/silent/realised", "search/images_per_second", "search/memory_mib",
        "alpha/normal/edge_05/nor_conv_3x3",
    }  # fmt: skip
    assert wanted <= set(records[0])


def test_a_stopped_search_keeps_the_cell_of_the_rule(make_loop, listener):
    loop = make_loop(stop_skips=1, epochs=6, alpha_learning_rate=0.5, observer=listener)
    skip = loop.part.supernet.operations["normal"].index("skip_connect")
    with torch.no_grad():
        for alpha in loop.part.supernet.alpha_parameters():
            alpha[:, skip] += 5.0
    genotype = loop.run()
    assert len(loop.history) == 1 and genotype.to_json() == loop.history[0].genotype
    assert any("stopped after epoch 1" in line for line in listener.notes)


def test_a_supernet_that_diverges_is_told(make_loop):
    loop = make_loop(learning_rate=1e30, gradient_clip=0.0)
    with pytest.raises(DivergedError, match=r"epoch [12]: the training loss must be finite"):
        loop.run()


@pytest.mark.parametrize(("settings", "line"), [
    ({"warmup_epochs": 2}, "warmup_epochs: must be below search.epochs"),
    ({"stop_ratio": 1.3}, "stop_ratio: needs eigenvalues"),
    ({"strategy": "gdas", "hessian_epochs": 1}, "gdas draws its mixture anew"),
])  # fmt: skip
def test_settings_that_do_not_fit_are_refused(settings, line, make_loop):
    with pytest.raises(ConfigError, match=line):
        make_loop(**settings)


def test_a_batch_is_divided_among_the_processes_or_refused(make_loop):
    with pytest.raises(ConfigError, match=r"batch_size: must be divisible by the 3 processes, got 16"):
        make_loop(ranks=Ranks(0, 3))


def test_an_unknown_policy_is_refused(make_loop):
    with pytest.raises(DropError, match=r"no policy 'egde'; did you mean 'edge'"):
        make_loop(drop={"policy": "egde"})


STATE = "supernet", "weight_optimizer", "alpha_optimizer", "history"


def equal(one, other):
    """Bit for bit; wall time apart."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            equal(one[key], other[key])
            for key in one
            if key not in ("seconds", "images_per_second", "memory_mib", "replayed")
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


WORKER = Path(__file__).with_name("resume_process.py")


def kill_at(name, folder, forward_pass):
    """Run a search in another process and kill it in front of a forward pass of the supernet."""
    process = subprocess.Popen(
        [sys.executable, str(WORKER), name, str(folder), str(forward_pass)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        process.kill()
    assert process.returncode == -9


def compare(one, other):
    ends = [torch.load(folder / "search.pt", weights_only=True) for folder in (one, other)]
    for part in STATE:
        assert equal(ends[0][part], ends[1][part]), part
    assert ends[0]["history"][-1]["genotype"] == ends[1]["history"][-1]["genotype"]


def test_kill_9_in_the_middle_of_an_epoch(tmp_path, make_resumable):
    """Killed in the second epoch, between two steps: losses, alphas, weights and genotype are bit-equal."""
    kill_at("darts", tmp_path / "killed", 13)
    assert torch.load(tmp_path / "killed" / "search.pt", weights_only=True)["step"] == 1
    for folder in ("whole", "killed"):
        make_resumable("darts", tmp_path / folder).run()
    compare(tmp_path / "whole", tmp_path / "killed")


class Interrupted(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize("name", ["gdas", "p_darts"])
def test_interrupted_anywhere(name, tmp_path, make_resumable, monkeypatch):
    """Again and again, each time three forward passes further, through all epochs and stages."""
    make_resumable(name, tmp_path / "whole").run()
    forward, passes = SuperNet.forward, []

    def counted(self, *arguments, **options):
        passes.append(None)
        if self.training and len(passes) > 3:
            raise Interrupted
        return forward(self, *arguments, **options)

    monkeypatch.setattr(SuperNet, "forward", counted)
    for _ in range(20):
        passes.clear()
        try:
            make_resumable(name, tmp_path / "parts").run()
        except Interrupted:
            continue
        break
    else:
        pytest.fail("the search makes no progress")
    compare(tmp_path / "whole", tmp_path / "parts")


def test_a_finished_search_is_only_told_again(make_loop, listener):
    first = make_loop(epochs=1)
    genotype = first.run()
    again = make_loop(epochs=1, observer=listener)
    assert again.run() == genotype
    assert len(listener.epochs) == 1 and again.history[0].replayed


def test_another_searchs_checkpoint_is_refused(make_loop):
    make_loop(epochs=1).run()
    with pytest.raises(RunFolderError, match=r"another search: alpha_learning_rate is 0.05 there, 0.07 here"):
        make_loop(epochs=1, alpha_learning_rate=0.07).run()
    loop = make_loop(epochs=1)
    state = torch.load(loop.checkpoint, weights_only=True)
    torch.save(state | {"supernet": {}}, loop.checkpoint)
    with pytest.raises(RunFolderError, match="belongs to another search, or is damaged"):
        loop.run()
    torch.save({}, loop.checkpoint)
    with pytest.raises(RunFolderError, match="identity is missing"):
        loop.run()


def test_a_drawn_cell_that_lets_nothing_through_has_a_gradient_of_zero(make_loop):
    """In NAS-Bench-201 every edge may be `none`: the loss is then a constant of the alphas, and no mistake."""
    loop = make_loop(strategy="gdas", space="nas_bench_201")
    none = loop.part.supernet.operations["normal"].index("none")
    with torch.no_grad():
        loop.part.supernet.alphas["normal"][:, none] += 100.0
    loop.run()
    assert loop.history[0].alphas_norm == 0.0 and loop.history[0].skips == {"normal": 0}


def test_a_step_of_the_weights_is_that_of_a_plain_sgd(make_loop):
    """Whatever strides the layers' gradients have: fused SGD reads raw memory."""
    loop = make_loop(space="darts", p=0.0, gradient_clip=0.0)
    learner = loop.part.learner
    images, labels = next(loop.halves.batches(0))
    mixture = learner.expected().detached()
    loss, _ = learner.loss((images, labels), mixture, Draw(None))
    before = [weight.detach().clone() for weight in learner.weights]
    gradient = torch.autograd.grad(loss, learner.weights, allow_unused=True, materialize_grads=True)
    learner.step_weights((images, labels), mixture, Draw(None), 0.1)
    for weight, old, part in zip(learner.weights, before, gradient, strict=True):
        torch.testing.assert_close(weight, old - 0.1 * (part + 3e-4 * old), rtol=1e-4, atol=1e-6)
