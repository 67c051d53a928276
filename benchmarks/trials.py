"""Trials an hour, against one plain sequential loop on the same cores; and what the driver itself costs a trial.

    python benchmarks/trials.py [--rounds 3]        # a few minutes; alone on the machine

The plain loop is what one writes first: one process, all cores, images in torch's default layout (NCHW), fp32, Python's
unfused SGD and clipping, an accuracy read back at each step; the networks, data, batch and epochs are the same. Both
train the same cells to the end (no pruning), with drop path.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional

from nasdrop import config, resources
from nasdrop.searchers.evaluators import Evaluation
from nasdrop.searchers.result import Silent
from nasdrop.searchers.storage import find_study, open_study
from nasdrop.searchers.study import StudySearch
from nasdrop.searchers.training import build_network
from nasdrop.searchers.trials import counted
from nasdrop.settings import Experiment, StudySettings
from nasdrop.space import Genotype, load_space
from nasdrop.train import load

TRIALS, EPOCHS = 12, 6
SETTINGS = (
    f"search.trials={TRIALS}", f"search.epochs={EPOCHS}", "search.pruner=none", "search.sampler=random",
    "final.seeds=0",
)  # fmt: skip


def ours(workers: int) -> tuple[float, float, list[Genotype]]:
    """Seconds of a search with so many one-thread workers, of those the seconds in which trials ran, and the cells."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        command = [sys.executable, "-m", "nasdrop", "search", "digits", *SETTINGS, f"workers={workers}", "threads=1"]
        started = time.perf_counter()
        subprocess.run([*command, "--out", str(folder)], check=True, capture_output=True)
        whole = time.perf_counter() - started
        trials = counted(find_study(folder / "study.journal", "digits").trials)
        begin = min(trial.datetime_start for trial in trials if trial.datetime_start)
        end = max(trial.datetime_complete for trial in trials if trial.datetime_complete)
        cells = [Genotype.from_json(trial.user_attrs["genotype"]) for trial in trials]
        return whole, (end - begin).total_seconds(), cells


def plain(cells: list[Genotype], threads: int) -> float:
    """Seconds of a plain loop over the same cells."""
    torch.set_num_threads(threads)
    experiment = config.load(Experiment, resources.find("experiments", "digits"), SETTINGS)
    space, data = load_space(experiment.space), load(experiment.data)
    pixels = functional.pad(data.train.pixels.float(), (1, 1, 1, 1))
    labels, mean, std = data.train.labels, torch.tensor(data.mean), torch.tensor(data.std)
    valid = (data.valid.pixels.float() - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
    started = time.perf_counter()
    for cell in cells:
        network = build_network(experiment, space, cell, shape=data.shape, num_classes=data.num_classes)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=3e-4, foreach=False)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
        for epoch in range(EPOCHS):
            network.train()
            network.path_drop.set_rates(experiment.drop.p * epoch / EPOCHS)
            order, losses, correct = torch.randperm(len(labels)), [], 0
            for batch in order[: len(labels) // 64 * 64].split(64):
                top, left = random.randint(0, 2), random.randint(0, 2)  # noqa: S311 - augmentation
                images = pixels[batch, :, top : top + data.shape[1], left : left + data.shape[2]]
                images = (images - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
                logits = network(images)
                loss = functional.cross_entropy(logits, labels[batch])
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0, foreach=False)
                optimizer.step()
                losses.append(loss.item())
                correct += int((logits.argmax(1) == labels[batch]).sum())
            schedule.step()
            network.eval()
            with torch.no_grad():
                accuracy = (network(valid).argmax(1) == data.valid.labels).float().mean().item()
        assert accuracy > 0.2, "the plain loop must learn too"
    return time.perf_counter() - started


def driver(cells: int, sampler: str) -> tuple[int, list[float]]:
    """Trials that so many cells take, draws of known cells among them, when an evaluation costs nothing.

    And milliseconds a trial: of all, of the hundred that end with the 1,000th trial, of the last hundred.
    """
    space = load_space("nas_bench_201")
    ends: list[float] = []

    class Free:
        def __call__(self, genotype, report):
            return Evaluation(random.Random(genotype.to_json()).random())  # noqa: S311 - any value

        known_costs = None

        def cost(self, genotype, name):
            return 0.0

    class Clock(Silent):
        def trial_ended(self, record):
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory(dir=Path()) as scratch:
        study = open_study(Path(scratch) / "study.journal", "driver", Silent())
        settings = StudySettings(trials=cells, epochs=1, pruner="none", sampler=sampler)
        started = time.perf_counter()
        StudySearch(space, settings, Free(), study=study, seed=0, observer=Clock()).run()
    return len(ends), [
        1000 * (ends[-1] - started) / len(ends),
        10 * (ends[999] - ends[899]),
        10 * (ends[-1] - ends[-101]),
    ]


def rate(rounds: list[dict[str, float]], key: str) -> float:
    """Trials an hour, at the median over the rounds."""
    return 3600 * TRIALS / statistics.median(row[key] for row in rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=["trials", "driver"], default=None)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"{platform.machine()}, {cores} cores, Python {platform.python_version()}, torch {torch.__version__}\n")
    if options.part != "driver":
        rounds = []
        for number in range(options.rounds):  # interleaved, so that a disturbance hits all alike
            many, many_trials, cells = ours(cores)
            one, one_trials, _ = ours(1)
            row = {"plain": plain(cells, cores), "many": many, "many_trials": many_trials}
            rounds.append(row | {"one": one, "one_trials": one_trials})
            print(
                json.dumps({"round": number} | {key: round(value, 1) for key, value in rounds[-1].items()}), flush=True
            )
        print(f"plain loop: {rate(rounds, 'plain'):.0f} trials an hour")
        for key, name in (("many", f"{cores} workers"), ("one", "1 worker")):
            for part, what in (("_trials", "while trials run"), ("", "the whole command, start to end")):
                ratios = [row["plain"] / row[key + part] for row in rounds]
                spread = f"{statistics.median(ratios):.2f}x plain ({min(ratios):.2f} to {max(ratios):.2f})"
                print(f"{name}, {what}: {rate(rounds, key + part):.0f} trials an hour, {spread}")
    if options.part != "trials":
        for sampler in ("random", "tpe"):
            count, (mean, thousandth, last) = driver(1000, sampler)
            print(
                f"driver, {sampler}, 1,000 cells in {count:,} trials: {mean:.1f} ms a trial, {thousandth:.1f} ms at "
                f"the 1,000th, {last:.1f} ms at the end",
                flush=True,
            )


if __name__ == "__main__":
    main()
