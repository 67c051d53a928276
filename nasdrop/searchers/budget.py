"""When a search has had enough: trials, wall time, process hours or a target value, whichever comes first."""

import time
from collections.abc import Callable, Iterable, Sequence

from optuna.trial import FrozenTrial

from nasdrop.searchers.roster import Worker
from nasdrop.searchers.trials import best_value, counted
from nasdrop.settings import StudySettings


class Budget:
    """What a study may cost; its clock starts here.

    Args:
        settings: the limits.
        clock: monotonic, in seconds.
    """

    def __init__(self, settings: StudySettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings, self.clock = settings, clock
        self.started = clock()

    def spent(self, trials: Sequence[FrozenTrial], workers: Callable[[], Iterable[Worker]]) -> str | None:
        """Why no further trial may start, for the user; None if one may.

        Args:
            trials: of the study.
            workers: gives all that work or have worked on it; called where hours are limited.
        """
        settings = self.settings
        if len(counted(trials)) >= settings.trials:
            return f"all {settings.trials} trials are done"
        if settings.target and (best := best_value(trials)) >= settings.target:
            return f"a cell of {best:.4f} reaches the target of {settings.target:g}"
        if settings.timeout_minutes and self.clock() - self.started > 60 * settings.timeout_minutes:
            return f"the time limit of {settings.timeout_minutes:g} minutes is reached"
        if settings.process_hours and sum(worker.seconds for worker in workers()) >= 3600 * settings.process_hours:
            return f"the workers have used their {settings.process_hours:g} hours"
        return None
