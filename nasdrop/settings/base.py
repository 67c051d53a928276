"""What all settings share: strict, frozen models, and the ranges that recur."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
PositiveInt = Annotated[int, Field(ge=1)]
Value = TypeVar("Value")
Model = TypeVar("Model", bound=BaseModel)
Rows = Annotated[tuple[Value, ...], Field(strict=False)]  # TOML's arrays are lists


class Settings(BaseModel):
    """Base of all settings: strict, frozen, finite, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def obeying(settings: Model, wrong: Sequence[str]) -> Model:
    """The settings, unless rules between their keys are broken: `<key>: <rule>, got ...`, one line each."""
    if wrong:
        raise ValueError("\n".join(wrong))
    return settings
