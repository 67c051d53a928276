"""Paths and draws are plain values."""

import math

import pytest

from nasdrop.drop import Draw, Path
from nasdrop.errors import DropError


@pytest.mark.parametrize("depth", [0.0, 1.5, math.nan])
def test_a_path_s_depth(depth: float) -> None:
    with pytest.raises(DropError, match="depth has to be above 0 and at most 1"):
        Path("a", 0, 0, depth)


def test_paths_are_frozen_and_hashable() -> None:
    path = Path("a", 0, 0, 1.0, identity=True)
    assert len({path, Path("a", 0, 0, 1.0, identity=True)}) == 1
    with pytest.raises(AttributeError):
        path.node = 1  # type: ignore[misc]


def test_a_draw_of_nothing() -> None:
    assert Draw(None) == (None, None)
