"""The page about the drop family names everything that can be chosen."""

from pathlib import Path

import pytest

from nasdrop.drop import CLOCKS, CURVES, DEPTHS, POLICIES, PRESETS

PAGE = (Path(__file__).parents[2] / "docs" / "drop.md").read_text()


@pytest.mark.parametrize("name", [*PRESETS, *POLICIES, *CURVES, *DEPTHS, *CLOCKS])
def test_every_name_is_described(name: str) -> None:
    assert f"`{name}`" in PAGE
