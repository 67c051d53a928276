"""How far scores by inherited weights agree with the truth: `... run`, `... speed`, then `... report`.

A supernet of the NAS-Bench-201 space is trained on a part of CIFAR-10, with and without drop path; cells from all over
the space are scored with its weights, as `search.evaluator = "inherited"` does it; Kendall's tau compares the scores
with the table's accuracies after 200 epochs. Each supernet's scores are kept: `run` goes on where it was stopped.
"""

import argparse
import json
import platform
import random
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kendalltau

from nasdrop import config, resources
from nasdrop.files import write_text
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.inherited import InheritedEvaluator, trained_supernet
from nasdrop.searchers.result import Silent
from nasdrop.searchers.table import Table
from nasdrop.searching import make_training
from nasdrop.settings import Experiment
from nasdrop.space import Genotype, SearchSpace
from nasdrop.train import load

RATES = (0.0, 0.2)
SEEDS = (0, 1, 2)
CELLS = 200
KINDS = ("accuracy", "likelihood")
SETTINGS = (
    "data.name=cifar10_jpeg", "data.train_limit=20000", "threads=1", "drop.schedule=robust-darts",
    "search.evaluator=inherited", "search.supernet.channels=8", "search.supernet.num_cells=3",
    "search.supernet.epochs=20", "search.supernet.learning_rate=0.1", "search.supernet.crop_padding=2",
    "search.supernet.flip=true", "search.supernet.score_images=2000", "network.num_cells=15",
)  # fmt: skip
RESULTS = Path(__file__).parent / "results"
RUNS, PAGE = RESULTS / "inherited.json", RESULTS / "inherited.md"
SPEED = RESULTS / "inherited_speed.json"
TIMED = 60  # cells


def read():
    return json.loads(RUNS.read_text()) if RUNS.exists() else []


def chosen(table):
    """One cell of each of as many strata of validation accuracy: distinct cells, each worth the row of its class."""
    values = table.column("valid_accuracy_200")
    rows = sorted(set(table.rows.values()), key=lambda row: values[row])
    dice = random.Random(0)  # noqa: S311 - a reproducible draw, not a secret
    return [int(dice.choice(list(stratum))) for stratum in np.array_split(rows, CELLS)]


def halved(images):
    """Images of half the side, each pixel the mean of four: a core trains on them in a third of the time."""
    count, channels, height, width = images.pixels.shape
    blocks = images.pixels.float().reshape(count, channels, height // 2, 2, width // 2, 2)
    return replace(images, pixels=blocks.mean((3, 5)).round().to(torch.uint8))


def make(folder, *overrides):
    """How the experiment trains, on halved images."""
    path = resources.find("experiments", "nas_bench_201_table")
    experiment = config.load(Experiment, path, (*SETTINGS, *overrides))
    data = load(experiment.data).limited(experiment.data.train_limit)
    data = replace(data, train=halved(data.train), valid=halved(data.valid), test=halved(data.test))
    space = SearchSpace.load(experiment.space)
    return make_training(experiment, space, data, RunFolder(Path(folder)), torch.device("cpu"))


def score_all(p, seed, genotypes):
    """Seconds of the supernet's training, seconds of all scores, accuracies and losses."""
    with tempfile.TemporaryDirectory() as folder:
        training = make(folder, f"drop.p={p}", f"seed={seed}")
        settings = training.experiment.search.supernet
        started = time.perf_counter()
        supernet = trained_supernet(training, settings, Silent())
        trained = time.perf_counter()
        evaluator = InheritedEvaluator(training, supernet, settings)
        found = [evaluator(genotype, lambda epoch, value: None) for genotype in genotypes]
        seconds = trained - started, time.perf_counter() - trained
        return *seconds, [one.value for one in found], [one.attributes["loss"] for one in found]


def run():
    torch.set_num_threads(1)
    space = SearchSpace.load("nas_bench_201")
    table = Table.load("nas_bench_201_cifar10", space)
    rows = chosen(table)
    genotype_of = {table.row(genotype): genotype for genotype in space.enumerate()}
    genotypes: list[Genotype] = [genotype_of[row] for row in rows]
    runs = read()
    for seed in SEEDS:
        for p in RATES:
            if any((line["p"], line["seed"]) == (p, seed) for line in runs):
                continue
            training, scoring, accuracies, losses = score_all(p, seed, genotypes)
            runs.append({"p": p, "seed": seed, "training": round(training, 1), "scoring": round(scoring, 1)})
            runs[-1] |= {"rows": rows, "accuracies": accuracies, "losses": [round(loss, 6) for loss in losses]}
            write_text(RUNS, json.dumps(runs) + "\n")


def speed():
    """Time scores alone; how fast they come does not depend on what the weights have learned."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        training = make(folder, "search.supernet.epochs=1", "data.train_limit=2000")
        supernet = trained_supernet(training, training.experiment.search.supernet, Silent())
        evaluator = InheritedEvaluator(training, supernet, training.experiment.search.supernet)
        dice, seconds = random.Random(0), []  # noqa: S311 - a reproducible draw, not a secret
        for genotype in (training.space.sample(dice) for _ in range(TIMED)):
            started = time.perf_counter()
            evaluator(genotype, lambda epoch, value: None)
            seconds.append(time.perf_counter() - started)
    write_text(SPEED, json.dumps({"seconds": [round(second, 4) for second in seconds]}) + "\n")


def tau(scores, truth):
    return float(kendalltau(scores, truth).statistic)


def over_cells(scores, truth):
    """Standard error of tau from resampling the cells."""
    generator = np.random.default_rng(0)
    draws = [generator.integers(len(scores), size=len(scores)) for _ in range(500)]
    return statistics.stdev(tau(np.asarray(scores)[draw], np.asarray(truth)[draw]) for draw in draws)


def mean_and_error(values):
    error = f" ± {statistics.stdev(values) / len(values) ** 0.5:.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{error}"


def ranking(line, kind):
    """What a supernet ranks the cells by: accuracy, or likelihood."""
    return np.asarray(line["accuracies"]) if kind == "accuracy" else -np.asarray(line["losses"])


def report():
    runs = read()
    table = Table.load("nas_bench_201_cifar10", SearchSpace.load("nas_bench_201"))
    rows = runs[0]["rows"]
    valid, test = (table.column(name)[rows] for name in ("valid_accuracy_200", "test_accuracy_200"))
    better = valid >= np.median(valid)
    seconds = sorted(line["training"] for line in runs)
    lines = [
        "# Scores by inherited weights against the truth: NAS-Bench-201, CIFAR-10", "",
        f"`python benchmarks/inherited.py run`, `speed`, then `report`. {len(rows)} distinct cells, one of each of as "
        "many strata of the table's validation accuracy. A supernet of 3 cells and 8 channels is trained for 20 epochs "
        "on 20,000 training images of CIFAR-10 (JPEG re-compressed, and halved to 16x16) in batches of 64: 6,240 "
        "steps, a uniformly drawn cell each. A cell is scored on 2,000 validation images after batch norm's statistics "
        "are estimated anew from 512 training images. One thread of a 2-core machine that others worked on, Python "
        f"{platform.python_version()}, torch {torch.__version__}: one training took {seconds[0]:.0f} to "
        f"{seconds[-1]:.0f} s. Not measured on a GPU.", "",
        "Kendall's tau (b) between scores and the accuracies after 200 epochs, mean over seeds ± standard error:", "",
        "| cells ranked by | seeds | validation | test | test, better half | mean accuracy, % |", "|---" * 6 + "|",
    ]  # fmt: skip
    for p in RATES:
        mine = [line for line in runs if line["p"] == p]
        accuracy = 100 * statistics.fmean(statistics.fmean(line["accuracies"]) for line in mine)
        for kind in KINDS:
            scores = [ranking(line, kind) for line in mine]
            columns = [
                mean_and_error([tau(one, valid) for one in scores]),
                mean_and_error([tau(one, test) for one in scores]),
                mean_and_error([tau(one[better], test[better]) for one in scores]),
            ]
            what = f"{kind}, drop path of p = {p:g}" if p else f"{kind}, no drop path"
            lines.append(f"| {what} | {len(mine)} | " + " | ".join([*columns, f"{accuracy:.1f}"]) + " |")
    parameters = table.column("params_m")[rows]
    taus = [tau(parameters, valid), tau(parameters, test), tau(parameters[better], test[better])]
    lines.append("| number of parameters | | " + " | ".join(f"{value:.3f}" for value in taus) + " | |")
    took = json.loads(SPEED.read_text())["seconds"]
    middle, low, high = (float(np.quantile(took, share)) for share in (0.5, 0.25, 0.75))
    lines += [
        "", f"With other work paused a score takes {1000 * middle:.0f} ms (median of {len(took)} random cells; "
        f"quartiles {1000 * low:.0f} and {1000 * high:.0f}): "
        f"{60 / statistics.fmean(took):.0f} cells a minute on one thread.",
    ]  # fmt: skip
    error = over_cells(ranking(runs[0], "likelihood"), valid)
    lines += ["", f"Resampling the cells moves one tau by {error:.3f} (standard error). Seed by seed (validation):", ""]
    for kind in KINDS:
        found = {(line["p"], line["seed"]): tau(ranking(line, kind), valid) for line in runs}
        pairs = [(found[0.0, seed], found[0.2, seed]) for seed in SEEDS if (0.2, seed) in found]
        texts = (f"{without:.3f} and {dropped:.3f}" for without, dropped in pairs)
        lines.append(f"- {kind}, without and with drop path: {'; '.join(texts)}.")
    write_text(PAGE, "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("run", "speed", "report"))
    {"run": run, "speed": speed, "report": report}[parser.parse_args().what]()
