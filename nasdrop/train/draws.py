"""Drop path in the training loop: rates by the schedule, one draw a step, and what was really dropped."""

import math
from typing import Any

from torch import nn

from nasdrop.drop.paths import Draw
from nasdrop.drop.schedule import Schedule
from nasdrop.drop.scheduler import DropScheduler
from nasdrop.train.device import derive_seed


class StepDraws:
    """The draws of one training.

    Args:
        network: any module; it takes draws if it has a `path_drop` (PathDrop).
        schedule: rates over time; None leaves everything alone.
        seed: of the draws.
        epochs: the full budget.
        steps: steps of an epoch.
        global_share: for fractal networks, the share of draws that run one column alone, over time; None leaves it.
        rank: this process, of several that share each batch.
        world_size: their number.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule | None,
        seed: int,
        epochs: int,
        steps: int,
        *,
        global_share: Schedule | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.rank, self.world_size = rank, world_size
        self.schedule, self.seed, self.epochs, self.steps = schedule, seed, epochs, steps
        self.path_drop = getattr(network, "path_drop", None)
        self.scheduler = None
        if schedule is not None:
            self.scheduler = DropScheduler(
                network, schedule, epochs=epochs, steps_per_epoch=steps, global_share=global_share
            )
        share = float(self.path_drop.global_share) if self.path_drop else 0.0
        share = share if global_share is None else global_share.p
        self.never = schedule is None or (schedule.p == 0 and share == 0)
        self._progress = math.nan

    def paths(self, rows: int, epoch: int, step: int, purpose: str = "") -> dict[str, Draw]:
        """The argument `paths` of a forward pass; nothing for a network that draws for itself or cannot drop.

        Args:
            rows: samples of this process.
            epoch: from 0.
            step: within the epoch, from 0.
            purpose: names a further pass of the same step, whose masks are others and are not counted.
        """
        if self.schedule is None or self.scheduler is None:
            return {}
        whole, steps = epoch * self.steps + step, self.epochs * self.steps
        progress = self.schedule.progress(epoch=epoch, epochs=self.epochs, step=whole, steps=steps)
        if progress != self._progress:
            self.scheduler.step(epoch, step)
            self._progress = progress
        if self.path_drop is None:
            return {}
        if self.never:
            return {"paths": Draw(None)}
        seed = derive_seed(self.seed, purpose) if purpose else self.seed
        share = {"rank": self.rank, "world_size": self.world_size}
        draw = self.path_drop.draw(self.path_drop.rates, rows, seed, epoch, step, **share)
        if not purpose:
            self.scheduler.observe(draw)
        return {"paths": draw}

    def state(self) -> dict[str, Any] | None:
        """Where the schedule is and what has been counted, for a checkpoint in the middle of an epoch."""
        return None if self.scheduler is None else self.scheduler.state_dict()

    def load_state(self, state: dict[str, Any] | None) -> None:
        """Take that back."""
        if self.scheduler is not None and state is not None:
            self.scheduler.load_state_dict(state)
            self._progress = math.nan

    def counts(self, epoch: int) -> dict[str, Any]:
        """`planned` rates at the middle of the epoch; `realised` ones and `drawn` columns since the last call.

        `silent` has the expected and the counted number of nodes a sample that lost all their inputs.
        """
        scheduler = self.scheduler
        if scheduler is None:
            return {"planned": {}, "realised": {}, "drawn": {}, "silent": {}}
        scheduler.step(epoch, self.steps // 2)
        self._progress = math.nan
        silent = {"expected": scheduler.planned_silent(), "realised": scheduler.realised_silent()}
        counted = {"drawn": scheduler.realised_columns(), "silent": silent if self.path_drop else {}}
        return {"planned": scheduler.planned(), **counted, "realised": scheduler.realised()}  # this starts anew: last
