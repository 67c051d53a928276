"""Two processes share a search: each takes its rows, both hold one supernet to the last bit, one of them writes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

WORKER = Path(__file__).with_name("gloo_worker.py")
needs_gloo = pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")


def launch(*command):
    """Start two processes as torchrun does; their outputs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank), "GLOO_SOCKET_IFNAME": "lo"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    return outputs


@needs_gloo
def test_two_processes_hold_one_supernet(tmp_path):
    launch(WORKER, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, value in first["supernet"].items():
        assert torch.equal(value, second["supernet"][name]), name
    for figure in ("weights_loss", "alphas_loss", "eigenvalue", "train_accuracy", "valid", "moved"):
        assert first["report"][figure] == second["report"][figure]
    assert first["genotype"] == second["genotype"]
    assert torch.equal(first["mean"], torch.full((3,), 0.5)) and torch.equal(second["mean"], first["mean"])
    assert first["factors"].shape == second["factors"].shape  # as many rows, and other ones of one global draw
    assert not torch.equal(first["factors"], second["factors"])
    assert (first["told"], second["told"]) == (1, 0)
    saved = torch.load(tmp_path / "run" / "search.pt", weights_only=True)
    assert saved["identity"]["world_size"] == 2
    assert torch.equal(saved["supernet"]["alphas.normal"], first["supernet"]["alphas.normal"])


@needs_gloo
def test_the_command_runs_under_torchrun(tmp_path):
    overrides = (
        "space=tiny", "search.epochs=1", "search.num_cells=3", "search.channels=4", "search.validation_epochs=0",
        "final.seeds=0", "data.train_limit=256", "network.num_cells=3",
    )  # fmt: skip
    outputs = launch("-m", "nasdrop", "search", "robust_darts_digits", *overrides, "--out", tmp_path / "run")
    assert "epoch 1 of 1" in outputs[0] and outputs[1].strip() == ""
    assert json.loads((tmp_path / "run" / "genotype.json").read_text())
