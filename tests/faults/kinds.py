"""What is killed: for each kind the command, how it goes on, and what must hold at the end."""

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optuna.trial import FrozenTrial, TrialState

from nasdrop.run_folder import RunFolder
from nasdrop.searchers.storage import find_study, place_of
from nasdrop.searchers.trials import counted
from nasdrop.train import load_weights, read_metrics
from nasdrop.train.checkpoint import load

SPACE = """
name = "small"
skeleton = "nas_bench_201"

[cells.normal]
inputs = 1
nodes = 2
output = "last"
operations = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
"""
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


@dataclass(frozen=True)
class Kind:
    """One kind of run.

    Attributes:
        first: the command's arguments, `{inputs}` and `{run}` to be filled in; the same command goes on.
        check: what is wrong at the end, given the run folder, the unbroken run's, and what is known from other rounds.
        workers: how many processes may die beside the first one.
        start: puts into the folder what the command starts from.
    """

    first: tuple[str, ...]
    check: Callable[[Path, Path, dict[str, Any]], Iterator[str]]
    workers: int = 0
    start: Callable[[Path, Path], object] = lambda _inputs, _run: None


def prepare(inputs: Path) -> None:
    """Write what the commands read: a space, a table of all its cells, and a few images."""
    inputs.mkdir(parents=True, exist_ok=True)
    (inputs / "small.toml").write_text(SPACE)
    for name, text in EXPERIMENTS.items():
        (inputs / f"{name}.toml").write_text(text.replace("INPUTS", str(inputs)))
    rows = ["arch,valid_accuracy,parameters"]
    for number, (a, b, c) in enumerate(product(OPERATIONS, repeat=3)):
        rows.append(f"|{a}~0|+|{b}~0|{c}~1|,{50 + (37 * number % 125) / 4},{number + 1}")
    (inputs / "table.csv").write_text("\n".join(rows) + "\n")
    dice = np.random.default_rng(0)
    labels = np.arange(96) % 3
    pixels = dice.integers(0, 120, (96, 1, 8, 8)) + 60 * labels[:, None, None, None] // 2
    np.savez(inputs / "images.npz", x=pixels.astype(np.uint8), y=labels)


EXPERIMENT = """
name = "faults"
space = "{inputs}/small.toml"
device = "cpu"
threads = 1
data = {{name = "npz", root = "{inputs}", file = "images.npz"}}
network = {{channels = 2, num_cells = 3}}
drop = {{p = 0.3}}
train = {{epochs = {epochs}, batch_size = 16}}
final = {{seeds = {seeds}, random_cells = 0, without_drop = false, genotype = ""}}

[search]
{search}
"""
_STUDY = 'epochs = 2\npruner = "none"\nsampler = "random"\n'
_GRADIENT = 'kind = "gradient"\nchannels = 2\nnum_cells = 3\n'
_TABLE = 'evaluator = "table"\ntable = {name = "INPUTS/table.csv", value = "valid_accuracy"}\n'
EXPERIMENTS = {
    "table": EXPERIMENT.format(inputs="INPUTS", epochs=1, seeds=0, search=_STUDY + _TABLE + "trials = 12"),
    "study": EXPERIMENT.format(inputs="INPUTS", epochs=1, seeds=1, search=_STUDY + "trials = 3"),
    "workers": EXPERIMENT.format(inputs="INPUTS", epochs=1, seeds=2, search=_STUDY + "trials = 4"),
    "gradient": EXPERIMENT.format(
        inputs="INPUTS", epochs=1, seeds=0, search=_GRADIENT + "epochs = 2\nbatch_size = 8\ncheckpoint_steps = 1"
    ),
    "train": EXPERIMENT.format(
        inputs="INPUTS", epochs=4, seeds=1,
        search=_GRADIENT + 'strategy = "one_shot"\nepochs = 1\nbatch_size = 16\ncells = 1',
    ),
}  # fmt: skip
"""Experiments, of a few images each; INPUTS stands for the folder of the files."""


# ---- studies ----------------------------------------------------------------------------------------------------


def trials_of(folder: Path) -> list[FrozenTrial]:
    """Every trial of a run's study; none where there is no study yet."""
    run = RunFolder(folder)
    if not run.journal.exists() or not run.journal.read_bytes().count(b"\n"):
        return []
    try:
        return find_study(*place_of(run, run.read_experiment())).get_trials(deepcopy=False)
    except KeyError:
        return []


def ends(trials: Sequence[FrozenTrial]) -> dict[int, tuple[Any, ...]]:
    """What a finished trial is, by its number: a kill must change none of it."""
    return {
        trial.number: (trial.state, trial.values, trial.user_attrs.get("canonical"))
        for trial in trials
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    }


def check_study(folder: Path, whole: Path, known: dict[str, Any]) -> Iterator[str]:
    """The budget met exactly, no cell counted twice, nothing under way, each cell worth what it is worth elsewhere."""
    trials = trials_of(folder)
    kept = counted(trials)
    cells = [trial.user_attrs["canonical"] for trial in kept]
    wanted = RunFolder(folder).read_experiment().search.trials  # type: ignore[union-attr]
    if len(kept) != wanted:
        yield f"{len(kept)} trials count, {wanted} were wanted"
    if len(set(cells)) < len(cells):
        yield f"{len(cells) - len(set(cells))} cells count twice"
    yield from (f"trial {trial.number} is lost" for trial in trials if _is_lost(trial, trials))
    values = known.setdefault("values", {})
    for trial in (*kept, *counted(trials_of(whole))):
        if trial.state is TrialState.COMPLETE:
            before = values.setdefault(trial.user_attrs["genotype"], trial.values)
            if before != trial.values:
                yield f"trial {trial.number}: {trial.values} here, {before} elsewhere"
    best = max((trial.values[0] for trial in kept if trial.state is TrialState.COMPLETE), default=math.nan)
    if json.loads((folder / "result.json").read_text())["validation_accuracy"] != best:
        yield "the result is not the best trial's"


def _is_lost(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    """Whether a cell was asked and is neither evaluated, nor queued again, nor another trial's."""
    known = trial.user_attrs
    if "canonical" not in known and "retry_of" not in known:
        return False  # nobody has seen its cell
    if trial.state is TrialState.WAITING or {"note", "duplicate_of"} & known.keys():
        return False
    if any(other.user_attrs.get("retry_of") == trial.number for other in trials):
        return False
    begun = "genotype" in known or "retry_of" in known  # else it gave way: another worker had the last place
    return trial.state is TrialState.RUNNING or (trial.state is TrialState.FAIL and begun)


def check_weights(folder: Path, whole: Path, known: dict[str, Any]) -> Iterator[str]:
    """A study with trainings: as above, and equal best cells end with equal weights."""
    yield from check_study(folder, whole, known)
    genotype = (folder / "genotype.json").read_text()
    weights = known.setdefault("weights", {})
    here = load_weights(folder / "weights.safetensors")
    for place in differences(here, weights.setdefault(genotype, here)):
        yield f"the same cell has other weights than elsewhere: {place}"


# ---- searches by gradient, and trainings ------------------------------------------------------------------------


def check_equal(folder: Path, whole: Path, known: dict[str, Any]) -> Iterator[str]:
    """Every bit as in the unbroken run, but for times."""
    if (folder / "genotype.json").read_text() != (whole / "genotype.json").read_text():
        yield "genotype.json differs from the unbroken run's"
    for name, read in (("weights.safetensors", load_weights), ("checkpoints/search.pt", load)):
        if (whole / name).exists():
            here, there = (read(path / name) for path in (folder, whole))
            yield from (f"{name}: {place} differs" for place in differences(here, there))
    here, there = (_timeless(json.loads((path / "result.json").read_text())) for path in (folder, whole))
    if here != there:
        yield "result.json differs from the unbroken run's"
    here, there = (_timeless(read_metrics(path / "metrics.jsonl")) for path in (folder, whole))
    if here != there:
        yield "metrics.jsonl differs from the unbroken run's"


def differences(here: object, there: object, place: str = "") -> Iterator[str]:
    """Where two checkpoints differ; times, and what tells a resumed one, may."""
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        if here.keys() != there.keys():
            yield f"{place}: {set(here) ^ set(there)}"
        for key in here.keys() & there.keys() - {"replayed", *_MEASURED}:
            yield from differences(here[key], there[key], f"{place}.{key}")
    elif isinstance(here, list | tuple) and isinstance(there, list | tuple) and len(here) == len(there):
        for number, pair in enumerate(zip(here, there, strict=True)):
            yield from differences(*pair, f"{place}.{number}")
    elif isinstance(here, torch.Tensor) and isinstance(there, torch.Tensor):
        if not torch.equal(here, there):
            yield place
    elif here != there:
        yield place


_MEASURED = {"seconds", "images_per_second", "memory_mib"}


def _of_time(key: str) -> bool:
    return any(word in key for word in ("second", "time", "memory", "speed"))


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(entry) for key, entry in value.items() if not _of_time(key)}
    return [_timeless(entry) for entry in value] if isinstance(value, list) else value


# ---- exports ----------------------------------------------------------------------------------------------------


def check_bundle(folder: Path, whole: Path, known: dict[str, Any]) -> Iterator[str]:
    """The files of the unbroken run's bundle; those that hold no time or latency are equal."""
    bundles = (folder / "bundle", whole / "bundle")
    here, there = ({str(file.relative_to(of)) for file in of.rglob("*") if file.is_file()} for of in bundles)
    if here != there:
        yield f"the bundle differs: {sorted(here ^ there)}"
    for name in here & there:
        equal = (folder / "bundle" / name).read_bytes() == (whole / "bundle" / name).read_bytes()
        if not equal and Path(name).suffix in (".json", ".svg", ".py", ".dot", ".mmd"):
            yield f"bundle/{name} differs"


def _copy_finished(inputs: Path, run: Path) -> None:
    shutil.copytree(inputs / "finished", run)


def _search(name: str, *options: str) -> tuple[str, ...]:
    return ("search", f"{{inputs}}/{name}.toml", *options, "--out", "{run}")


KINDS: dict[str, Kind] = {
    "table": Kind(_search("table"), check_study),
    "study": Kind(_search("study"), check_weights),
    "gradient": Kind(_search("gradient"), check_equal),
    "train": Kind(_search("train"), check_equal),
    "workers": Kind(_search("workers", "--workers", "2"), check_weights, workers=2),
    "export": Kind(("export", "{run}", "--all"), check_bundle, start=_copy_finished),
}
