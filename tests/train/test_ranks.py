"""Two processes under torchrun train as one does on the whole batch; rank 0 alone writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from nasdrop.errors import ConfigError
from nasdrop.settings import TrainSettings
from nasdrop.train import ALONE, Ranks, fit
from nasdrop.train.ranks import own_device

SCRIPT = Path(__file__).with_name("ranks_process.py")
needs_gloo = pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where two processes left what they ended with, `0.pt` and `1.pt`, and a lone one, `alone/0.pt`."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "alone").mkdir()
    run("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", SCRIPT, folder)
    run(SCRIPT, folder / "alone")
    return folder


def run(*command):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, *map(str, command)]
    ended = subprocess.run(command, env=environment, timeout=300, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]


@pytest.fixture(scope="module")
def both(folder):
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone(folder):
    return torch.load(folder / "alone" / "0.pt", weights_only=True)


def largest_difference(first, second):
    return max(float((first[name].double() - value.double()).abs().max()) for name, value in second.items())


@needs_gloo
@pytest.mark.parametrize("case", ["global", "frozen", "average"])
def test_two_processes_train_as_one(both, alone, case):
    mine, expected = both[0][case], alone[case]
    assert largest_difference(mine["state"], expected["state"]) <= 1e-5
    assert mine["valid"] == pytest.approx(expected["valid"], abs=1e-5)
    assert mine["loss"] == pytest.approx(expected["loss"], abs=1e-5)
    assert mine["accuracy"] == expected["accuracy"]


@needs_gloo
@pytest.mark.parametrize("case", ["global", "frozen", "average", "local"])
def test_both_hold_one_network_to_the_last_bit(both, case):
    first, second = (ended[case] for ended in both)
    assert largest_difference(first["state"], second["state"]) == 0
    assert first["valid"] == second["valid"] and first["loss"] == second["loss"]


@needs_gloo
def test_local_statistics_are_another_training(both, alone):
    assert 1e-4 < largest_difference(both[0]["local"]["state"], alone["local"]["state"]) < 1


@needs_gloo
def test_an_interrupted_training_goes_on_to_the_same_bits(both):
    for ended in both:
        assert largest_difference(ended["resumed"], ended["global"]["state"]) == 0


@needs_gloo
def test_a_part_that_some_rows_skip_learns_as_in_one_process(both, alone):
    assert largest_difference(both[0]["part"], alone["part"]) <= 1e-5
    assert torch.equal(both[0]["part"]["never.weight"], both[0]["untrained"]["never.weight"])  # no decay either
    assert not torch.equal(both[0]["part"]["second.weight"], both[0]["untrained"]["second.weight"])


@needs_gloo
def test_rank_0_alone_records(folder, both):
    assert (folder / "global-0" / "metrics.jsonl").read_text()
    assert not (folder / "global-1" / "metrics.jsonl").read_text()


def test_a_batch_that_cannot_be_shared_is_refused(random_data, make_net):
    with pytest.raises(ConfigError, match=r"train.batch_size: must be divisible by the 3 processes .* got 16 of 64"):
        fit(make_net(classes=4), random_data(), TrainSettings(batch_size=16), epochs=1, ranks=Ranks(1, 3))


def test_a_lone_process_changes_nothing():
    values = torch.arange(4.0)
    ALONE.average([values])
    ALONE.wait()
    assert torch.equal(values, torch.arange(4.0)) and ALONE.leads
    assert torch.equal(ALONE.rows(values), values) and ALONE.agree(0.25, torch.device("cpu")) == 0.25
    assert torch.equal(ALONE.gather(values), values[None])


def test_rows_are_divided_in_order():
    parts = [Ranks(rank, 3).rows(torch.arange(6)) for rank in range(3)]
    assert torch.equal(torch.cat(parts), torch.arange(6))


def test_each_process_takes_the_device_of_its_local_rank(monkeypatch):
    assert own_device(torch.device("cuda", 1)) == torch.device("cuda", 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device(torch.device("cuda", 0)) == torch.device("cuda", 1)
    assert own_device(torch.device("cpu")) == torch.device("cpu")
