import pytest

from nasdrop.view.palette import (
    FAMILY_DARK,
    FAMILY_LIGHT,
    INK_DARK,
    INK_LIGHT,
    MUTED_DARK,
    MUTED_LIGHT,
    PANEL_DARK,
    PANEL_LIGHT,
    SERIES_DARK,
    SERIES_DASHES,
    SERIES_LIGHT,
    SERIES_TERMINAL,
)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("ink", "muted", "panel", "families"),
    [(INK_LIGHT, MUTED_LIGHT, PANEL_LIGHT, FAMILY_LIGHT), (INK_DARK, MUTED_DARK, PANEL_DARK, FAMILY_DARK)],
)
def test_text_can_be_read_on_everything_it_stands_on(ink, muted, panel, families):
    assert contrast(ink, panel.fill) > 7
    assert contrast(muted, panel.fill) > 4.5
    for colours in families.values():
        assert contrast(ink, colours.fill) > 7
        assert contrast(muted, colours.fill) > 4.5


@pytest.mark.parametrize(
    ("panel", "families", "series"), [(PANEL_LIGHT, FAMILY_LIGHT, SERIES_LIGHT), (PANEL_DARK, FAMILY_DARK, SERIES_DARK)]
)
def test_lines_stand_out_from_the_panel(panel, families, series):
    for name, colours in families.items():
        assert contrast(colours.stroke, panel.fill) > (2 if name == "none" else 3)
    for colour in series:
        assert contrast(colour, panel.fill) > 4


def test_every_series_has_its_colour_and_dash():
    assert len(SERIES_LIGHT) == len(SERIES_DARK) == len(SERIES_DASHES) == len(SERIES_TERMINAL)
    assert len(set(SERIES_DASHES)) == len(SERIES_DASHES)
