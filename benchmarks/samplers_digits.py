"""Samplers on cells that are really trained: the darts space on scikit-learn's digits. `... run`, then `... report`.

Each distinct cell is trained for a few epochs by the same seed, so its value is the same for every sampler, and is kept
in a JSON-lines file: `run` goes on where it was stopped. Small networks, few epochs: this compares samplers, not cells.
"""

import argparse
import json
import statistics
import tempfile
from functools import partial
from pathlib import Path

import optuna
import torch

from nasdrop import config, resources
from nasdrop.files import write_text
from nasdrop.run_folder import RunFolder
from nasdrop.searchers.samplers import SAMPLERS, distributions
from nasdrop.searching import make_training
from nasdrop.settings import Experiment
from nasdrop.space import SearchSpace
from nasdrop.train import load

AT = (10, 20, 30)
SEEDS = 5
NAMES = ("bayesian", "local_search", "tpe", "random")
SETTINGS = ("network.channels=4", "search.epochs=3", "train.learning_rate=0.1")
RESULTS = Path(__file__).parent / "results"
CELLS, RUNS = RESULTS / "samplers_digits_cells.jsonl", RESULTS / "samplers_digits_runs.jsonl"


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path, value):
    with path.open("a") as file:
        file.write(json.dumps(value) + "\n")


def trained(training, epochs, known, genotype):
    """Validation accuracy of a cell and seconds of its training, from the file where it has been trained."""
    form = training.space.canonical(genotype)
    if form not in known:
        outcome = training.run(genotype, label="trial", epochs=epochs, seed=0)
        known[form] = outcome.accuracy
        append(CELLS, {"cell": form, "accuracy": outcome.accuracy, "seconds": round(outcome.seconds, 2)})
    return known[form]


def run_study(name, seed, space, value):
    """Best validation accuracy after each distinct cell."""
    study = optuna.create_study(direction="maximize", sampler=SAMPLERS[name](space, 10, seed))
    best, known = [], set()
    while len(known) < AT[-1]:
        trial = study.ask(distributions(space))
        genotype = space.decode(trial.params)
        accuracy = value(genotype)
        study.tell(trial, accuracy)
        if (form := space.canonical(genotype)) not in known:
            known.add(form)
            best.append(max([accuracy, *best[-1:]]))
    return best


def run():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    experiment = config.load(Experiment, resources.find("experiments", "digits"), SETTINGS)
    space = SearchSpace.load(experiment.space)
    known = {line["cell"]: line["accuracy"] for line in read(CELLS)}
    done = {(line["sampler"], line["seed"]) for line in read(RUNS)}
    with tempfile.TemporaryDirectory() as folder:
        data, device = load(experiment.data), torch.device("cpu")
        training = make_training(experiment, space, data, RunFolder(Path(folder)), device)
        value = partial(trained, training, experiment.search.epochs, known)
        for seed in range(SEEDS):
            for name in NAMES:
                if (name, seed) not in done:
                    append(RUNS, {"sampler": name, "seed": seed, "best": run_study(name, seed, space, value)})


def report():
    cells, runs = read(CELLS), read(RUNS)
    lines = [
        "# Samplers on trained cells: the darts space on scikit-learn's digits", "",
        f"`python benchmarks/samplers_digits.py run`, then `report`; `digits` with {' '.join(SETTINGS)}; "
        f"torch {torch.__version__}, optuna {optuna.__version__}, one thread of a shared 2-core machine. "
        f"{len(cells)} cells trained, {sum(cell['seconds'] for cell in cells) / 60:.0f} minutes. Best validation "
        "accuracy (360 images) after so many distinct cells, mean over runs ± its standard error, %:", "",
        "| sampler | runs | " + " | ".join(f"at {at}" for at in AT) + " |", "|---" * (len(AT) + 2) + "|",
    ]  # fmt: skip
    for name in NAMES:
        best = [line["best"] for line in runs if line["sampler"] == name]
        if len(best) > 1:
            values = [[100 * curve[at - 1] for curve in best] for at in AT]
            texts = (f"{statistics.fmean(v):.2f} ± {statistics.stdev(v) / len(v) ** 0.5:.2f}" for v in values)
            lines.append(f"| {name} | {len(best)} | " + " | ".join(texts) + " |")
    write_text(RESULTS / "samplers_digits.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("run", "report"))
    {"run": run, "report": report}[parser.parse_args().what]()
