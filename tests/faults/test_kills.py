"""Some hundred kills of every kind; thousands: `python -m tests.faults --rounds 2000 --seed 1`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FEW = "table:40,study:5,gradient:6,train:6,workers:2,export:1"
"""What fits into a minute."""


def rounds(*options, timeout):
    command = [sys.executable, "-W", "ignore", "-m", "tests.faults", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout)


def test_a_kill_at_any_moment_loses_nothing_and_breaks_nothing(tmp_path):
    done = rounds("--kinds", FEW, "--seed", "1", "--folder", str(tmp_path), timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gradient", "train"])
def test_a_hundred_resumed_runs_end_with_the_bits_of_an_unbroken_one(kind, tmp_path):
    done = rounds("--kinds", f"{kind}:100", "--seed", "2", "--folder", str(tmp_path), timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
