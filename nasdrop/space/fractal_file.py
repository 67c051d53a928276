"""Reads the file of a space of fractals; all mistakes of a file are reported at once, each with its key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from nasdrop.config import read_toml, validate
from nasdrop.errors import ConfigError, SpaceError
from nasdrop.settings import PositiveInt, Probability, Settings
from nasdrop.space.choices import Decision
from nasdrop.space.fractal_options import write_option


class FractalTable(Settings):
    """What a fractal may be; each list but `operations` holds the choices of one decision, where it is not empty."""

    columns: list[PositiveInt] = Field(min_length=1, description="columns of a block")
    operations: list[str] = Field(min_length=1, description="candidates of a convolution")
    decide: Literal["slot", "depth"] = Field("slot", description="an operation for each convolution, or for each row")
    join: list[str] = Field([], description="pool_then_join, join_then_pool")
    widths: list[list[PositiveInt]] = Field([], description="multiples of network.channels, one a block")
    dropout: list[list[Probability]] = Field([], description="dropout of elements, one a block")
    p: list[Probability] = Field([], description="rate of dropping an input of a join; in place of drop.p")
    global_share: list[Probability] = Field([], description="share of draws that run one column alone")


class FractalFile(Settings):
    """A search-space file of fractals."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100, description="what genotypes call the space")
    source: str = Field("", description="the paper")
    skeleton: Literal["fractal"]
    fractal: FractalTable


def is_fractal(path: Path) -> bool:
    """Whether a search-space file says that it is one of fractals; false where it cannot be read."""
    try:
        return read_toml(path).get("skeleton") == "fractal"
    except ConfigError:
        return False


def read_fractal_file(path: Path) -> dict[str, Any]:
    """What a FractalSpace is made of.

    Raises:
        SpaceError: every mistake of the file, one line each.
    """
    try:
        said = validate(FractalFile, read_toml(path), str(path))
    except ConfigError as error:
        raise SpaceError(*error.lines) from None
    table = said.fractal
    choices: dict[str, Sequence[str | float | Sequence[float]]] = {
        "join": table.join,
        "widths": table.widths,
        "dropout": table.dropout,
        "p": table.p,
        "global_share": table.global_share,
    }
    options = (Decision(name, tuple(map(write_option, values))) for name, values in choices.items() if values)
    return {
        "name": said.name,
        "source": said.source,
        "columns": tuple(table.columns),
        "candidates": tuple(table.operations),
        "decide": table.decide,
        "options": tuple(options),
        "path": path,
    }
