"""Accuracy against a cost on NAS-Bench-201's table: `python benchmarks/samplers_pareto.py run`, then `... report`.

A run is worth the hypervolume of its front as a share of that of the true front of all 4,930 classes. The reference
point is the true front's highest cost plus a tenth of its range, and an accuracy: that of its worst cell (zeros, 10 %)
less a tenth of the range, or 85 %, which asks for cells that are of use.
"""

import argparse
import json
import platform
import statistics
from itertools import product
from pathlib import Path

import numpy as np
import optuna

from nasdrop.files import write_text
from nasdrop.searchers.samplers import SAMPLERS, distributions
from nasdrop.searchers.table import Table
from nasdrop.space import SearchSpace

VALUE, COSTS = "valid_accuracy_200", ("latency_ms_edgegpu", "params_m")
AT = (50, 100, 150, 200)
SEEDS = 30
NAMES = ("bayesian", "nsga2", "random")
RESULTS = Path(__file__).parent / "results"
RUNS = RESULTS / "samplers_pareto.jsonl"


class Benchmark:
    """The value and one cost, and the true front."""

    def __init__(self, cost):
        self.cost = cost
        self.space = SearchSpace.load("nas_bench_201")
        self.table = Table.load("nas_bench_201_cifar10", self.space)
        self.points = np.stack([self.table.column(cost), self.table.column(VALUE)], axis=1)
        self.front = front_of(self.points[list(self.table.rows.values())])
        best, worst = self.front[:, 0].min(), self.front[:, 0].max()
        high, low = self.front[:, 1].max(), self.front[:, 1].min()
        worst += (worst - best) / 10
        self.references = {
            name: np.array([worst, at]) for name, at in (("whole", low - (high - low) / 10), ("85 %", 85))
        }

    def run(self, name, seed):
        """The rows of the distinct cells, in order."""
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=SAMPLERS[name](self.space, 10, seed))
        rows, proposals = {}, 0
        while len(rows) < AT[-1] and proposals < 3_000:
            trial = study.ask(distributions(self.space))
            proposals += 1
            form = self.space.canonical(self.space.decode(trial.params))
            row = self.table.rows[form]
            cost, value = self.points[row]
            study.tell(trial, [value, cost])
            rows[form] = row
        return {"cost": self.cost, "sampler": name, "seed": seed, "proposals": proposals, "rows": list(rows.values())}

    def share(self, rows, reference):
        return hypervolume(front_of(self.points[rows]), reference) / hypervolume(self.front, reference)


def front_of(points):
    """Points (cost, value) that no other beats, by rising cost."""
    kept = []
    for cost, value in sorted(map(tuple, points), key=lambda point: (point[0], -point[1])):
        if not kept or value > kept[-1][1]:
            kept.append((cost, value))
    return np.array(kept)


def hypervolume(front, reference):
    """Area between a front and a reference point of high cost and low value."""
    worst, low = reference
    area = 0.0
    for cost, value in front:
        if cost < worst and value > low:
            area += (worst - cost) * (value - low)
            low = value
    return area


def run():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    benchmarks = [Benchmark(cost) for cost in COSTS]
    done = {(line["cost"], line["sampler"], line["seed"]) for line in read_runs()}
    for seed, name, benchmark in product(range(SEEDS), NAMES, benchmarks):
        if (benchmark.cost, name, seed) not in done:
            with RUNS.open("a") as file:
                file.write(json.dumps(benchmark.run(name, seed)) + "\n")


def read_runs():
    return [json.loads(line) for line in RUNS.read_text().splitlines()] if RUNS.exists() else []


def report():
    lines = [
        "# Accuracy against what it costs", "",
        f"`python benchmarks/samplers_pareto.py run`, then `report`; {VALUE} on NAS-Bench-201, CIFAR-10; optuna "
        f"{optuna.__version__}, Python {platform.python_version()}. Hypervolume of a run's front, as a share of that "
        "of the true front, after so many distinct cells; mean ± standard error over runs.",
    ]  # fmt: skip
    for benchmark in map(Benchmark, COSTS):
        for title, (cost, value) in benchmark.references.items():
            lines += [
                "", f"## {benchmark.cost} ({len(benchmark.front)} of 4,930 classes on the true front), "
                f"reference point {title}: {cost:.3f}, {value:.2f} %", "",
                "| sampler | runs | " + " | ".join(f"at {at}" for at in AT) + " |", "|---" * (len(AT) + 2) + "|",
            ]  # fmt: skip
            lines += rows_of(benchmark, benchmark.references[title])
    lines += [
        "",
        "`bayesian` measures the growth of the hypervolume in ranks or in values, by chance: one of four forms, tried",
        "in four other runs of each, on the latency. There, from the first reference point, `nsga2` and `random` are",
        "ahead of it at 50 and 100 cells.",
    ]  # fmt: skip
    write_text(RESULTS / "samplers_pareto.md", "\n".join(lines) + "\n")


def rows_of(benchmark, reference):
    for name in NAMES:
        runs = [line["rows"] for line in read_runs() if (line["cost"], line["sampler"]) == (benchmark.cost, name)]
        shares = [[benchmark.share(rows[:at], reference) for rows in runs] for at in AT]
        texts = (f"{statistics.fmean(one):.4f} ± {statistics.stdev(one) / len(one) ** 0.5:.4f}" for one in shares)
        yield f"| {name} | {len(runs)} | " + " | ".join(texts) + " |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("run", "report"))
    {"run": run, "report": report}[parser.parse_args().what]()
