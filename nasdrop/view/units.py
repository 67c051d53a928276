"""Numbers as people read them: counts, shares, durations, and round tick marks."""

import math
from collections.abc import Mapping, Sequence


def count(value: float) -> str:
    """A count in at most five characters: 950, 23.4k, 3.35M, 1.2G."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.3g}"


def percent(share: float, decimals: int = 2) -> str:
    """A share in [0, 1] as a percentage: 98.61 %."""
    return f"{100 * share:.{decimals}f} %" if math.isfinite(share) else "–"


def measures(metrics: Mapping[str, float]) -> list[str]:
    """Metrics of a score, accuracy apart, each with its name: balanced accuracy 97.10 %."""
    names = {"balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1", "top5": "top-5 accuracy"}
    return [f"{name} {percent(metrics[key])}" for key, name in names.items() if key in metrics]


def duration(seconds: float) -> str:
    """A time: 85 ms, 6.2 s, 4 min 12 s, 2 h 05 min."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[float]:
    """Round values (1, 2, 2.5 or 5 times a power of ten apart) from at or below `low` to at or above `high`.

    Args:
        low: smallest value to cover.
        high: largest value to cover, above `low`.
        most: at most so many ticks, at least 2.
        whole: only whole numbers, for what is counted.
    """
    rough = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1, 2, 2.5, 5, 10, 20, 25, 50):
        step = max(round(factor * power), 1) if whole else factor * power
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first + 1 <= max(most, 2):
            break
    return [_clean(index * step) for index in range(first, last + 1)]


def tick_labels(values: Sequence[float]) -> list[str]:
    """Labels of tick marks, all with the decimals that their step needs."""
    if any(abs(value) >= 1e5 for value in values):
        return [count(value) for value in values]
    for decimals in range(7):
        if all(abs(round(value, decimals) - value) < 1e-9 for value in values):
            return [f"{value:.{decimals}f}" for value in values]
    return [f"{value:.3g}" for value in values]


def _clean(value: float) -> float:
    """Without the binary noise of a product such as 3 * 0.1."""
    return float(f"{value:.12g}")


def settings_text(chosen: Mapping[str, object]) -> str:
    """Settings by their dotted keys as overrides, numbers to four digits: `drop.p=0.3125 drop.policy=edge`."""
    return " ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in chosen.items()
    )
