"""Drop rates over time and depth: rate = p * curve(progress) * profile(depth), pure functions without state.

progress is in [0, 1] and comes from a clock; depth is in (0, 1] and is (cell + 1) / cells, reductions and stem cells
counted. A linear curve times a linear profile is NASNet's ScheduledDropPath, version 3 (1707.07012).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import NamedTuple, Self

from nasdrop.errors import DropError, suggest


@dataclass(frozen=True)
class Schedule:
    """What rate a path has, when and where.

    Args:
        p: Target rate: probability of dropping where curve and profile are 1.
        curve: Name in CURVES: the share of p over progress.
        depth: Name in DEPTHS: the share of p over depth.
        clock: Name in CLOCKS: how epochs and steps become progress.
        start: Share of p at progress 0, for the curves linear, cosine, step and warmup-hold.
        until: Progress at which warmup-hold reaches p, and at which early reaches 0; in (0, 1].
        milestones: Progress at each of which the curve step rises by an equal share; ascending, in (0, 1].

    Raises:
        DropError: a value is out of range or a name is unknown; all mistakes at once.
    """

    p: float = 0.2
    curve: str = "linear"
    depth: str = "flat"
    clock: str = "epoch"
    start: float = 0.0
    until: float = 0.3
    milestones: tuple[float, ...] = (0.25, 0.5, 0.75)

    def __post_init__(self) -> None:
        mistakes = [*self._mistaken_numbers(), *self._mistaken_names()]
        if mistakes:
            raise DropError(*mistakes)

    def rate(self, progress: float, depth: float = 1.0, *, cells: int | None = None) -> float:
        """The rate in [0, 1] at a progress in [0, 1] and a depth in (0, 1].

        Args:
            progress: Share of the full budget that has passed.
            depth: (cell + 1) / cells.
            cells: Number of cells; only the profile linear-from-zero needs it.

        Raises:
            DropError: progress or depth is out of range, or `cells` is missing.
        """
        if not 0.0 <= progress <= 1.0:
            raise DropError(f"schedule: progress has to be between 0 and 1, got {progress!r}")
        if not 0.0 < depth <= 1.0:
            raise DropError(f"schedule: depth has to be above 0 and at most 1, got {depth!r}")
        share = CURVES[self.curve].function(progress, self) * DEPTHS[self.depth].function(depth, cells)
        return min(1.0, max(0.0, self.p * share))

    def progress(self, *, epoch: int = 0, epochs: int = 1, step: int = 0, steps: int = 1) -> float:
        """The progress in [0, 1] by this schedule's clock.

        Args:
            epoch: Epochs finished, from 0.
            epochs: Epochs of the full budget, also for a trial that will stop earlier.
            step: Steps finished in the whole run, from 0.
            steps: Steps of the whole run.

        Raises:
            DropError: epoch is outside 0 .. epochs - 1, or step is negative.
        """
        if not 0 <= epoch < epochs:
            raise DropError(f"schedule: epoch has to be between 0 and {epochs - 1}, got {epoch!r}")
        if step < 0 or steps < 1:
            raise DropError(f"schedule: step has to be at least 0 and steps at least 1, got {step!r} of {steps!r}")
        return min(1.0, CLOCKS[self.clock].function(epoch, epochs, step, steps))

    def changed(self, **changes: object) -> Self:
        """The same schedule with some fields changed.

        Raises:
            DropError: a field is unknown or its value breaks a rule.
        """
        known = [field.name for field in fields(self)]
        unknown = [name for name in changes if name not in known]
        if unknown:
            raise DropError(*(f"schedule: no field {name!r}; {suggest(name, known)}" for name in unknown))
        values: dict[str, object] = {name: getattr(self, name) for name in known}
        return type(self)(**(values | changes))  # type: ignore[arg-type]

    def _mistaken_numbers(self) -> list[str]:
        mistakes = [
            f"schedule: {name} has to be between 0 and 1, got {value!r}"
            for name, value in (("p", self.p), ("start", self.start))
            if not (isinstance(value, int | float) and 0.0 <= value <= 1.0)
        ]
        if not 0.0 < self.until <= 1.0:
            mistakes.append(f"schedule: until has to be above 0 and at most 1, got {self.until!r}")
        inside = all(0.0 < progress <= 1.0 for progress in self.milestones)
        if not self.milestones or not inside or any(a >= b for a, b in pairwise(self.milestones)):
            mistakes.append(f"schedule: milestones have to ascend within (0, 1], got {self.milestones!r}")
        return mistakes

    def _mistaken_names(self) -> list[str]:
        choices = (("curve", self.curve, CURVES), ("depth", self.depth, DEPTHS), ("clock", self.clock, CLOCKS))
        return [
            f"schedule: no {field} {name!r}; {suggest(name, known)}"
            for field, name, known in choices
            if name not in known
        ]


class Curve(NamedTuple):
    """A share of p over progress; `function(progress, schedule)`."""

    function: Callable[[float, Schedule], float]
    text: str


class Profile(NamedTuple):
    """A share of p over depth; `function(depth, cells)`."""

    function: Callable[[float, int | None], float]
    text: str


class Clock(NamedTuple):
    """Progress from `function(epoch, epochs, step, steps)`, before it is clipped at 1."""

    function: Callable[[int, int, int, int], float]
    text: str


def rate_grid(schedule: Schedule, *, epochs: int, cells: int, steps_per_epoch: int = 1) -> list[list[float]]:
    """The rates of a whole run before it runs: a row an epoch (its first step), a column a cell."""
    steps = epochs * steps_per_epoch
    moments = [
        schedule.progress(epoch=epoch, epochs=epochs, step=epoch * steps_per_epoch, steps=steps)
        for epoch in range(epochs)
    ]
    return [[schedule.rate(moment, (i + 1) / cells, cells=cells) for i in range(cells)] for moment in moments]


def _rising(share: float, schedule: Schedule) -> float:
    return schedule.start + (1.0 - schedule.start) * share


def _cosine(progress: float, schedule: Schedule) -> float:
    return _rising((1.0 - math.cos(math.pi * progress)) / 2.0, schedule)


def _step(progress: float, schedule: Schedule) -> float:
    passed = sum(progress >= milestone for milestone in schedule.milestones)
    return _rising(passed / len(schedule.milestones), schedule)


def _p_darts(progress: float, _schedule: Schedule) -> float:
    """With e of the paper's 25 epochs: (24 - e) / 25 before epoch 10, then exp(-0.2 (e - 10)), which jumps back up."""
    return 0.96 - progress if progress < 0.4 else math.exp(-5.0 * (progress - 0.4))


CURVES: dict[str, Curve] = {
    "constant": Curve(lambda _progress, _schedule: 1.0, "p throughout"),
    "linear": Curve(_rising, "rises in proportion to progress (DARTS, NASNet)"),
    "cosine": Curve(_cosine, "rises along half a cosine: flat at both ends"),
    "step": Curve(_step, "rises by equal shares at the milestones"),
    "warmup-hold": Curve(lambda u, s: _rising(min(1.0, u / s.until), s), "rises until `until`, then holds p"),
    "early": Curve(lambda u, s: max(0.0, 1.0 - u / s.until), "falls from p to 0 at `until`, then stays 0"),
    "p-darts": Curve(_p_darts, "falls, jumps back to p at 0.4 and decays exponentially (P-DARTS, 25 epochs)"),
}


def _linear_from_zero(depth: float, cells: int | None) -> float:
    if cells is None:
        raise DropError("schedule: the profile 'linear-from-zero' needs the number of cells, got None")
    return max(0.0, (depth * cells - 1.0) / (cells - 1.0)) if cells > 1 else 0.0


DEPTHS: dict[str, Profile] = {
    "flat": Profile(lambda _depth, _cells: 1.0, "the same at every depth"),
    "linear": Profile(lambda depth, _cells: depth, "(i + 1) / M: the first cell has 1/M of p, the last all of it"),
    "linear-from-zero": Profile(_linear_from_zero, "i / (M - 1): the first cell never drops (timm)"),
}

CLOCKS: dict[str, Clock] = {
    "epoch": Clock(lambda e, epochs, _t, _steps: e / epochs, "e/E: never reaches 1 (DARTS, P-DARTS, NASLib)"),
    "epoch-inclusive": Clock(
        lambda e, epochs, _t, _steps: e / (epochs - 1) if epochs > 1 else 1.0,
        "e/(E-1): 1 in the last epoch (RobustDARTS search)",
    ),
    "epoch-ahead": Clock(
        lambda e, epochs, _t, _steps: (e + 1) / epochs, "(e+1)/E: above 0 from the first epoch (NATS)"
    ),
    "step": Clock(lambda _e, _epochs, t, steps: t / steps, "t/T clipped (NASNet, AmoebaNet)"),
    "step-ahead": Clock(lambda _e, _epochs, t, steps: (t + 1) / steps, "(t+1)/T clipped (ENAS)"),
}
