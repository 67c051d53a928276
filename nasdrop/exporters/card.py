"""A model card: what a network is, what it was trained on and how, how good and how fast it is, in Markdown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasdrop.config import flatten
from nasdrop.settings import Experiment, Settings
from nasdrop.view.units import count, measures, percent


@dataclass(frozen=True)
class Facts:
    """What a card tells beside the experiment.

    Attributes:
        metadata: of the trained weights: shape, classes, mean, std, test_accuracy.
        result: of the run: `validation_accuracy`, and `test`, a row for the best cell and each baseline.
        parameters: weights of the network, auxiliary head apart.
        multiply_adds: of one image.
        latencies: images at once -> median seconds of an evaluation.
        device: where these were measured, with the number of threads.
        p: target rate of drop path in the final training.
        rates: drop rate of each path at the first, the middle and the last epoch of the final training.
        versions: of Python and of packages, as the run wrote them down.
        files: name -> what it is.
    """

    metadata: Mapping[str, str]
    result: Mapping[str, Any]
    parameters: int
    multiply_adds: int
    latencies: Mapping[int, float]
    device: str
    p: float
    rates: Sequence[tuple[str, float, float, float]]
    versions: Mapping[str, str]
    files: Mapping[str, str]


def card(experiment: Experiment, facts: Facts) -> str:
    """The card of a run's best network."""
    parts = [
        f"# {experiment.name}: a network found by nasdrop",
        experiment.description,
        "![The cell](cell.svg)",
        _section("Data", _data(experiment, facts)),
        _section("Accuracy", _accuracy(facts)),
        _section("Cost", _cost(facts)),
        _section("Drop path in the final training", _drop(experiment, facts)),
        _section("Search", _settings(experiment.search)),
        _section("Training", _settings(experiment.train)),
        _section("Versions", _table(("package", "version"), facts.versions.items())),
        _section("Files", _table(("file", "what it is"), ((f"`{name}`", what) for name, what in facts.files.items()))),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}"


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [" | ".join(header), " | ".join("---" for _ in header)]
    lines += [" | ".join(str(value).replace("|", "\\|") for value in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _data(experiment: Experiment, facts: Facts) -> str:
    data, metadata = experiment.data, facts.metadata
    classes = json.loads(metadata["classes"])
    rows = [
        ("data set", data.name + (f" ({data.file})" if data.file else "")),
        ("one image", " x ".join(map(str, json.loads(metadata["shape"])))),
        ("classes", f"{len(classes)}: {', '.join(map(str, classes[:20]))}{', ...' if len(classes) > 20 else ''}"),
        ("input", f"(pixels - mean) / std of the stored pixels, a value a channel: {_normalisation(metadata)}"),
        ("split", f"{data.valid_fraction:g} of the training images validate the search; the final training has all"),
    ]
    return _table(("", ""), rows)


def _normalisation(metadata: Mapping[str, str]) -> str:
    values = {name: ", ".join(f"{value:.6g}" for value in json.loads(metadata[name])) for name in ("mean", "std")}
    return f"mean {values['mean']}; std {values['std']}"


def _accuracy(facts: Facts) -> str:
    """Test scores with their spread, and what the search saw; the weights are those of the first training."""
    rows = [
        (
            row["label"],
            f"{percent(row['mean'])} ± {percent(row['spread'])}",
            len(row["accuracies"]),
            percent(row["standard_error"]),
        )
        for row in facts.result.get("test", ())
    ]
    images = facts.result["test"][0]["images"] if rows else 0
    said = [f"The weights here: {percent(float(facts.metadata['test_accuracy']))} of the test images"]
    said += measures(json.loads(facts.metadata.get("test_metrics", "{}")))
    lines = [f"{', '.join(said)}."]
    if rows:
        lines.append(f"Each row was trained the same way and scored once, at the end, on {images} test images.")
        header = ("", "test accuracy", "trainings", "standard error of so many images")
        lines = [" ".join(lines), "", _table(header, rows), ""]
    if (validation := facts.result["validation_accuracy"]) is not None:
        lines.append(f"In the search the best cell had {percent(validation)} on the validation split.")
    return "\n".join(lines)


def _cost(facts: Facts) -> str:
    rows = [
        ("parameters", f"{facts.parameters:,}"),
        ("multiply-adds of one image", count(facts.multiply_adds)),
        *(
            (f"{batch} image{'s' if batch > 1 else ''} at once", f"{1e3 * seconds:.3g} ms")
            for batch, seconds in facts.latencies.items()
        ),
    ]
    return f"{_table(('', ''), rows)}\n\nMedian times of this machine: {facts.device}."


def _drop(experiment: Experiment, facts: Facts) -> str:
    drop = experiment.final.drop or experiment.drop
    said = f"Policy `{drop.policy}`, schedule `{drop.schedule}` to p = {facts.p:g}, one decision a {drop.mode}."
    if not facts.rates:
        return said
    _, *moments = zip(*facts.rates, strict=True)
    return f"{said}\n\n{_table(('first epoch', 'middle', 'last epoch'), [[_range(rates) for rates in moments]])}"


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _settings(settings: Settings) -> str:
    """What was set, defaults included: a card is read without the program at hand."""
    return _table(("setting", "value"), ((f"`{key}`", value) for key, value in flatten(settings).items()))
