"""The supernet of a study: trained once, by whoever comes first, also when it is killed; then every cell is scored."""

import fcntl
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
import torch

from nasdrop import cli
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.evaluators import Failed, Stopped
from nasdrop.searchers.gradient.inherited import InheritedScore
from nasdrop.searchers.inherited import CHECKPOINT, InheritedEvaluator, trained_supernet
from nasdrop.searchers.result import Silent
from nasdrop.searchers.storage import find_study, place_of
from nasdrop.searchers.training import Training
from nasdrop.searchers.trials import counted
from nasdrop.settings import DataSettings, Experiment, InheritedSettings
from nasdrop.space import SearchSpace
from nasdrop.train import Recorder, load, read_metrics

EPOCHS = 3
SUPERNET = InheritedSettings(epochs=EPOCHS, channels=4, num_cells=3, batch_size=64, learning_rate=0.1)


@pytest.fixture(scope="module")
def data():
    return load(DataSettings()).limited(256)


@pytest.fixture
def training(tmp_path, data):
    experiment = Experiment.model_validate(
        {"name": "x", "space": "tiny", "network": {"channels": 8, "num_cells": 3}, "drop": {"p": 0.3}, "seed": 4}
    )
    record = partial(lambda label: Recorder(tmp_path / label, metrics=tmp_path / "metrics.jsonl", run=label))
    return Training(experiment, SearchSpace.load("tiny"), data, torch.device("cpu"), tmp_path / "checkpoints", record)


def weights(supernet):
    return {name: tensor.clone() for name, tensor in supernet.state_dict().items()}


def epochs_trained(folder):
    lines = read_metrics(folder / "metrics.jsonl")
    return Counter(line["step"] for line in lines if line["run"] == "search" and "search/weights_loss" in line)


class Interrupting(Silent):
    """Asks for a stop after an epoch."""

    def __init__(self):
        self.stop, self.notes = threading.Event(), []

    def search_epoch(self, epoch, epochs, facts):
        self.stop.set()

    def note(self, line):
        self.notes.append(line)


def test_a_supernet_is_trained_once_and_an_interrupted_one_goes_on(training, tmp_path):
    interrupting = Interrupting()
    with pytest.raises(Stopped):
        trained_supernet(training, SUPERNET, interrupting, interrupting.stop)
    assert set(epochs_trained(tmp_path)) == {0}
    first = weights(trained_supernet(training, SUPERNET, Silent()))
    again = weights(trained_supernet(training, SUPERNET, Silent()))
    assert epochs_trained(tmp_path) == dict.fromkeys(range(EPOCHS), 1)
    unbroken = replace(training, checkpoints=tmp_path / "other")
    expected = weights(trained_supernet(unbroken, SUPERNET, Silent()))
    for name, tensor in expected.items():
        assert torch.equal(first[name], tensor) and torch.equal(again[name], tensor)


def test_drop_path_is_active_while_it_trains(training, tmp_path):
    trained_supernet(training, SUPERNET, Silent())
    planned = [
        line["drop/planned/mean"] for line in read_metrics(tmp_path / "metrics.jsonl") if "search/weights_loss" in line
    ]
    assert planned == pytest.approx([0.3 * epoch / EPOCHS for epoch in range(EPOCHS)])


def test_who_comes_second_waits_and_may_be_told_to_stop(training):
    training.checkpoints.mkdir()
    with (training.checkpoints / f".{CHECKPOINT}.lock").open("ab") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        second = Interrupting()
        second.stop.set()
        with pytest.raises(Stopped):
            trained_supernet(training, SUPERNET, second, second.stop)
    assert second.notes == ["another process trains the supernet; waiting for it"]
    assert not (training.checkpoints / CHECKPOINT).exists()


def test_a_value_is_the_accuracy_with_inherited_weights_and_the_cost_is_of_the_final_network(training, data):
    supernet = trained_supernet(training, SUPERNET, Silent())
    evaluator = InheritedEvaluator(training, supernet, SUPERNET.model_copy(update={"score_images": 100}))
    score = InheritedScore(supernet, data, SUPERNET, seed=4, images=100)
    for seed in range(3):
        cell = training.space.sample(random.Random(seed))
        evaluation, expected = evaluator(cell, None), score(cell)
        assert expected.total == 100
        assert (evaluation.value, evaluation.attributes["loss"]) == (expected.accuracy, expected.loss)
        cost = training.cost(cell)
        assert evaluator.cost(cell, "parameters") == cost.parameters
        assert evaluator.cost(cell, "multiply_adds") == cost.multiply_adds
    wanted = training.experiment.train.model_copy(update={"metric": "macro_f1"})
    other = replace(training, experiment=training.experiment.model_copy(update={"train": wanted}))
    evaluator = InheritedEvaluator(other, supernet, SUPERNET.model_copy(update={"score_images": 100}))
    assert evaluator(cell, None).value == expected.metrics["macro_f1"]


def test_a_score_that_is_no_number_fails_its_cell(training):
    supernet = trained_supernet(training, SUPERNET, Silent())
    with torch.no_grad():
        supernet.classifier.bias.fill_(torch.nan)
    with pytest.raises(Failed, match="its loss must be finite, got nan"):
        InheritedEvaluator(training, supernet, SUPERNET)(training.space.sample(random.Random(0)), None)


def test_a_value_may_be_the_likelihood(training):
    supernet = trained_supernet(training, SUPERNET, Silent())
    evaluator = InheritedEvaluator(training, supernet, SUPERNET.model_copy(update={"score": "likelihood"}))
    evaluation = evaluator(training.space.sample(random.Random(0)), None)
    assert evaluation.value == pytest.approx(math.exp(-evaluation.attributes["loss"]))
    assert evaluation.value != evaluation.attributes["accuracy"]


def test_a_supernet_that_has_learned_nothing_is_told_of(training):
    idle = SUPERNET.model_copy(update={"epochs": 1, "learning_rate": 1e-9, "final_learning_rate": 0.0})
    told, quiet = Interrupting(), Interrupting()
    trained_supernet(training, idle, told)
    assert any("has learned nothing (training loss 2." in line and "of a guess 2.30" in line for line in told.notes)
    images = replace(training.data.train, labels=torch.full_like(training.data.train.labels, 3))
    data = replace(training.data, train=images)  # one class is learned at once
    taught = replace(training, data=data, checkpoints=training.checkpoints / "taught")
    trained_supernet(taught, SUPERNET, quiet)
    assert not any("learned nothing" in line for line in quiet.notes)


RUN = (
    "search", "digits", "space=tiny", "network.channels=4", "data.train_limit=512", "final.seeds=0",
    "search.evaluator=inherited", "search.supernet.channels=4", "search.supernet.num_cells=3",
    "search.supernet.epochs=6", "search.sampler=evolution", "search.trials=4", "--workers", "2",
)  # fmt: skip


def test_a_search_with_two_workers_survives_the_death_of_its_supernet(tmp_path, capsys):
    """Killed while the supernet trains, resumed, scored by two workers, and enlarged."""
    folder = tmp_path / "run"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "nasdrop", *RUN, "--out", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as process:
        deadline = time.monotonic() + 120
        while not (folder / "metrics.jsonl").exists() or len(epochs_trained(folder)) < 2:
            assert process.poll() is None and time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
    assert cli.run(["status", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 0
    assert cli.run(["resume", str(folder)]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "4 cells, evolution, by a supernet's weights after 6 epochs: 3 cells, 4 channels" in told
    trained = epochs_trained(folder)
    assert set(trained) == set(range(6)) and trained.total() <= 7
    assert cli.run(["resume", str(folder), "search.trials=6", "--workers", "1"]) == 0
    assert epochs_trained(folder) == trained
    study = find_study(*place_of(RunFolder(folder), RunFolder(folder).read_experiment()))
    kept = counted(study.trials)
    assert len(kept) == len({trial.user_attrs["canonical"] for trial in kept}) == 6
    assert {trial.state.name for trial in kept} == {"COMPLETE"}
