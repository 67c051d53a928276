"""Settings that are searched beside the cell: which may be, what a range must obey, and how chosen ones take effect.

They are named by their dotted keys in an experiment, such as `drop.p`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from nasdrop.config import flatten, placed
from nasdrop.errors import suggest
from nasdrop.files import digest

if TYPE_CHECKING:
    from nasdrop.settings import BesideSettings, Experiment

Scalar = bool | int | float | str
Chosen = Mapping[str, Scalar]
"""Dotted key -> value."""

_TABLES = ("drop", "train", "network")
_FIXED = ("train.epochs", "train.metric", "train.loss")  # trials have search.epochs; their values must compare


def applied(experiment: "Experiment", chosen: Chosen) -> "Experiment":
    """The experiment with chosen settings in their places, and nothing left to choose beside the cell."""
    search = experiment.search.model_copy(update={"beside": {}})
    return placed(experiment.model_copy(update={"search": search}), chosen)


def chosen_in(experiment: "Experiment", beside: Mapping[str, "BesideSettings"]) -> dict[str, Scalar]:
    """What an experiment has for the settings that are searched, those that do not act left out."""
    values = flatten(experiment)
    chosen: dict[str, Scalar] = {}
    for key, options in beside.items():
        if acts(options, chosen):
            chosen[key] = values[key]
    return chosen


def acts(options: "BesideSettings", chosen: Chosen) -> bool:
    """Whether a setting is to be chosen, given what is chosen before it."""
    return all(key in chosen and chosen[key] in allowed for key, allowed in options.when.items())


def extremes(options: "BesideSettings") -> tuple[Scalar, ...]:
    """All choices, or both ends of a range."""
    return options.choices or tuple(end for end in (options.low, options.high) if end is not None)


def whole(options: "BesideSettings") -> bool:
    """Whether a range is one of whole numbers."""
    return isinstance(options.low, int) and isinstance(options.high, int)


def candidate_digest(canonical: str, chosen: Chosen) -> str:
    """Tells what a trial tries from what others do: a cell in canonical form, and settings chosen beside it."""
    return digest(f"{canonical}\n{json.dumps(chosen, sort_keys=True)}" if chosen else canonical)


def wrong_range(options: "BesideSettings") -> list[str]:
    """Which rules a range or a list of choices breaks: `<key>: <rule>, got ...`, one line each."""
    low, high, step = options.low, options.high, options.step
    if options.choices:
        given = {"low": low, "high": high, "step": step, "log": options.log or None}
        lines = [f"{key}: is for a range without choices, got {value!r}" for key, value in given.items() if value]
        if len(set(options.choices)) < max(2, len(options.choices)):
            lines.append(f"choices: must be two or more different values, got {list(options.choices)!r}")
        return lines
    if low is None or high is None:
        missing = "low" if low is None else "high"
        return [f"{missing}: is required, unless there are choices, got none"]
    lines = [] if low < high else [f"high: must be greater than low, {low!r}, got {high!r}"]
    if options.log and low <= 0:
        lines.append(f"low: must be greater than 0 on a logarithmic scale, got {low!r}")
    if step is not None and options.log:
        lines.append(f"step: is for a scale that is not logarithmic, got {step!r}")
    if step is not None and whole(options) and not isinstance(step, int):
        lines.append(f"step: must be whole between whole numbers, got {step!r}")
    if step is not None and not lines and abs((high - low) / step - round((high - low) / step)) > 1e-9:
        lines.append(f"step: must divide the range from {low!r} to {high!r}, got {step!r}")
    return lines


def wrong_beside(experiment: "Experiment") -> list[str]:
    """Which settings cannot be searched beside the cell as the experiment says, and why; one line each."""
    search = experiment.search
    beside: Mapping[str, BesideSettings] = getattr(search, "beside", {})
    if not beside:
        return []
    if (evaluator := getattr(search, "evaluator", "")) != "training":
        return [f"search.beside: is for search.evaluator = 'training', which tries settings, got {evaluator!r}"]
    values = flatten(experiment)
    known = [key for key in values if key.split(".")[0] in _TABLES and key not in _FIXED]
    lines: list[str] = []
    for number, (key, options) in enumerate(beside.items()):
        place = f"search.beside.{key}"
        if key not in known:
            lines.append(f"{place}: no setting of this name can be searched; {suggest(key, known)}")
            continue
        if key.startswith("drop.") and experiment.final.drop:
            lines.append(f"{place}: would not reach the final trainings, which have their own [final.drop], got both")
        if whole(options) and isinstance(values[key], float):
            lines.append(f"{place}: must have an end with a point, such as 1.0, got whole ends of a fraction")
        lines += [f"{place}: {rule}" for rule in _refused(experiment, key, extremes(options))]
        lines += [f"{place}.when.{rule}" for rule in _wrong_conditions(options, dict(list(beside.items())[:number]))]
    return lines


def _refused(experiment: "Experiment", key: str, values: Sequence[Scalar]) -> Iterator[str]:
    for value in values:
        try:
            applied(experiment, {key: value})
        except ValidationError as error:
            message: Any = error.errors()[0]["msg"]
            yield f"{message.replace('Input should be', 'must be')}, got {value!r}"


def _wrong_conditions(options: "BesideSettings", above: Mapping[str, "BesideSettings"]) -> Iterator[str]:
    for key, values in options.when.items():
        if key not in above or not above[key].choices:
            listed = [name for name, other in above.items() if other.choices]
            yield f"{key}: must be searched among choices, in a line above; {suggest(key, listed)}"
            continue
        for value in values:
            if value not in above[key].choices:
                yield f"{key}: must be one of the choices {list(above[key].choices)!r}, got {value!r}"
