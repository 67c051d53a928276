"""What a fractal genotype holds beside its block: texts in its JSON, values here.

`widths` are multiples of the network's channels and `dropout` probabilities, one a block; the last one counts for the
blocks that follow. `p` and `global_share` are the rate and the mixture of path drop.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from nasdrop.errors import GenotypeError, suggest
from nasdrop.space.tokens import excerpt

JOINS = ("pool_then_join", "join_then_pool")
"""What comes first at the end of a block; the published code pools each column, then averages."""


class FractalOptions(NamedTuple):
    """The options of a genotype; None where it says nothing."""

    join: str | None = None
    widths: tuple[int, ...] | None = None
    dropout: tuple[float, ...] | None = None
    p: float | None = None
    global_share: float | None = None


def read_options(options: Mapping[str, str]) -> FractalOptions:
    """Read the options of a genotype.

    Raises:
        GenotypeError: a name is unknown or a text breaks its rule; all mistakes, one line each.
    """
    values: dict[str, Any] = {}
    lines = []
    for name, text in options.items():
        if name not in _READERS:
            lines.append(f"options.{name}: is unknown; {suggest(name, _READERS)}")
            continue
        rule, read = _READERS[name]
        try:
            values[name] = read(text)
        except ValueError:
            lines.append(f"options.{name}: must be {rule}, got {excerpt(text)}")
    if lines:
        raise GenotypeError(*lines)
    return FractalOptions(**values)


def write_option(value: str | float | Sequence[float]) -> str:
    """The text of a value as a file gives it."""
    if isinstance(value, str):
        return value
    return ",".join(f"{number:g}" for number in (value if isinstance(value, Sequence) else (value,)))


def _join(text: str) -> str:
    if text not in JOINS:
        raise ValueError(text)
    return text


def _probability(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(text)
    return value


def _widths(text: str) -> tuple[int, ...]:
    return tuple(_positive(word) for word in text.split(","))


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(text)
    return int(text)


def _probabilities(text: str) -> tuple[float, ...]:
    return tuple(map(_probability, text.split(",")))


_READERS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "join": (" or ".join(JOINS), _join),
    "widths": ("whole numbers from 1 on", _widths),
    "dropout": ("probabilities", _probabilities),
    "p": ("a probability", _probability),
    "global_share": ("a probability", _probability),
}
