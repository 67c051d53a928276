"""Cheap trainings before the full one: a ladder, whose next rung a trial climbs only if it is among the best.

Successive halving (arXiv:1502.07943, asynchronously arXiv:1810.05934) over epochs, channels and cells. While the
network stays the same a training goes on; where it changes the next one starts from scratch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from nasdrop.settings import Experiment, RungSettings, StudySettings


@dataclass(frozen=True)
class Stage:
    """One network's training within a trial.

    Attributes:
        channels: of the network; 0: as the experiment says.
        num_cells: likewise.
        epochs: of this training; all its schedules run over them.
        before: epochs of the trial's trainings before it.
        rungs: its epochs after which the trial may be pruned, or is over.
    """

    channels: int
    num_cells: int
    epochs: int
    before: int
    rungs: tuple[int, ...]

    @property
    def name(self) -> str:
        """Tells the trainings of a trial apart in files; empty for the full network."""
        return f"-{self.channels or 'all'}x{self.num_cells or 'all'}" if self.channels or self.num_cells else ""

    def sized(self, experiment: Experiment) -> Experiment:
        """The experiment with this network."""
        wanted = {"channels": self.channels, "num_cells": self.num_cells}
        network = experiment.network.model_copy(update={key: size for key, size in wanted.items() if size})
        return experiment.model_copy(update={"network": network})


def ladder(fidelity: Sequence[RungSettings], epochs: int) -> tuple[Stage, ...]:
    """The trainings of a trial, the full one, of so many epochs, last."""
    rungs = [(rung.channels, rung.num_cells, rung.epochs) for rung in fidelity]
    found: list[Stage] = []
    for (channels, num_cells), members in groupby([*rungs, (0, 0, epochs)], key=lambda rung: rung[:2]):
        ends = tuple(member[2] for member in members)
        before = found[-1].before + found[-1].epochs if found else 0
        found.append(Stage(channels, num_cells, ends[-1], before, ends))
    return tuple(found)


def steps(settings: StudySettings) -> tuple[int, ...]:
    """The rungs as epochs that a trial has trained in all; the last one is its end."""
    found = ladder(settings.fidelity, settings.epochs)
    return tuple(stage.before + end for stage in found for end in stage.rungs)


def ladder_text(settings: StudySettings) -> str:
    """The rungs as the end of a line, empty where there are none: `; rungs: 2 epochs (8 channels, all cells)`."""
    rungs = [
        f"{rung.epochs} epochs ({rung.channels or 'all'} channels, {rung.num_cells or 'all'} cells)"
        for rung in settings.fidelity
    ]
    return f"; rungs: {', '.join(rungs)}" if rungs else ""
