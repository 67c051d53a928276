"""When a search by gradient stops before its budget: too many skips, or a Hessian whose eigenvalue shoots up."""

from collections.abc import Mapping, Sequence

from nasdrop.searchers.gradient.report import SearchEpoch
from nasdrop.settings import GradientSettings


def stop(history: Sequence[SearchEpoch], settings: GradientSettings) -> tuple[int, str] | None:
    """Whether to stop after the last epoch of a history.

    Returns:
        The epoch whose cell is kept, and why; None to go on.
    """
    return _too_many_skips(history, settings) or _eigenvalue_grew(history, settings)


def _too_many_skips(history: Sequence[SearchEpoch], settings: GradientSettings) -> tuple[int, str] | None:
    """DARTS+ (arXiv:1909.06035): the last cell before a kind of cell has so many skip connections."""
    last = history[-1]
    most = max(last.skips.values(), default=0)
    if not settings.stop_skips or most < settings.stop_skips:
        return None
    return max(0, last.epoch - 1), f"a cell has {most} skip connections"


def _eigenvalue_grew(history: Sequence[SearchEpoch], settings: GradientSettings) -> tuple[int, str] | None:
    """RobustDARTS (arXiv:1909.09656): the eigenvalue's mean over a window against that one window before."""
    window = settings.stop_window
    now, before = len(history), len(history) - window
    if not settings.stop_ratio or now <= max(settings.stop_after, window):
        return None
    known = {report.epoch: report.eigenvalue for report in history if report.eigenvalue is not None}
    late, early = _mean(known, now - window, now), _mean(known, before - window, before)
    if late is None or early is None or abs(late) <= settings.stop_ratio * abs(early):
        return None
    reason = f"the dominant eigenvalue grew from {early:.3g} to {late:.3g} within {window} epochs"
    return before - 1, reason


def _mean(known: Mapping[int, float], first: int, end: int) -> float | None:
    values = [value for epoch, value in known.items() if first <= epoch < end]
    return sum(values) / len(values) if values else None
