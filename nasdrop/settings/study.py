"""A study of discrete cells: what a cell's value is, who proposes cells, when to stop."""

import math
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from nasdrop.beside import Scalar, wrong_range
from nasdrop.settings.base import PositiveInt, Rows, Settings, obeying
from nasdrop.settings.training import ScoringSettings, SupernetSettings


class InheritedSettings(SupernetSettings, ScoringSettings):
    """The supernet of a study whose cells are not trained: a uniformly sampled cell a step (arXiv:1904.00420)."""


class TableSettings(Settings):
    """Which measured table a search looks its cells up in."""

    name: str = Field("nas_bench_201_cifar10", description="a shipped table, or the path of a .csv, .csv.gz or .npz")
    value: str = Field("valid_accuracy_200", description="the column that the search sees")


class BesideSettings(Settings):
    """What a setting is searched among: a range or choices; a plain list is short for choices."""

    low: int | float | None = Field(None, description="of a range; whole numbers are drawn where both ends are whole")
    high: int | float | None = None
    step: int | float | None = Field(None, gt=0, description="left out: any number, or any whole one")
    log: bool = Field(default=False, description="draw evenly on a logarithmic scale")
    choices: Rows[Scalar] = ()
    when: dict[str, Rows[Scalar]] = Field(
        {}, description="searched only where these settings, searched too and named above, have one of these values"
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """A list is a table of choices, and a lone value of a condition a list of one."""
        if isinstance(value, list | tuple):
            return {"choices": value}
        if isinstance(value, dict) and isinstance(value.get("when"), dict):
            listed = {key: one if isinstance(one, list | tuple) else [one] for key, one in value["when"].items()}
            return {**value, "when": listed}
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        return obeying(self, wrong_range(self))


class RungSettings(Settings):
    """A cheaper training, after which only the best trials go on."""

    epochs: PositiveInt
    channels: int = Field(0, ge=0, description="of a narrower network; 0: those of [network]")
    num_cells: int = Field(0, ge=0, description="of a shallower network; 0: those of [network]")


class StudySettings(Settings):
    """An Optuna study over discrete cells."""

    kind: Literal["study"] = "study"
    trials: PositiveInt = 20
    epochs: PositiveInt = Field(8, description="most epochs of one trial; a pruned trial has fewer")
    evaluator: Literal["training", "inherited", "table", "python"] = Field(
        "training",
        description="what a cell's value is: trained, scored with a supernet's weights, looked up, "
        "or by `nasdrop.search(..., evaluator=...)`",
    )
    supernet: InheritedSettings = InheritedSettings()
    table: TableSettings = TableSettings()
    costs: Rows[str] = Field(
        (),
        description="minimised beside the value: parameters, multiply_adds, latency (seconds of a batch on this "
        "device), a column of the table, or what else the evaluator tells",
    )
    limits: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {}, description="the most that a cell may cost, by the names of costs; one that costs more is not trained"
    )
    latency_batch: PositiveInt = Field(1, description="images at once where latency is measured")
    beside: dict[str, BesideSettings] = Field(
        {}, description="settings that trials choose beside the cell, by their dotted keys (docs/evaluators.md)"
    )
    sampler: Literal["bayesian", "evolution", "local_search", "tpe", "gp", "nsga2", "nsga3", "random"] = "tpe"
    pruner: Literal["none", "median", "successive_halving", "hyperband"] = "successive_halving"
    min_epochs: PositiveInt = Field(2, description="epochs before a trial may be pruned")
    reduction_factor: int = Field(2, ge=2, description="the share 1/reduction_factor goes on at each rung")
    fidelity: Rows[RungSettings] = Field(
        (), description="cheap trainings before the full one; the share 1/reduction_factor goes on after each"
    )
    startup_trials: int = Field(10, ge=0, description="random trials before the model of tpe or gp is used")
    timeout_minutes: float = Field(0.0, ge=0, description="no trial starts after this; 0: no limit")
    process_hours: float = Field(
        0.0,
        ge=0,
        description="nor after the workers have run so long in all (GPU-hours, with one a GPU); 0: no limit",
    )
    target: float = Field(0.0, ge=0, description="nor after a cell has reached this value; 0: no target")
    heartbeat_seconds: float = Field(60.0, gt=0, description="how often a worker shows a sign of life")
    grace_seconds: float = Field(
        600.0, gt=0, description="without one, a worker on another host counts as dead; longer than any outage"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse what would have live workers count as dead."""
        rule = f"grace_seconds: must be greater than heartbeat_seconds, {self.heartbeat_seconds:g}"
        wrong = self.grace_seconds <= self.heartbeat_seconds
        return obeying(self, [f"{rule}, got {self.grace_seconds:g}"] * wrong + _wrong_ladder(self))


def _wrong_ladder(settings: StudySettings) -> list[str]:
    """What is wrong with the rungs by themselves."""
    if not settings.fidelity:
        return []
    wanted = {"evaluator": "training", "pruner": "successive_halving"}
    lines = [
        f"{key}: must be {value!r} where there is search.fidelity, got {getattr(settings, key)!r}"
        for key, value in wanted.items()
        if getattr(settings, key) != value
    ]
    if settings.costs:
        lines.append(f"costs: must be none where there is search.fidelity, got {list(settings.costs)!r}")
    rungs = [*settings.fidelity, RungSettings(epochs=settings.epochs)]
    for number, (rung, following) in enumerate(pairwise(rungs)):
        sizes = [(one.channels or math.inf, one.num_cells or math.inf) for one in (rung, following)]
        grows = all(before <= after for before, after in zip(*sizes, strict=True))
        if not grows or (sizes[0] == sizes[1] and rung.epochs >= following.epochs):
            rule = "must be cheaper than the next, in epochs or in the network's size, and in nothing larger"
            lines.append(f"fidelity.{number}: {rule}, got {rung.model_dump()}")
    return lines
