import os

import pytest
import torch

from nasdrop.errors import ConfigError
from nasdrop.train.device import (
    choose_device,
    derive_seed,
    deterministic,
    isolated_rng,
    rng_state,
    seed_rng,
    set_rng_state,
    set_threads,
)

CPU = torch.device("cpu")


@pytest.fixture
def cuda(monkeypatch):
    """Pretends that the machine has so many CUDA devices."""

    def pretend(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return pretend


def test_auto_takes_cuda_where_there_is_one(cuda):
    cuda(0)
    assert choose_device() == CPU
    cuda(2)
    assert choose_device("auto") == torch.device("cuda", 0)
    assert choose_device("cuda") == torch.device("cuda", 0)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("cpu") == CPU


def refused(name):
    with pytest.raises(ConfigError) as caught:
        choose_device(name)
    (line,) = caught.value.lines
    assert repr(name) in line
    return line


@pytest.mark.parametrize("name", ["mps", "mps:0"])
def test_mps_is_refused_plainly(name):
    assert "mps is not supported until somebody has tested it" in refused(name)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "CUDA", "xpu", "auto:0"])
def test_other_names_are_refused(name):
    assert "must be auto, cpu, cuda or cuda:N" in refused(name)


def test_a_missing_cuda_device_is_said_plainly(cuda, monkeypatch):
    cuda(0)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in refused("cuda")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert "no CUDA device is found" in refused("cuda:0")
    cuda(2)
    assert "must be one of cuda:0..cuda:1" in refused("cuda:2")


def test_threads():
    before = torch.get_num_threads()
    try:
        assert set_threads(1) == torch.get_num_threads() == 1
        assert set_threads(0) == torch.get_num_threads() == len(os.sched_getaffinity(0))
    finally:
        torch.set_num_threads(before)


def test_determinism_is_switched_on_and_put_back(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = torch.are_deterministic_algorithms_enabled()
    with deterministic(enabled=False):
        assert torch.are_deterministic_algorithms_enabled() == before
        assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    with pytest.raises(ZeroDivisionError), deterministic():
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert not torch.backends.cudnn.benchmark
        raise ZeroDivisionError
    assert torch.are_deterministic_algorithms_enabled() == before


def test_the_random_state_is_seeded_inside_and_untouched_outside():
    state = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with isolated_rng(CPU):
            seed_rng(CPU, 7)
            draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_derived_seeds_are_32_bits_and_differ_by_every_part():
    seeds = {derive_seed(seed, epoch, use) for seed in range(20) for epoch in range(20) for use in ("order", "augment")}
    assert len(seeds) == 800
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert max(seeds) > 2**31
    assert derive_seed(0, 0, "order") == 1652884291  # the same in every version and on every machine


def test_random_states_are_given_back():
    cpu = torch.device("cpu")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        states = torch.stack([rng_state(cpu), rng_state(cpu)])
        expected = torch.rand(4)
        set_rng_state(cpu, states[1])  # a view that does not begin where its storage does
        assert torch.equal(torch.rand(4), expected)
