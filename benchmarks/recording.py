"""What recording costs: the share of a training step in which its masks are counted, and an epoch's records.

    python benchmarks/recording.py [--steps 20] [--threads 2]

One process, one network (DARTS_V2, 8 cells, 8 channels, batch 32 of 3x32x32 images); medians over steps. The records
of an epoch (numbers, JSON lines, TensorBoard events) are timed by themselves, pictures too, which are drawn once a
training. Synchronisations are counted in a counted step. On a CPU, where a call ends when its work is done.
"""

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from nasdrop.drop import Schedule
from nasdrop.models.network import Network
from nasdrop.searchers.pictures import picture_cell, picture_rates
from nasdrop.space import Genotype, SearchSpace
from nasdrop.train import EpochReport, Recorder
from nasdrop.train.draws import StepDraws
from nasdrop.train.report import record_epoch

BATCH, STEPS = 32, 1562  # images a step; steps of an epoch of CIFAR-10's 50,000


class Synchronisations(TorchDispatchMode):
    """Counts what reads a value back from the device."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def step(network, optimizer, draws, images, labels, number):
    """Seconds of a step, and those of them in which masks are counted."""
    counting, observe = [], draws.scheduler.observe

    def timed(draw):
        began = time.perf_counter()
        observe(draw)
        counting.append(time.perf_counter() - began)

    draws.scheduler.observe = timed
    started = time.perf_counter()
    paths = draws.paths(len(images), 0, number)
    functional.cross_entropy(network(images, **paths), labels).backward()
    optimizer.step()
    optimizer.zero_grad()
    seconds = time.perf_counter() - started
    draws.scheduler.observe = observe
    return seconds, sum(counting)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    genotype = Genotype.read("DARTS_V2")
    network = Network(SearchSpace.load("darts"), genotype, 8, 8, num_classes=10, in_channels=3).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, fused=True)
    draws = StepDraws(network, Schedule(0.2, "constant"), 0, 50, STEPS)
    images = torch.randn(BATCH, 3, 32, 32)
    labels = torch.randint(10, (BATCH,))
    times = [step(network, optimizer, draws, images, labels, number) for number in range(3 + asked.steps)][3:]
    with Synchronisations() as seen:
        step(network, optimizer, draws, images, labels, 3 + asked.steps)
    records, pictures = epoch_end(network, genotype, draws)
    plain = statistics.median(seconds - counting for seconds, counting in times)
    low, middle, high = statistics.quantiles((100 * part / (whole - part) for whole, part in times), n=4)
    print(f"torch {torch.__version__}, {asked.threads} threads, {platform.machine()}, {asked.steps} steps")
    print(f"step without counting: {1000 * plain:.1f} ms (median)")
    print(f"counting: {middle:.3f} % of that (quartiles {low:.3f}, {high:.3f})")
    print(f"synchronisations in a counted step: {seen.count}")
    share = 100 * records / (STEPS * plain)
    print(f"records of an epoch: {1000 * records:.1f} ms (median), {share:.3f} % of an epoch of {STEPS} steps")
    print(f"its two pictures, once a training: {1000 * pictures:.0f} ms (median)")


def epoch_end(network, genotype, draws):
    """Median seconds of an epoch's records, and of the two pictures of a training."""
    records, pictures = [], []
    with tempfile.TemporaryDirectory() as folder, Recorder(Path(folder)) as recorder:
        for epoch in range(3):
            started = time.perf_counter()
            report = EpochReport(epoch, 50, 1.0, 0.5, None, 0.1, 1.0, **draws.counts(epoch))
            record_epoch(recorder, report, network)
            records.append(time.perf_counter() - started)
            started = time.perf_counter()
            picture_cell(recorder, genotype)
            picture_rates(recorder, [report.planned] * 50, network.path_drop, epoch)
            pictures.append(time.perf_counter() - started)
    return statistics.median(records), statistics.median(pictures)


if __name__ == "__main__":
    main()
