"""Colours and strokes of all pictures, for a light and a dark page; chosen to stay apart for colour-blind readers."""

from typing import NamedTuple


class Colours(NamedTuple):
    """Fill and stroke of one kind of thing."""

    fill: str
    stroke: str


FAMILY_LIGHT = {
    "sep": Colours("#e1edfb", "#2566b8"),
    "dil": Colours("#ece4fb", "#7545c9"),
    "conv": Colours("#d9f1ec", "#0f7b6c"),
    "pool": Colours("#fdeecb", "#b26b00"),
    "skip": Colours("#eaedf1", "#5f6c7b"),
    "none": Colours("#fbfcfd", "#a9b2bc"),
    "noise": Colours("#fbe5e0", "#b33f2c"),
    "user": Colours("#fde3ee", "#c02c70"),
}
FAMILY_DARK = {
    "sep": Colours("#14304f", "#6cb0f6"),
    "dil": Colours("#30224d", "#b596f5"),
    "conv": Colours("#0f3932", "#4cc7b1"),
    "pool": Colours("#40300f", "#edb44e"),
    "skip": Colours("#29313b", "#9aa8b8"),
    "none": Colours("#151b22", "#5c6773"),
    "noise": Colours("#451f18", "#f1937f"),
    "user": Colours("#481c33", "#f487b6"),
}

# After Okabe and Ito, darkened or lightened until text of that colour is readable on the panel.
SERIES_LIGHT = ("#1f6fb5", "#c4570b", "#0b8a66", "#a83a86", "#8a6d00", "#4b5563")
SERIES_DARK = ("#63b3f4", "#f49a53", "#3fcf9f", "#e58cc9", "#e3c644", "#aab4c0")
SERIES_TERMINAL = ("cyan", "yellow", "green", "magenta", "blue", "white")
SERIES_DASHES = (None, "7 4", "2 3", "9 3 2 3", "12 4", "4 2")

INK_LIGHT, INK_DARK = "#1d2733", "#e4eaf1"
MUTED_LIGHT, MUTED_DARK = "#5d6976", "#9ba7b4"
PANEL_LIGHT = Colours("#ffffff", "#dde2e8")
PANEL_DARK = Colours("#11161c", "#2c343e")
GRID_LIGHT, GRID_DARK = "#e8ecf0", "#242c35"

BASE_COMMON = {
    "text": "stroke:none",
    ".title": "font-size:14px;font-weight:600",
    ".small": "font-size:10px",
    ".subtitle": "font-size:11px",
}


def base(ink: str, muted: str, panel: Colours) -> dict[str, str]:
    """The rules that every picture needs in one theme."""
    return {
        "text": f"fill:{ink}",
        ".small,.subtitle": f"fill:{muted}",
        ".panel": f"fill:{panel.fill};stroke:{panel.stroke}",
    }


def _cell(families: dict[str, Colours], ink: str, muted: str, panel: Colours) -> dict[str, str]:
    rules = base(ink, muted, panel)
    for name, colours in families.items():
        rules[f".{name} rect"] = f"fill:{colours.fill};stroke:{colours.stroke}"
        rules[f".{name} .wire"] = f"stroke:{colours.stroke}"
        rules[f".{name} .arrow"] = f"fill:{colours.stroke}"
    rules[".node rect"] = f"fill:{ink};stroke:{ink}"
    rules[".node text"] = f"fill:{panel.fill}"
    rules[".input rect,.output rect"] = f"fill:{panel.fill};stroke:{ink}"
    rules[".link .wire"] = f"stroke:{muted}"
    rules[".link .arrow"] = f"fill:{muted}"
    return rules


CELL_COMMON = BASE_COMMON | {
    ".wire": "fill:none;stroke-width:1.7",
    ".edge text,.node text,.input text,.output text": "text-anchor:middle",
    ".edge rect,.swatch rect,.input rect,.output rect": "stroke-width:1.3",
    ".none rect": "stroke-dasharray:3 3",
    ".none .wire": "stroke-width:1.2",
    ".link .wire": "stroke-width:1.2",
    ".node text": "font-weight:600",
}
CELL_LIGHT = _cell(FAMILY_LIGHT, INK_LIGHT, MUTED_LIGHT, PANEL_LIGHT)
CELL_DARK = _cell(FAMILY_DARK, INK_DARK, MUTED_DARK, PANEL_DARK)


def _chart(series: tuple[str, ...], ink: str, muted: str, panel: Colours, grid: str) -> dict[str, str]:
    rules = base(ink, muted, panel)
    for index, colour in enumerate(series):
        rules[f".s{index}"] = f"stroke:{colour}"
        rules[f".m{index}"] = f"fill:{colour}"
    rules[".grid"] = f"stroke:{grid}"
    rules[".axis"] = f"stroke:{muted}"
    return rules


CHART_COMMON = BASE_COMMON | {
    ".series": "fill:none;stroke-width:2;stroke-linejoin:round",
    ".grid,.axis": "fill:none;stroke-width:1",
    ".end": "text-anchor:end",
    ".middle": "text-anchor:middle",
}
CHART_LIGHT = _chart(SERIES_LIGHT, INK_LIGHT, MUTED_LIGHT, PANEL_LIGHT, GRID_LIGHT)
CHART_DARK = _chart(SERIES_DARK, INK_DARK, MUTED_DARK, PANEL_DARK, GRID_DARK)
