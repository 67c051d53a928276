"""The ladder of cheap trainings: what is trained, when a trial may be pruned, what a retry does not train again."""

import random
from dataclasses import replace
from functools import partial

import pytest
import torch

import nasdrop
from nasdrop import config, resources
from nasdrop.errors import ConfigError
from nasdrop.models.cost import count_parameters
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.evaluators import Pruned, TrainingEvaluator
from nasdrop.searchers.fidelity import Stage, ladder, ladder_text, steps
from nasdrop.searchers.storage import find_study, place_of
from nasdrop.searchers.training import Training
from nasdrop.searchers.trials import counted
from nasdrop.settings import DataSettings, Experiment, RungSettings, StudySettings
from nasdrop.space import SearchSpace
from nasdrop.train import Recorder, load

NARROW, LONGER, FULL_SIZE = (
    {"epochs": 1, "channels": 4},
    {"epochs": 2, "channels": 4},
    {"epochs": 1},
)
LADDER = tuple(map(RungSettings.model_validate, (NARROW, LONGER, FULL_SIZE)))


def test_equal_networks_share_a_training_and_steps_count_all_epochs():
    narrow, full = ladder(LADDER, 3)
    assert narrow == Stage(4, 0, epochs=2, before=0, rungs=(1, 2)) and full == Stage(0, 0, 3, before=2, rungs=(1, 3))
    assert narrow.name == "-4xall" and not full.name
    settings = StudySettings(epochs=3, fidelity=LADDER)
    assert steps(settings) == (1, 2, 3, 5) and steps(StudySettings(epochs=3)) == (3,)
    assert ladder_text(settings).startswith("; rungs: 1 epochs (4 channels, all cells), 2 epochs")
    assert ladder_text(StudySettings()) == ""


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ("search.fidelity=[{epochs=9}]", "must be cheaper than the next"),
        ("search.fidelity=[{epochs=4}, {epochs=4}]", "must be cheaper than the next"),
        ("search.fidelity=[{epochs=1, num_cells=2}, {epochs=1, channels=4}]", "in nothing larger"),
        ("search.fidelity=[{epochs=1, channels=8}]", "must be below network.channels, 8, or left out, got 8"),
        ("search.fidelity=[{epochs=1}] search.pruner=median", "must be 'successive_halving' where there is"),
        ("search.fidelity=[{epochs=1}] search.evaluator=table", "must be 'training' where there is"),
        ("search.fidelity=[{epochs=1}] search.costs=['parameters']", "must be none where there is"),
        (
            "search.fidelity=[{epochs=1, channels=4}] search.beside={'network.channels'=[6, 8]}",
            "must be left out where it is searched, got 4",
        ),
    ],
)
def test_ladders_that_are_refused(changes, line):
    overrides = [change if change.startswith("search") else f"search{change}" for change in changes.split(" search")]
    with pytest.raises(ConfigError) as caught:
        config.load(Experiment, resources.find("experiments", "digits"), ["search.epochs=8", *overrides])
    assert any(line in found for found in caught.value.lines)


@pytest.fixture
def training(tmp_path):
    experiment = Experiment.model_validate({"name": "x", "space": "tiny", "network": {"channels": 6, "num_cells": 3}})
    record = partial(lambda label: Recorder(tmp_path / label, metrics=tmp_path / "metrics.jsonl", run=label))
    data = load(DataSettings()).limited(128)
    return Training(experiment, SearchSpace.load("tiny"), data, torch.device("cpu"), tmp_path / "checkpoints", record)


def test_a_retried_trial_trains_no_cheap_network_twice(training):
    genotype, asked = training.space.sample(random.Random(0)), []

    class Watched(Training):
        def run(self, genotype, **options):
            asked.append(
                (self.experiment.network.channels, options["epochs"], count_parameters(self.network(genotype)))
            )
            return super().run(genotype, **options)

    watched = Watched(**vars(training))
    evaluator = TrainingEvaluator(watched, 3, 0, fidelity=LADDER)
    first, again = [], []

    def stop_at(epoch, value, last=3):
        first.append((epoch, value))
        if epoch == last:
            raise Pruned

    with pytest.raises(Pruned):
        evaluator(genotype, stop_at)
    narrow = count_parameters(
        replace(training, experiment=ladder(LADDER, 3)[0].sized(training.experiment)).network(genotype)
    )
    assert asked == [(4, 2, narrow), (6, 3, count_parameters(training.network(genotype)))]
    evaluation = evaluator(genotype, lambda epoch, value: again.append((epoch, value)))
    assert [epoch for epoch, _ in again] == [1, 2, 3, 4, 5] and again[:3] == first
    assert asked[2:] == [(6, 3, asked[1][2])]  # and it went on from its checkpoint
    plain = TrainingEvaluator(replace(training, checkpoints=training.checkpoints / "other"), 3, 0)
    assert evaluation.value == plain(genotype, lambda *epoch: None).value == again[-1][1]
    assert not list(training.checkpoints.glob("*.json"))


def test_a_search_climbs_and_counts_its_trials(tmp_path):
    result = nasdrop.search(
        "digits", "space=tiny", "network.channels=6", "data.train_limit=256", "final.seeds=0", "search.epochs=2",
        "search.fidelity=[{epochs=1, channels=2}]", "search.trials=8", "search.reduction_factor=4",
        "search.sampler=random", "workers=2", out=tmp_path / "run",
    )  # fmt: skip
    records = [record for record in result.history if record.outcome != "duplicate"]
    assert len(records) == 8
    assert {(record.outcome, record.epochs) for record in records} == {("pruned", 1), ("done", 3)}
    folder = RunFolder(tmp_path / "run")
    kept = counted(find_study(*place_of(folder, folder.read_experiment())).trials)
    at_rung = [trial.intermediate_values[1] for trial in kept]
    done = [trial.intermediate_values[1] for trial in kept if trial.state.name == "COMPLETE"]
    assert max(at_rung) in done and len(done) < 8
