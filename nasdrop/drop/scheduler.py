"""DropScheduler: sets the rates of any model over time and tells planned from realised; nothing else sets rates."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple

from torch import nn

from nasdrop.drop.counts import Counts
from nasdrop.drop.paths import Draw
from nasdrop.drop.schedule import Schedule
from nasdrop.drop.targets import PathTarget, Select, Targets, find_targets
from nasdrop.errors import DropError, suggest


class Row(NamedTuple):
    """One line of the summary: planned rates in the first, the middle and the last epoch."""

    name: str
    first: float
    middle: float
    last: float


class DropScheduler:
    """Drives every drop rate of a model by a schedule. The rates of epoch 0 are set at once.

    Args:
        model: Ours or a foreign one; see `nasdrop.drop.targets.find_targets` for what is found.
        schedule: Rates over progress and depth.
        epochs: Epochs of the full budget, also for a trial that may stop earlier.
        steps_per_epoch: Optimiser steps an epoch; only the clocks that count steps look at it.
        select: Which of the found modules to drive.
        global_share: For fractal paths, a schedule of the share of draws that run one column alone.

    Raises:
        DropError: the schedule's rate is above 0 and a foreign model holds nothing to drive.
    """

    def __init__(
        self,
        model: nn.Module,
        schedule: Schedule,
        *,
        epochs: int,
        steps_per_epoch: int = 1,
        select: Select = "auto",
        global_share: Schedule | None = None,
    ) -> None:
        if epochs < 1 or steps_per_epoch < 1:
            raise DropError(
                f"DropScheduler: epochs and steps_per_epoch have to be at least 1, got {epochs!r}, {steps_per_epoch!r}"
            )
        self.schedule = schedule
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.global_share = global_share
        self._targets = find_targets(model, select)
        self._counts = {target.name: Counts(target.module) for target in self._targets.paths}
        self.notes = tuple(_notes(model, schedule, self._targets))
        self.step(epoch=0)

    def step(self, epoch: int, step: int | None = None) -> None:
        """Set the rates for an epoch, or for a step of it.

        Args:
            epoch: From 0.
            step: Step within the epoch, from 0; the first one when none is given.

        Raises:
            DropError: epoch or step is outside the budget.
        """
        progress = self._progress(epoch, step or 0)
        self.epoch, self.within = epoch, step or 0
        for target in self._targets.paths:
            target.set(self.schedule, progress)
            if self.global_share is not None:
                target.module.set_global_share(self.global_share.rate(progress))
        for module_target in self._targets.modules:
            module_target.set(self.schedule, progress)

    def observe(self, draw: Draw, name: str | None = None) -> None:
        """Count what a draw drops, on its device, without a synchronisation.

        Args:
            draw: What was given to the network.
            name: Name of the PathDrop within the model; needed where a model has several.

        Raises:
            DropError: no PathDrop of that name is driven, or several are and none was named.
        """
        if name is None and len(self._counts) == 1:
            name = next(iter(self._counts))
        if name not in self._counts:
            raise DropError(f"DropScheduler.observe: no PathDrop {name!r}; {suggest(str(name), self._counts)}")
        self._counts[name].add(draw)

    def planned(self) -> dict[str, float]:
        """The rate of each path and module as it is set now: 1 - P(live) for paths."""
        return self._planned(self._progress(self.epoch, self.within))

    def realised(self) -> dict[str, float]:
        """Share of dropped rows of each observed path since the last call; reads the device once, then starts anew."""
        shares: dict[str, float] = {}
        for target in self._targets.paths:
            counts = self._counts[target.name]
            shares |= dict(zip(self._labels(target), counts.dropped(), strict=False))
            counts.reset()
        return shares

    def planned_silent(self, epoch: int | None = None) -> float:
        """Expected number of nodes a sample that lose all their inputs, now or at the start of an epoch."""
        moment = self._progress(self.epoch, self.within) if epoch is None else self._progress(epoch, 0)
        return sum(target.silent(self.schedule, moment) for target in self._targets.paths)

    def realised_silent(self) -> float:
        """Observed silent nodes a sample; call it before `realised`, which starts anew."""
        return sum(counts.silent() for counts in self._counts.values())

    def realised_columns(self) -> dict[str, float]:
        """Share of rows under the local rule and under each fractal column alone; call it before `realised`."""
        for counts in self._counts.values():
            shares = counts.columns()
            if shares:
                return {"local": shares[0]} | {f"column {i}": share for i, share in enumerate(shares[1:])}
        return {}

    def table(self) -> list[Row]:
        """Planned rates in the first, the middle and the last epoch: a row for each module and run of alike cells."""
        last = (self.epochs - 1, self.steps_per_epoch - 1)
        moments = [self._progress(*moment) for moment in ((0, 0), (self.epochs // 2, 0), last)]
        rows = [row for target in self._targets.paths for row in self._path_rows(target, moments)]
        return rows + [
            Row(target.name, *(target.rate(self.schedule, moment) for moment in moments))
            for target in self._targets.modules
        ]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is, and what was counted since the last `realised`."""
        return {
            "epoch": self.epoch,
            "step": self.within,
            "epochs": self.epochs,
            "steps_per_epoch": self.steps_per_epoch,
            "counts": {name: counts.state_dict() for name, counts in self._counts.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state: sets the rates of that moment.

        Raises:
            DropError: the state is of another budget or another model.
        """
        for key, own in (("epochs", self.epochs), ("steps_per_epoch", self.steps_per_epoch)):
            if state[key] != own:
                raise DropError(f"DropScheduler: the saved {key} has to be {own}, got {state[key]!r}")
        if state["counts"].keys() != self._counts.keys():
            raise DropError(f"DropScheduler: saved for PathDrop {sorted(state['counts'])}, got {sorted(self._counts)}")
        self.step(state["epoch"], state["step"])
        for name, counts in self._counts.items():
            counts.load_state_dict(state["counts"][name])

    def _progress(self, epoch: int, step: int) -> float:
        if not 0 <= step < self.steps_per_epoch:
            raise DropError(f"DropScheduler: step has to be within an epoch of {self.steps_per_epoch}, got {step!r}")
        whole, steps = epoch * self.steps_per_epoch + step, self.epochs * self.steps_per_epoch
        return self.schedule.progress(epoch=epoch, epochs=self.epochs, step=whole, steps=steps)

    def _labels(self, target: PathTarget) -> list[str]:
        return target.labels(qualified=len(self._targets.paths) > 1)

    def _planned(self, progress: float) -> dict[str, float]:
        planned: dict[str, float] = {}
        for target in self._targets.paths:
            planned |= dict(zip(self._labels(target), target.planned(self.schedule, progress), strict=True))
        return planned | {target.name: target.rate(self.schedule, progress) for target in self._targets.modules}

    def _path_rows(self, target: PathTarget, moments: list[float]) -> Iterable[Row]:
        """A row for each run of cells whose droppable paths have the same mean rates."""
        planned = [target.planned(self.schedule, moment) for moment in moments]
        droppable = target.module.droppable
        cells: dict[int, list[int]] = {}
        for index, path in enumerate(target.module.paths):
            cells.setdefault(path.cell, []).append(index)
        means: list[tuple[int, int, int, tuple[float, ...]]] = []
        for cell, indices in sorted(cells.items()):
            live = [index for index in indices if droppable[index]]
            rates = tuple(round(sum(at[i] for i in live) / max(1, len(live)), 6) for at in planned)
            means.append((cell, len(live), len(indices), rates))
        for rates, run in groupby(means, key=lambda mean: mean[3]):
            yield _path_row(target.name, list(run), rates)


def _path_row(name: str, run: list[tuple[int, int, int, tuple[float, ...]]], rates: tuple[float, ...]) -> Row:
    first, last = run[0][0], run[-1][0]
    cells = f"cell {first}" if first == last else f"cells {first}-{last}"
    live, paths = sum(entry[1] for entry in run), sum(entry[2] for entry in run)
    return Row(f"{name} {cells}: {live} of {paths} paths", *rates)


def _notes(model: nn.Module, schedule: Schedule, targets: Targets) -> Iterable[str]:
    """What a user should know about what is driven; a foreign model with nothing to drive is an error."""
    if schedule.p > 0.0 and not targets.paths and not targets.modules:
        raise DropError(
            f"DropScheduler: a rate of up to {schedule.p} needs something to drive (PathDrop, or a module with "
            f"drop_prob or p), got {type(model).__name__} with none"
        )
    for target in targets.paths:
        if schedule.p > 0.0 and not any(target.module.droppable):
            yield f"{target.name}: every one of its {len(target.module.paths)} paths is exempt, nothing drops"
    if targets.left_alone:
        names = ", ".join(targets.left_alone[:5]) + (", ..." if len(targets.left_alone) > 5 else "")
        yield f"not driven by the schedule: {names}"
