"""The one place where a device is chosen, threads are set, and torch's global random state is seeded or kept."""

import hashlib
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nasdrop.errors import ConfigError


def choose_device(name: str = "auto") -> torch.device:
    """The device that a name means.

    Args:
        name: auto (CUDA where there is one, else the CPU), cpu, cuda or cuda:N.

    Raises:
        ConfigError: another name, or a CUDA device that this machine or this build of PyTorch does not have.
    """
    kind, _, number = name.partition(":")
    if name == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    elif kind == "mps":
        raise ConfigError(f"device: mps is not supported until somebody has tested it, got {name!r}; use cpu")
    elif name not in ("cpu", "cuda") and not (kind == "cuda" and number.isdecimal()):
        raise ConfigError(f"device: must be auto, cpu, cuda or cuda:N, got {name!r}")
    if kind == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        reason = "this PyTorch is built without CUDA" if torch.version.cuda is None else "no CUDA device is found"
        raise ConfigError(f"device: {reason}, got {name!r}; use auto or cpu")
    index = int(number or 0)
    if index >= count:
        raise ConfigError(f"device: must be one of cuda:0..cuda:{count - 1}, got {name!r}")
    return torch.device("cuda", index)


def worker_devices(name: str, count: int, threads: int) -> list[torch.device]:
    """A device for each of `count` worker processes; GPUs are dealt out in turn.

    Args:
        name: as in `choose_device`; auto and cuda mean all GPUs.
        count: of workers; 0: one a GPU, or as many as fill the cores of a machine without.
        threads: of one worker.

    Raises:
        ConfigError: as `choose_device`.
    """
    first = choose_device(name)
    if first.type == "cpu":
        return [first] * (count or max(1, num_cores() // max(1, threads)))
    numbers = range(torch.cuda.device_count()) if name in ("auto", "cuda") else (first.index,)
    return [torch.device("cuda", numbers[worker % len(numbers)]) for worker in range(count or len(numbers))]


def num_cores() -> int:
    """CPU cores that this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )  # Linux alone has it


def set_threads(count: int = 0) -> int:
    """Let torch compute with `count` CPU threads; 0: as many as this process may use. Returns the number."""
    chosen = count or num_cores()
    torch.set_num_threads(chosen)
    return chosen


def peak_memory(device: torch.device) -> float:
    """Most memory in MiB so far: what torch has held on a CUDA device, or what this process has had resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, Linux KiB


@contextmanager
def deterministic(*, enabled: bool = True) -> Iterator[None]:
    """Inside, torch computes bit-equal results from equal input at an equal number of threads; then all is as before.

    On CUDA it must be entered before the first use of the device, because cuBLAS reads its workspace setting once, from
    an environment variable that stays set.
    """
    if not enabled:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(mode=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark


@contextmanager
def isolated_rng(device: torch.device) -> Iterator[None]:
    """Inside, torch's default generators may be seeded and used at will; then they are as before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def seed_rng(device: torch.device, seed: int) -> None:
    """Seed torch's default generators of the CPU and of one device."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def rng_state(device: torch.device) -> torch.Tensor:
    """The states of torch's default generators of the CPU and of one device, as bytes (B,) on the CPU."""
    state = torch.get_rng_state()
    return torch.cat([state, torch.cuda.get_rng_state(device)]) if device.type == "cuda" else state


def set_rng_state(device: torch.device, state: torch.Tensor) -> None:
    """Take back what `rng_state` gave."""
    size = torch.get_rng_state().numel()
    torch.set_rng_state(state[:size].clone())  # torch reads from the start of the storage, whatever the view
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[size:].clone(), device)


def derive_seed(*parts: int | str) -> int:
    """A seed for one purpose, from a run's seed and what it is for: 32 bits, all that the CPU generator takes."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=4).digest(), "big")
