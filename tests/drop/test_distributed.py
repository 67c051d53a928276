"""Two processes draw what one draws: each its rows of the global draw, all the same choices, the same training."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

WORKER = Path(__file__).with_name("gloo_worker.py")

pytestmark = pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")


def start(rank: int, world_size: int, folder: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(WORKER), str(rank), str(world_size), str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_two_processes_equal_one(tmp_path: Path) -> None:
    running = [start(0, 1, tmp_path), start(0, 2, tmp_path), start(1, 2, tmp_path)]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], outputs
    one, *two = (torch.load(tmp_path / name, weights_only=True) for name in ("1-0.pt", "2-0.pt", "2-1.pt"))
    for name, dim in (("node", 1), ("join", 1), ("output", 0)):
        for step, whole in enumerate(one[name]):
            parts = torch.cat([part[name][step] for part in two], dim)
            torch.testing.assert_close(parts, whole, rtol=0, atol=0 if name != "output" else 1e-6)
    assert one["choice"] == two[0]["choice"] == two[1]["choice"]
    columns = {int(choice) for choice in one["choice"]}
    assert -1 in columns
    assert len(columns) > 1
    assert not torch.equal(one["node"][0][:, :6], one["node"][0][:, 6:])
    for part in two:
        for trained, expected in zip(part["weights"], one["weights"], strict=True):
            torch.testing.assert_close(trained, expected, rtol=1e-5, atol=1e-6)
