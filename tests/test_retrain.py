"""From a genotype to a trained network: the run folder that is left, what may be chosen, and what a kill costs."""

import json
import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

import nasdrop
from nasdrop import config
from nasdrop.errors import ConfigError, GenotypeError, RunFolderError
from nasdrop.retrain import cell_experiment, check_shared
from nasdrop.run_folder import RunFolder
from nasdrop.settings import Experiment
from nasdrop.space import PUBLISHED, Genotype, SearchSpace
from nasdrop.train import Ranks, read_metrics
from nasdrop.trained import bundle, load_network

SMALL = ("network.channels=4", "train.epochs=1", "train.batch_size=256", "threads=1")
SCRIPT = Path(__file__).with_name("train_process.py")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a cell that was trained with two seeds beside a ResNet."""
    folder = tmp_path_factory.mktemp("run") / "cell"
    options = ("final.seeds=2", "final.resnet=true", "train.ema=0.5", "final.validate_epochs=true")
    return nasdrop.train_cell("DARTS_V2", "digits", *SMALL, *options, out=folder)


def test_rows_of_the_cell_and_of_a_resnet_of_its_size(trained):
    cell, resnet = trained.finals
    assert (cell.label, resnet.label) == ("DARTS_V2", "ResNet of that size")
    assert len(cell.accuracies) == len(resnet.accuracies) == 2 and cell.accuracies[0] != cell.accuracies[1]
    assert resnet.parameters == pytest.approx(cell.parameters, rel=0.1)
    assert trained.search.genotype == Genotype.read("DARTS_V2") and not trained.search.history


def test_the_folder_is_a_run_folder(trained, tmp_path):
    folder = RunFolder(trained.search.folder)
    network, shape = load_network(folder)
    assert shape == (1, 8, 8) and network.genotype == Genotype.read("DARTS_V2")
    result = folder.read_json(folder.result)
    assert result["validation_accuracy"] is None and len(result["trainings"]) == 4
    assert all(0 <= training["valid_accuracy"] <= 1 for training in result["trainings"].values())
    labels = {metric["run"] for metric in read_metrics(folder.metrics)}
    assert len(labels) == 4 and all((folder.events / label).is_dir() for label in labels)
    card = bundle(folder, tmp_path / "bundle")[0].read_text()
    assert "DARTS_V2" in card and "on the validation split" not in card


def test_the_same_call_again_trains_nothing(trained, monkeypatch):
    monkeypatch.setattr("nasdrop.searchers.training.fit", None)
    settings = ("final.seeds=2", "final.resnet=true", "train.ema=0.5", "final.validate_epochs=true")
    again = nasdrop.train_cell("DARTS_V2", "digits", *SMALL, *settings, out=trained.search.folder)
    assert [row.accuracies for row in again.finals] == [row.accuracies for row in trained.finals]


def test_the_best_cell_of_a_run_keeps_its_experiment(trained, tmp_path):
    settings = cell_experiment(str(trained.search.folder), overrides=("train.epochs=3",))
    assert settings.network.channels == 4 and settings.train.epochs == 3
    assert Genotype.read(settings.search.genotype) == Genotype.read("DARTS_V2")
    other = cell_experiment(str(trained.search.folder), "digits")
    assert other.network.channels == 8
    with pytest.raises(RunFolderError, match="not a run folder"):
        cell_experiment(str(tmp_path))


@pytest.mark.parametrize("cell", ["DARTS_V1", "NASNET_A"])
def test_a_cell_brings_its_space_where_the_experiments_does_not_hold_it(cell):
    settings = cell_experiment(cell, "digits")
    assert settings.space == PUBLISHED[cell].space and settings.search.genotype == cell
    assert settings.name == f"{cell.lower()}-digits"
    assert (settings.final.random_cells, settings.final.without_drop, settings.final.genotype) == (0, False, "")


def test_a_text_and_a_file_say_the_same(tmp_path):
    genotype = SearchSpace.load("tiny").sample(random.Random(0))
    path = tmp_path / "cell.json"
    path.write_text(genotype.to_json())
    for cell in (str(path), genotype.to_json()):
        settings = cell_experiment(cell, "digits")
        assert settings.space == "tiny" and Genotype.read(settings.search.genotype) == genotype
    assert config.build(Experiment, settings.model_dump(), "again") == settings


def test_a_cell_of_no_known_space_is_refused():
    text = PUBLISHED["DARTS_V2"].text.replace("dil_conv_3x3", "dil_conv_9x9")
    with pytest.raises(GenotypeError, match="dil_conv_9x9"):
        cell_experiment(text, "digits")


def test_batches_that_processes_cannot_share_are_refused():
    experiment = cell_experiment("DARTS_V2", "digits", ("train.batch_size=64",))
    check_shared(experiment, Ranks(0, 2))
    with pytest.raises(ConfigError, match=r"train.batch_size: must be divisible by the 3 processes .*, got 64"):
        check_shared(experiment, Ranks(0, 3))


def train_in_a_process(folder, *stop):
    command = [sys.executable, str(SCRIPT), str(folder), *map(str, stop)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, **pipes)


def test_kill_9_at_a_random_step_of_darts_v2_loses_no_bit(tmp_path):
    with train_in_a_process(tmp_path / "unbroken") as process:
        steps = int(process.communicate(timeout=120)[0])
    step = random.randrange(steps)
    with train_in_a_process(tmp_path / "broken", step) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    with train_in_a_process(tmp_path / "broken") as process:
        left = int(process.communicate(timeout=120)[0])
    assert left == steps - step + step % (steps // 2) % 3, step  # from the last checkpoint on
    first, second = (load_file(tmp_path / name / "weights.safetensors") for name in ("unbroken", "broken"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first), step
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("unbroken", "broken")]
    assert results[0]["test"][0]["accuracies"] == results[1]["test"][0]["accuracies"]


@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
def test_the_command_under_torchrun(tmp_path):
    overrides = (*SMALL, "space=tiny", "final.seeds=1", "train.learning_rate=0.01")
    cell = SearchSpace.load("tiny").sample(random.Random(0)).to_json()
    shared = ["-m", "nasdrop", "train", cell, "digits", *overrides]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, *torchrun, *shared, "--out", str(tmp_path / "two")]
    subprocess.run(command, env=environment, check=True, timeout=300, capture_output=True)
    nasdrop.train_cell(cell, "digits", *overrides, out=tmp_path / "one")
    first, second = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    for name in first:  # what rounding makes of five steps through three cells; test_ranks.py has the exact comparison
        torch.testing.assert_close(second[name], first[name], rtol=1e-3, atol=1e-3, msg=name)


def test_weights_that_a_cell_inherits(tmp_path):
    sizes = ("network.channels=4", "network.num_cells=3", "search.channels=4", "search.num_cells=3", "threads=1")
    search = ("space=tiny", "search.epochs=1", "final.seeds=0", "data.train_limit=256", "search.validation_epochs=0")
    found = nasdrop.search("robust_darts_digits", *search, *sizes, out=tmp_path / "search")
    start = ("train.epochs=1", "final.seeds=1", "train.learning_rate=1e-9", "train.norm_statistics=frozen")
    heir = nasdrop.train_cell(found.folder, "", *start, f"final.inherit={found.folder}", out=tmp_path / "heir")
    other = nasdrop.train_cell(found.folder, "", *start, out=tmp_path / "scratch")
    supernet = torch.load(found.folder / "checkpoints" / "search.pt", weights_only=True)["supernet"]
    weights = load_file(heir.search.folder / "weights.safetensors")
    torch.testing.assert_close(weights["stem.0.weight"], supernet["stem.0.weight"].contiguous(), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(
        load_file(other.search.folder / "weights.safetensors")["stem.0.weight"], weights["stem.0.weight"]
    )
    with pytest.raises(ConfigError, match=r"has 3 cells of 4 channels, so must the network, got 3 of 8"):
        wide = (*start, "network.channels=8", f"final.inherit={found.folder}")
        nasdrop.train_cell(found.folder, "", *wide, out=tmp_path / "wide")
    with pytest.raises(ConfigError, match="only a search over a supernet has weights to inherit"):
        nasdrop.train_cell(found.folder, "", *start, f"final.inherit={other.search.folder}", out=tmp_path / "none")
    assert math.isnan(heir.search.score)
