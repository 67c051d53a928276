"""Seconds of the fuzzer for every parser; minutes: `python -m tests.faults.fuzz --seconds 600`."""

import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasdrop import config
from nasdrop.errors import ConfigError, RunFolderError
from nasdrop.settings import Experiment
from nasdrop.train.checkpoint import load, save
from tests.faults.mutations import MUTATIONS, mutate

ROOT = Path(__file__).parent.parent.parent
QUICK = "experiment.toml,override,space.toml,genotype,npz,idx,cifar.bin,pictures.csv,checkpoint,journal,table.csv"


def test_what_is_nearly_right_is_answered_in_one_line(tmp_path):
    command = [sys.executable, "-m", "tests.faults.fuzz", "--seconds", "6", "--parsers", QUICK, "--folder", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("change", MUTATIONS)
def test_every_mutation_takes_any_bytes(change):
    dice = random.Random(0)
    for content in (b"", b"x", b"PK\x03\x04", b'{"a": 1}', bytes(100)):
        assert isinstance(change(content, [content], dice), bytes)


def test_equal_seeds_give_equal_mutations():
    first, second = (mutate(b'{"a": [1, 2]}', [b"b"], random.Random(3)) for _ in range(2))
    assert first == second


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([*sorted(config.flatten(Experiment(name="x"))), "search.kind", "final.drop.p", "x", "search"])


@given(KEYS, VALUES)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_value_under_any_key_is_taken_or_refused_in_single_lines(key, value):
    tree = {"name": "x"}
    place = tree
    *parents, last = key.split(".")
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    try:
        config.validate(Experiment, tree, "x.toml")
    except ConfigError as error:
        assert error.lines and all("\n" not in line for line in error.lines)


class Bomb:
    def __reduce__(self):
        return (bytearray, (10**13,))


def test_a_checkpoint_that_asks_for_memory_is_refused_before_it_is_read(tmp_path):
    import torch

    torch.save({"x": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(RunFolderError, match=r"it calls .*bytearray"):
        load(tmp_path / "bomb.pt")
    save(tmp_path / "sound.pt", {"x": torch.zeros(3), "y": [1, None, "z"]})
    with zipfile.ZipFile(tmp_path / "sound.pt") as archive:
        names = archive.namelist()
    assert load(tmp_path / "sound.pt").keys() == {"x", "y"} and len(names) > 1
