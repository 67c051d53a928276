"""Compares samplers on NAS-Bench-201's table: `python benchmarks/samplers.py run`, `... timing`, `... report`.

An evaluation is the first query of a canonical class, worth the row with its lowest index; a sampler that proposes a
known cell gets its value again and the proposal does not count. A run ends at the optimum of what the search sees:
nothing after it can change. Runs are kept a line each in a JSON-lines file, so `run` goes on where it was stopped.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import optuna

from nasdrop.files import write_json, write_text
from nasdrop.searchers.samplers import SAMPLERS, distributions
from nasdrop.searchers.table import Table
from nasdrop.space import SearchSpace
from nasdrop.view.chart import Chart, Series
from nasdrop.view.chart_svg import chart_svg

AT = (50, 100, 150, 200, 300)
SEEDS = {
    "bayesian": 50,
    "local_search": 100,
    "evolution": 100,
    "tpe": 50,
    "gp": 10,
    "nsga2": 100,
    "nsga3": 30,
    "random": 100,
}
MOST_PROPOSALS = {"gp": 150}  # it repeats itself, at a third of a second a proposal; the others: 3,000
RESULTS = Path(__file__).parent / "results"


class Benchmark:
    """One column of the table as what a search sees."""

    def __init__(self, column):
        self.space = SearchSpace.load("nas_bench_201")
        self.table = Table.load("nas_bench_201_cifar10", self.space)
        self.values = self.table.column(column)
        self.optimum = max(self.values[row] for row in self.table.rows.values())
        self.distributions = distributions(self.space)

    def run(self, name, seed, evaluations):
        """Evaluations at which the best value rose, each with its row; how many there were, of how many proposals."""
        study = optuna.create_study(direction="maximize", sampler=SAMPLERS[name](self.space, 10, seed))
        known, rises, proposals = set(), [], 0
        best = -np.inf
        while len(known) < evaluations and proposals < MOST_PROPOSALS.get(name, 3_000) and best < self.optimum:
            trial = study.ask(self.distributions)
            proposals += 1
            form = self.space.canonical(self.space.decode(trial.params))
            row = self.table.rows[form]
            study.tell(trial, self.values[row])
            known.add(form)
            if self.values[row] > best:
                best = self.values[row]
                rises.append((len(known), row))
        return {"rises": rises, "evaluations": len(known), "proposals": proposals}

    def seconds(self, name, trials=300, proposals=11):
        """Median and largest seconds of a proposal after so many trials of random cells."""
        sampler = SAMPLERS["random"](self.space, 10, 0)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        times = []
        for number in range(trials + proposals):
            if number == trials:
                study.sampler = SAMPLERS[name](self.space, 10, 0)
            started = time.perf_counter()
            trial = study.ask(self.distributions)
            times.append(time.perf_counter() - started)
            study.tell(trial, self.values[self.table.rows[self.space.canonical(self.space.decode(trial.params))]])
        last = times[trials + 1 :]  # the first one builds the sampler's caches
        return statistics.median(last), max(last)


def run(arguments):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    benchmark = Benchmark(arguments.column)
    path = runs_file(arguments.column)
    done = {(line["sampler"], line["seed"]) for line in read_runs(path)}
    for name in arguments.samplers or SEEDS:
        for seed in range(arguments.seeds or SEEDS[name]):
            if (name, seed) not in done:
                result = {"sampler": name, "seed": seed, **benchmark.run(name, seed, arguments.evaluations)}
                with path.open("a") as file:
                    file.write(json.dumps(result) + "\n")
        print(name, "done", flush=True)


def timing(arguments):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    benchmark = Benchmark(arguments.column)
    seconds = {name: benchmark.seconds(name) for name in arguments.samplers or SEEDS}
    load = os.getloadavg()[0]
    write_json(RESULTS / "samplers_timing.json", {"load average": round(load, 1), "seconds": seconds})
    print(json.dumps(seconds, indent=1))


def runs_file(column):
    return RESULTS / f"samplers_{column}.jsonl"


def read_runs(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def by_sampler(column):
    runs = {}
    for line in read_runs(runs_file(column)):
        runs.setdefault(line["sampler"], []).append(line)
    return {name: runs[name] for name in SEEDS if name in runs}


def best_row(line, evaluations):
    return max((at, row) for at, row in line["rises"] if at <= evaluations)[1]


def rows_of(runs, benchmark):
    """(sampler, runs, [share at the optimum, mean validation, mean test] for each of AT) a sampler."""
    tests = benchmark.table.column("test_accuracy_200")
    for name, lines in runs.items():
        cells = []
        for at in AT:
            rows = [best_row(line, at) for line in lines]
            share = statistics.fmean(benchmark.values[row] == benchmark.optimum for row in rows)
            cells.append(
                (share, statistics.fmean(benchmark.values[rows]), statistics.fmean(tests[rows]), np.std(tests[rows]))
            )
        yield name, lines, cells


def report(arguments):
    lines = [
        "# Samplers on NAS-Bench-201's table, CIFAR-10",
        "",
        f"`python benchmarks/samplers.py run`, `timing` and `report`; optuna {optuna.__version__}, "
        f"numpy {np.__version__}, Python {platform.python_version()}, one thread of a shared 2-core machine. "
        + " ".join(__doc__.partition("\n\n")[2].split()),
        "",
        "nsga2 and nsga3 draw their first 50 cells at random; tpe and gp 10, evolution 30, local_search 10 before each",
        "climb, bayesian 5, far apart. All are at their defaults. gp made at most 150 proposals, of which some repeat",
        "cells: its later columns show what it had then.",
    ]
    for column in ("valid_accuracy_200", "valid_accuracy_12"):
        benchmark, runs = Benchmark(column), by_sampler(column)
        lines += section(column, benchmark, runs)
        write_text(RESULTS / f"samplers_{column}.svg", chart_svg(picture(column, runs, benchmark)))
    lines += timing_section(json.loads((RESULTS / "samplers_timing.json").read_text()))
    write_text(RESULTS / "samplers.md", "\n".join(lines) + "\n")


def timing_section(timed):
    rows = [f"| {name} | {1e3 * median:.1f} | {1e3 * most:.1f} |" for name, (median, most) in timed["seconds"].items()]
    load = timed["load average"]
    return [
        "", "## Time of a proposal", "",
        f"After 300 random trials in memory, one thread, 10 proposals, load average {load}:", "",
        "| sampler | median ms | largest ms |", "|---|---|---|", *rows,
    ]  # fmt: skip


def section(column, benchmark, runs):
    head = " | ".join(f"at {at}" for at in AT)
    rule = "|---" * (len(AT) + 2) + "|"
    tables = {"share": [], "accuracy": []}
    for name, lines, cells in rows_of(runs, benchmark):
        shares = " | ".join(f"{share:.2f}" for share, *_ in cells)
        means = " | ".join(f"{valid:.2f} / {test:.2f} ± {spread:.2f}" for _, valid, test, spread in cells)
        tables["share"].append(f"| {name} | {len(lines)} | {shares} |")
        tables["accuracy"].append(f"| {name} | {len(lines)} | {means} |")
    return [
        "", f"## The search sees {column}", "", f"![curves](samplers_{column}.svg)", "",
        f"Share of runs that found the best cell of all ({benchmark.optimum:.4f} %), after so many distinct cells:", "",
        f"| sampler | runs | {head} |", rule, *tables["share"], "",
        f"Best {column} so far / test accuracy of that cell ± its standard deviation over runs, %:", "",
        f"| sampler | runs | {head} |", rule, *tables["accuracy"],
    ]  # fmt: skip


def picture(column, runs, benchmark):
    series = []
    for name, lines in runs.items():
        shares = [
            (float(at), statistics.fmean(benchmark.values[best_row(line, at)] == benchmark.optimum for line in lines))
            for at in range(1, AT[-1] + 1)
        ]
        series.append(Series(name, tuple(shares)))
    title = f"NAS-Bench-201, {column}: runs that have found the best cell"
    return Chart(title, tuple(series), "distinct cells evaluated", "share of runs", (0.0, 1.0))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("run", "timing", "report"))
    parser.add_argument("samplers", nargs="*", choices=[*SEEDS, []], help="default: all")
    parser.add_argument("--column", default="valid_accuracy_200")
    parser.add_argument("--evaluations", type=int, default=AT[-1])
    parser.add_argument("--seeds", type=int, help="default: as many as SEEDS says")
    arguments = parser.parse_args()
    {"run": run, "timing": timing, "report": report}[arguments.what](arguments)


if __name__ == "__main__":
    main()
